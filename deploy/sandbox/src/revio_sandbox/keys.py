"""RSA keys: one for the company, one for each webhook, kept as files in the data directory."""

import base64
import os
import threading
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

COMPANY = "company"


class Keys:
    """Makes, remembers and uses private keys by name; `COMPANY` or a webhook's id."""

    def __init__(self, directory: Path, *, bits: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._bits = bits
        self._lock = threading.Lock()
        self._loaded: dict[str, rsa.RSAPrivateKey] = {}

    def public_pem(self, name: str) -> str:
        """Return the public key of `name` as PEM, making the pair when there is none yet."""
        public = self._private(name).public_key()
        pem = public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return pem.decode("ascii")

    def sign(self, name: str, body: bytes) -> str:
        """Return base64 of the RSA PKCS#1 v1.5 signature over SHA-256 of `body`.

        Source: revio-api, section 6.2. The scheme is deterministic: the same body and key give
        the same text.
        """
        signature = self._private(name).sign(body, padding.PKCS1v15(), hashes.SHA256())
        return base64.b64encode(signature).decode("ascii")

    def _private(self, name: str) -> rsa.RSAPrivateKey:
        with self._lock:
            if name not in self._loaded:
                path = self._directory / f"{name}.pem"
                self._loaded[name] = _read(path) if path.exists() else self._make(path)
            return self._loaded[name]

    def _make(self, path: Path) -> rsa.RSAPrivateKey:
        key = rsa.generate_private_key(public_exponent=65537, key_size=self._bits)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        # Written aside and renamed: a process killed here must not leave half a key behind.
        draft = path.with_suffix(".draft")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
        draft.replace(path)
        return key


def _read(path: Path) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"{path} holds no RSA key")
    return key
