"""Development secrets: made once, private, usable."""

import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from octoco_runner.credentials import Credentials


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_secret_is_made_once_and_differs_from_others(tmp_path: Path) -> None:
    secrets = Credentials(tmp_path / "secrets")

    first = secrets.password("wallet")

    assert Credentials(tmp_path / "secrets").password("wallet") == first
    assert secrets.password("accounts") != first
    assert len(first) >= 32


def test_files_are_private_and_nothing_else_is_left(tmp_path: Path) -> None:
    secrets = Credentials(tmp_path / "secrets")
    secrets.password("wallet")
    keys = secrets.signing_keys_folder()

    assert mode(tmp_path / "secrets") == 0o700
    assert mode(keys) == 0o700
    files = [path for path in (tmp_path / "secrets").rglob("*") if path.is_file()]
    assert sorted(path.name for path in files) == ["0001.pem", "wallet.password"]
    assert {mode(path) for path in files} == {0o600}


def test_a_folder_that_was_opened_is_closed_again(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o755)

    Credentials(folder)

    assert mode(folder) == 0o700


def test_many_asking_at_once_get_the_same_secret(tmp_path: Path) -> None:
    def ask(_: int) -> str:
        return Credentials(tmp_path / "secrets").token("revio")

    with ThreadPoolExecutor(max_workers=8) as threads:
        assert len(set(threads.map(ask, range(40)))) == 1


def test_keys_are_what_they_are_for(tmp_path: Path) -> None:
    secrets = Credentials(tmp_path / "secrets")

    Fernet(secrets.fernet_keys("mail-token-keys"))
    (key_file,) = secrets.signing_keys_folder().glob("*.pem")
    key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)

    assert isinstance(key, Ed25519PrivateKey)


def test_a_rotated_signing_key_is_left_as_it_is(tmp_path: Path) -> None:
    secrets = Credentials(tmp_path / "secrets")
    folder = secrets.signing_keys_folder()
    (folder / "0001.pem").rename(folder / "0002.pem")

    secrets.signing_keys_folder()

    assert [path.name for path in folder.iterdir()] == ["0002.pem"]


def test_seal_keys_stay_the_same_and_their_public_halves_are_theirs(tmp_path: Path) -> None:
    secrets = Credentials(tmp_path / "secrets")

    private, public = secrets.seal_keys("seals"), secrets.seal_public_keys("seals")

    assert Credentials(tmp_path / "secrets").seal_keys("seals") == private
    private_id, _, seed = private.partition(":")
    public_id, _, value = public.partition(":")
    assert private_id == public_id
    key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(seed))
    assert key.public_key().public_bytes_raw() == base64.b64decode(value)
