"""Seals of the ledger: what one says, what is signed, and what is kept of it elsewhere."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Final

from octoco.errors import OctocoError

# Changes with what is hashed, so that a hash of one form is never taken for one of another.
FORM: Final = "octoco ledger seal 1"
HASH_OF_NO_SEAL: Final = bytes(32)


class SealChainBroken(OctocoError):
    """The chain in the database is not the one that was sealed; nothing is signed upon it."""

    code: ClassVar[str] = "seal_chain_broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """One link of the chain over the ledger.

    Args:
        number: From 1, without a gap.
        from_xid: Where it begins, inclusive, in the order of (recorded_in, id) of transfers.
        from_id: Likewise.
        up_to_xid: Where it ends, exclusive.
        up_to_id: Likewise.
        transfers: How many it covers.
        entries: How many those have.
        content_hash: SHA-256 of the covered transfers with their entries.
        previous_hash: `hash` of the seal before; zeros for the first.
        hash: SHA-256 of all of the above and `sealed_at`; this is what is signed.
        sealed_at: Timezone-aware UTC, never before the seal before it.
        key_id: Which key signed; None until it is signed.
        signature: Ed25519 over `hash`; None until it is signed.
    """

    number: int
    from_xid: int
    from_id: int
    up_to_xid: int
    up_to_id: int
    transfers: int
    entries: int
    content_hash: bytes
    previous_hash: bytes
    hash: bytes
    sealed_at: datetime
    key_id: str | None
    signature: bytes | None

    def hash_of_what_it_says(self) -> bytes:
        """Compute what `hash` must be."""
        said = (
            FORM,
            self.number,
            self.from_xid,
            self.from_id,
            self.up_to_xid,
            self.up_to_id,
            self.transfers,
            self.entries,
            self.content_hash.hex(),
            self.previous_hash.hex(),
            self.sealed_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        )
        return hashlib.sha256("|".join(map(str, said)).encode()).digest()

    @property
    def reaches_the_cut(self) -> bool:
        """Whether it took all there was; if not, it is one slice of more."""
        return self.up_to_id == 0

    @property
    def head(self) -> "SealHead":
        """What is kept of it outside of the database.

        Raises:
            ValueError: it is not signed yet.
        """
        if self.key_id is None or self.signature is None:
            raise ValueError("An unsigned seal is kept nowhere.")
        return SealHead(
            number=self.number,
            hash=self.hash,
            sealed_at=self.sealed_at,
            key_id=self.key_id,
            signature=self.signature,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SealHead:
    """What a signed seal looks like outside of the database: enough to tell its chain by.

    Args:
        number: The seal's.
        hash: The seal's, which stands for every seal before it too.
        sealed_at: Timezone-aware UTC.
        key_id: Which key signed.
        signature: Ed25519 over `hash`.
    """

    number: int
    hash: bytes
    sealed_at: datetime
    key_id: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class SealKey:
    """A key that seals are signed or checked with.

    Args:
        key_id: Its name, which every seal it signs carries.
        value: 32 bytes: the secret seed of a private key, or a public key.
    """

    key_id: str
    value: bytes

    def __repr__(self) -> str:
        """Show the name alone."""
        return f"SealKey({self.key_id!r})"


@dataclass(frozen=True, slots=True)
class SealBacklog:
    """What waits to be sealed.

    Args:
        transfers: How many, counted up to a bound.
        oldest_booked_at: When the first of them was booked, UTC; None if nothing waits.
    """

    transfers: int
    oldest_booked_at: datetime | None


@dataclass(frozen=True, slots=True)
class SealingRun:
    """What one run of the sealer did.

    Args:
        seals: How many were signed and kept.
        healed: How many seals of earlier runs were added to the file of heads.
    """

    seals: int
    healed: int


@dataclass(frozen=True, slots=True)
class Healing:
    """What was added outside of the database of seals that earlier runs signed.

    Args:
        heads: How many; one is what a crash between signing and keeping leaves.
        nothing_was_kept: Whether there was no head at all, though seals were signed.
    """

    heads: int
    nothing_was_kept: bool
