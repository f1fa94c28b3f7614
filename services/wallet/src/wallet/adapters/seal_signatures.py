"""Ed25519 for seals: the key that signs, and the keys that signatures are checked with."""

from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from octoco.errors import ConfigurationError
from wallet.domain.seals import SealHead, SealKey


class Ed25519Signer:
    """See `wallet.use_cases.seal_ports.SealSigner`.

    Args:
        key: Its secret is the 32-byte seed of RFC 8032.
        known: Public keys that signatures of others are checked with, beside the key's own half.

    Raises:
        ConfigurationError: `known` holds another key under the id of `key`.
    """

    def __init__(self, key: SealKey, known: Sequence[SealKey] = ()) -> None:
        self.key_id = key.key_id
        self._private_key = Ed25519PrivateKey.from_private_bytes(key.value)
        self._verifier = Ed25519Verifier(known_public_keys([key], known))

    def sign(self, hash_to_sign: bytes) -> bytes:
        return self._private_key.sign(hash_to_sign)

    def holds(self, head: SealHead) -> bool:
        return self._verifier.holds(head)


class Ed25519Verifier:
    """Tells whether a seal was signed by one of the keys it is given.

    Args:
        keys: Public keys of 32 bytes, those included that do not sign any more.
    """

    def __init__(self, keys: Sequence[SealKey]) -> None:
        self._keys: Mapping[str, Ed25519PublicKey] = {
            key.key_id: Ed25519PublicKey.from_public_bytes(key.value) for key in keys
        }

    def knows(self, key_id: str) -> bool:
        return key_id in self._keys

    def holds(self, head: SealHead) -> bool:
        """Return whether the signature is that of the key it names, over the hash."""
        key = self._keys.get(head.key_id)
        if key is None:
            return False
        try:
            key.verify(head.signature, head.hash)
        except InvalidSignature:
            return False
        return True


def public_key_of(key: SealKey) -> SealKey:
    """Return the public half of a private key, under the same id."""
    public_key = Ed25519PrivateKey.from_private_bytes(key.value).public_key()
    return SealKey(key.key_id, public_key.public_bytes(Encoding.Raw, PublicFormat.Raw))


def known_public_keys(private: Sequence[SealKey], public: Sequence[SealKey]) -> Sequence[SealKey]:
    """Return the halves of the private keys and the public keys, each once.

    Raises:
        ConfigurationError: two of them are different keys under one id.
    """
    keys = {key.key_id: key for key in map(public_key_of, private)}
    for key in public:
        if keys.setdefault(key.key_id, key) != key:
            raise ConfigurationError(
                f"LEDGER_SEAL_PUBLIC_KEYS holds another key {key.key_id} than LEDGER_SEAL_KEYS"
            )
    return tuple(keys.values())
