"""Keys in a folder, and what is made with them."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from accounts.adapters.passwords.argon2_hasher import Argon2Parameters, Argon2PasswordHasher
from accounts.adapters.tokens.access_tokens import SignedAccessTokens, key_set
from accounts.adapters.tokens.refresh_secrets import DerivedRefreshSecrets
from accounts.adapters.tokens.signing_keys import SigningKeys, write_new_signing_key
from accounts.domain.sessions import AccessClaims, SessionId
from accounts.domain.users import Role, UserId
from octoco.errors import ConfigurationError

from .fakes import NOW

CHEAP = Argon2Parameters(time_cost=1, memory_kibibytes=64, parallelism=1)


def write(folder: Path, name: str, key: PrivateKeyTypes) -> Path:
    path = folder / name
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def claims() -> AccessClaims:
    now = datetime.now(UTC).replace(microsecond=0)
    return AccessClaims(
        token_id="tok_1",
        user_id=UserId("usr_1"),
        session_id=SessionId("ses_1"),
        roles=(Role.USER,),
        issued_at=now,
        expires_at=now + timedelta(minutes=15),
    )


def test_a_lone_key_signs_at_once_and_a_newer_one_only_when_it_is_known(tmp_path: Path) -> None:
    first = write_new_signing_key(tmp_path, now=NOW)
    assert SigningKeys(tmp_path).current.key_id == first
    age(tmp_path / f"{first}.pem", 3600)
    second = write_new_signing_key(tmp_path, now=NOW + timedelta(seconds=1))
    keys = SigningKeys(tmp_path, reread_seconds=0)
    assert keys.current.key_id == first
    assert {key["kid"] for key in key_set(keys)["keys"]} == {first, second}
    age(tmp_path / f"{second}.pem", 20)
    assert SigningKeys(tmp_path).current.key_id == second


def test_a_running_process_takes_up_a_new_key_and_survives_a_broken_one(tmp_path: Path) -> None:
    first = write_new_signing_key(tmp_path, now=NOW)
    keys = SigningKeys(tmp_path, reread_seconds=0, publish_first_seconds=-60)
    second = write_new_signing_key(tmp_path, now=NOW + timedelta(seconds=1))
    assert keys.current.key_id == second
    broken = tmp_path / "zzz.pem"
    broken.write_text("no key")
    assert keys.current.key_id == second
    broken.unlink()
    assert [key.key_id for key in keys.all] == [first, second]


def test_a_folder_without_usable_keys_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no <kid>"):
        SigningKeys(tmp_path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        SigningKeys(tmp_path / "missing")
    unusable: dict[str, PrivateKeyTypes] = {
        "ec.pem": ec.generate_private_key(ec.SECP256R1()),
        "weak.pem": rsa.generate_private_key(public_exponent=65537, key_size=1024),  # noqa: S505 - weak on purpose
    }
    for name, key in unusable.items():
        path = write(tmp_path, name, key)
        with pytest.raises(ConfigurationError, match="neither Ed25519 nor RSA"):
            SigningKeys(tmp_path)
        path.unlink()
    write_new_signing_key(tmp_path, now=NOW)
    (tmp_path / "a b.pem").write_text("x")
    with pytest.raises(ConfigurationError, match="no name for a key"):
        SigningKeys(tmp_path)


def test_rsa_keys_sign_and_are_published_without_their_private_half(tmp_path: Path) -> None:
    write(tmp_path, "rsa-1.pem", rsa.generate_private_key(public_exponent=65537, key_size=2048))
    keys = SigningKeys(tmp_path)
    token = SignedAccessTokens(keys).sign(claims())
    (published,) = key_set(keys)["keys"]
    assert published["alg"] == "RS256"
    assert not {"d", "p", "q", "dp", "dq", "qi"} & set(published)
    jwt.decode(token, jwt.PyJWK(published), ["RS256"], audience="octoco")


def test_the_same_claims_make_the_same_token(tmp_path: Path) -> None:
    write_new_signing_key(tmp_path, now=NOW)
    tokens = SignedAccessTokens(SigningKeys(tmp_path))
    same = claims()
    assert tokens.sign(same) == tokens.sign(same)


def test_a_successor_depends_on_every_part_it_is_made_of(tmp_path: Path) -> None:
    first = write_new_signing_key(tmp_path, now=NOW)
    second = write_new_signing_key(tmp_path, now=NOW + timedelta(seconds=1))
    secrets = DerivedRefreshSecrets(SigningKeys(tmp_path))

    def make(
        presented: str = "rft_a", *, key: str = first, salt: bytes = b"s" * 32, generation: int = 1
    ) -> str | None:
        return secrets.successor(presented, key_id=key, salt=salt, generation=generation)

    made = {
        make(),
        make("rft_b"),
        make(key=second),
        make(salt=b"t" * 32),
        make(generation=2),
    }
    assert len(made) == 5
    assert None not in made
    assert make() == make()
    assert make(key="gone") is None


def test_argon2id_verifies_its_own_and_asks_to_replace_weaker_hashes() -> None:
    hasher = Argon2PasswordHasher(CHEAP)
    stored = hasher.hash("travel by moonlight")
    assert stored.startswith("$argon2id$")
    assert hasher.verify(stored, password="travel by moonlight")
    assert not hasher.verify(stored, password="travel by daylight")
    assert not hasher.verify(None, password="travel by moonlight")
    assert not hasher.needs_rehash(stored)
    stronger = Argon2PasswordHasher(
        Argon2Parameters(time_cost=2, memory_kibibytes=64, parallelism=1)
    )
    assert stronger.needs_rehash(stored)
    assert stronger.verify(stored, password="travel by moonlight")
