"""Refresh tokens that can be made again without being stored."""

import base64
import hashlib
import hmac

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from accounts.adapters.tokens.signing_keys import SigningKey, SigningKeys
from accounts.domain.secrets import new_secret

_PREFIX = "rft"
_DERIVATION = b"octoco accounts: refresh token successors, version 1"


class DerivedRefreshSecrets:
    """See `accounts.use_cases.ports.RefreshSecrets`.

    A successor is the HMAC of the presented token, the family's salt and the generation under a
    key of the server's. Making it therefore takes all three: the server's key (not in the
    database), the salt (not at the client) and the token itself (stored nowhere). A stolen
    database or a stolen token alone gives nothing.

    The HMAC keys are derived by HKDF from the signing keys, which puts them under the same guard
    and rotation; the derivation's label keeps the two uses apart.

    Source: RFC 2104 (HMAC), RFC 5869 (HKDF).
    """

    def __init__(self, keys: SigningKeys) -> None:
        self._keys = keys

    @property
    def current_key_id(self) -> str:
        return self._keys.current.key_id

    def first(self) -> str:
        return new_secret(_PREFIX)

    def successor(self, presented: str, *, key_id: str, salt: bytes, generation: int) -> str | None:
        key = self._keys.find(key_id)
        if key is None:
            return None
        # Fixed-length parts first, so that no two inputs read the same.
        message = hashlib.sha256(salt).digest() + generation.to_bytes(8) + presented.encode()
        digest = hmac.digest(_derivation_key(key), message, "sha256")
        return f"{_PREFIX}_{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def _derivation_key(key: SigningKey) -> bytes:
    private_bytes = key.private_key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    derivation = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=_DERIVATION)
    return derivation.derive(private_bytes)
