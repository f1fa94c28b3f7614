"""What sealing the ledger asks of the database, of the key and of the file outside."""

from collections.abc import Sequence
from typing import Protocol

from wallet.domain.seals import Seal, SealBacklog, SealHead


class Seals(Protocol):
    """The chain in the database. Each call is committed when it returns."""

    def prepare(self) -> Seal | None:
        """Append the next seal, unsigned, over what is committed for good and not yet sealed.

        Returns:
            The seal to sign, one left over by a run that died included; None if there is
            nothing to seal or another process is sealing.

        Raises:
            SealChainBroken: the database's transactions are numbered below what is sealed, so
                nothing of what is booked now could ever be covered.
        """
        ...

    def sign(self, *, number: int, key_id: str, signature: bytes) -> Seal:
        """Sign a seal once; whoever comes second gets the seal as it was signed first."""
        ...

    def find(self, number: int) -> Seal | None: ...

    def signed_after(self, number: int, *, limit: int) -> Sequence[Seal]:
        """Return signed seals with a higher number, lowest first."""
        ...

    def backlog(self) -> SealBacklog: ...


class SealSigner(Protocol):
    """The private key that signs now, and the public ones of all that ever signed."""

    @property
    def key_id(self) -> str: ...

    def sign(self, hash_to_sign: bytes) -> bytes:
        """Return the Ed25519 signature; the same hash always gets the same one."""
        ...

    def holds(self, head: SealHead) -> bool:
        """Return whether the signature is that of a known key, over the hash."""
        ...


class SealHeads(Protocol):
    """The heads of the chain, kept outside of the database, oldest first."""

    def last(self) -> SealHead | None:
        """Return the newest head that is kept whole."""
        ...

    def append(self, heads: Sequence[SealHead]) -> int:
        """Keep heads for good before returning; those that are kept already are passed over.

        Returns:
            How many were not kept already.

        Raises:
            SealChainBroken: another hash is kept under one of the numbers, or a number between
                is missing.
        """
        ...
