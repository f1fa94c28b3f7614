"""The service's private keys: a folder of PEM files, of which the newest name signs."""

import os
import re
import secrets
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from octoco.errors import ConfigurationError

PrivateKey = Ed25519PrivateKey | RSAPrivateKey

_KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_RSA_BITS_MIN = 2048


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, the name it is published under, and since when (Unix seconds)."""

    key_id: str
    private_key: PrivateKey
    added_at: float

    @property
    def algorithm(self) -> str:
        """The name of RFC 7518 and RFC 8037."""
        return "EdDSA" if isinstance(self.private_key, Ed25519PrivateKey) else "RS256"


class SigningKeys:
    """The keys of one folder, read again when the folder changes.

    A running process takes up a new key within `reread_seconds`, so keys are rotated without a
    restart. A new key is published for a while before it signs: otherwise one process would sign
    with a key that the next one does not publish yet. A folder that becomes unreadable leaves the
    keys as they were.

    Args:
        folder: Holds `<kid>.pem` files, Ed25519 or RSA of 2048 bits or more, unencrypted.
        reread_seconds: How long a look at the folder is good for.
        publish_first_seconds: Age at which a key begins to sign, if there is an older one.

    Raises:
        ConfigurationError: no key, a file that is none, or a name that cannot be a key id.
    """

    def __init__(
        self, folder: Path, *, reread_seconds: float = 5.0, publish_first_seconds: float = 15.0
    ) -> None:
        self._folder = folder
        self._reread_seconds = reread_seconds
        self._publish_first_seconds = publish_first_seconds
        self._lock = threading.Lock()
        self._seen = _names(folder)
        self._keys = _read(folder, self._seen)
        self._looked_at = time.monotonic()

    @property
    def current(self) -> SigningKey:
        """The key that signs: of those published long enough the one whose name sorts last."""
        keys = self.all
        known_since = time.time() - self._publish_first_seconds
        published = [key for key in keys if key.added_at <= known_since]
        return (published or keys)[-1]

    @property
    def all(self) -> tuple[SigningKey, ...]:
        """Every key, oldest name first; all of them are published."""
        with self._lock:
            if time.monotonic() - self._looked_at >= self._reread_seconds:
                self._look_again()
            return self._keys

    def find(self, key_id: str) -> SigningKey | None:
        return next((key for key in self.all if key.key_id == key_id), None)

    def _look_again(self) -> None:
        self._looked_at = time.monotonic()
        try:
            names = _names(self._folder)
            if names != self._seen:
                self._keys = _read(self._folder, names)
                self._seen = names
        except (ConfigurationError, OSError):
            # Half a rotation must not stop logins; the next look sees the rest of it.
            return


def write_new_signing_key(folder: Path, *, now: datetime) -> str:
    """Add a fresh Ed25519 key, which signs once it is published; older keys stay published.

    The file appears whole or not at all, readable by its owner alone.

    Args:
        folder: Is made if it is missing.
        now: UTC; the key's name begins with it, so that the newest sorts last.

    Returns:
        The key's id.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key_id = f"{now.strftime('%Y%m%dT%H%M%SZ')}-{secrets.token_hex(3)}"
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    unfinished = folder / f".{key_id}.unfinished"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(folder / f"{key_id}.pem")
    return key_id


def _names(folder: Path) -> tuple[str, ...]:
    try:
        return tuple(sorted(entry.name for entry in folder.iterdir() if entry.suffix == ".pem"))
    except OSError as error:
        raise ConfigurationError("TOKEN_SIGNING_KEYS_DIR cannot be read") from error


def _read(folder: Path, names: tuple[str, ...]) -> tuple[SigningKey, ...]:
    if not names:
        raise ConfigurationError("TOKEN_SIGNING_KEYS_DIR holds no <kid>.pem file")
    return tuple(_read_key(folder / name) for name in names)


def _read_key(path: Path) -> SigningKey:
    if not _KEY_ID.fullmatch(path.stem):
        raise ConfigurationError(f"TOKEN_SIGNING_KEYS_DIR: {path.name} is no name for a key")
    try:
        added_at = path.stat().st_mtime
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"TOKEN_SIGNING_KEYS_DIR: {path.name} holds no unencrypted private key"
        ) from error
    if isinstance(key, Ed25519PrivateKey):
        return SigningKey(path.stem, key, added_at)
    if isinstance(key, RSAPrivateKey) and key.key_size >= _RSA_BITS_MIN:
        return SigningKey(path.stem, key, added_at)
    raise ConfigurationError(
        f"TOKEN_SIGNING_KEYS_DIR: {path.name} is neither Ed25519 nor RSA of 2048 bits or more"
    )
