"""Development secrets: made on first run, in files only their owner can read, never printed."""

import base64
import os
import secrets
import uuid
from collections.abc import Callable
from pathlib import Path

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

SIGNING_KEYS_FOLDER = "token-signing-keys"


class Credentials:
    """The secrets of one system, each a file in a folder of mode 0700.

    Every value is made once, on first use, and stays the same until the folder is removed; two
    processes asking at once get the same value.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)

    def password(self, name: str) -> str:
        """A random password safe in a URL."""
        return self._value(f"{name}.password", lambda: secrets.token_urlsafe(32))

    def token(self, name: str) -> str:
        """A random bearer secret."""
        return self._value(name, lambda: secrets.token_urlsafe(48))

    def fernet_keys(self, name: str) -> str:
        """Comma-separated Fernet keys, the first encrypts. To rotate, put a new one in front."""
        return self._value(name, lambda: Fernet.generate_key().decode())

    def seal_keys(self, name: str) -> str:
        """Comma-separated `<key id>:<seed>` of Ed25519, the first signs; made with one key."""
        return self._value(name, lambda: f"development-1:{_in_text(secrets.token_bytes(32))}")

    def seal_public_keys(self, name: str) -> str:
        """The public halves of `seal_keys`, under the same ids."""
        keys = (pair.partition(":") for pair in self.seal_keys(name).split(","))
        return ",".join(f"{key_id}:{_public_half(seed)}" for key_id, _, seed in keys)

    def identifier(self, name: str) -> str:
        """A random UUID that tells this installation from others."""
        return self._value(name, lambda: str(uuid.uuid4()))

    def signing_keys_folder(self) -> Path:
        """The folder of <kid>.pem private keys tokens are signed with; one key to begin with."""
        folder = self._folder / SIGNING_KEYS_FOLDER
        folder.mkdir(exist_ok=True, mode=0o700)
        if not any(folder.glob("*.pem")):
            self._value(f"{SIGNING_KEYS_FOLDER}/0001.pem", _ed25519_pem)
        return folder

    def _value(self, name: str, make: Callable[[], str]) -> str:
        path = self._folder / name
        if not path.exists():
            partial = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(make())
                file.flush()
                os.fsync(file.fileno())
            try:
                # A link, not a rename: the first to arrive wins, and the loser reads its value.
                os.link(partial, path)
            except FileExistsError:
                pass
            finally:
                partial.unlink()
        return path.read_text().strip()


def _public_half(seed: str) -> str:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(base64.b64decode(seed))
    return _in_text(key.public_key().public_bytes_raw())


def _in_text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _ed25519_pem() -> str:
    key = ed25519.Ed25519PrivateKey.generate()
    return key.private_bytes(
        encoding=serialization.Encoding.PEM,
        format=serialization.PrivateFormat.PKCS8,
        encryption_algorithm=serialization.NoEncryption(),
    ).decode()
