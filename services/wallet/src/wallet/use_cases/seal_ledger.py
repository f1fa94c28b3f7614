"""Seal what is committed for good, sign it, and keep the head outside of the database."""

from collections.abc import Callable
from functools import partial
from typing import Final

from wallet.domain.seals import (
    HASH_OF_NO_SEAL,
    Healing,
    Seal,
    SealChainBroken,
    SealHead,
    SealingRun,
)
from wallet.use_cases.seal_ports import SealHeads, Seals, SealSigner

HEALED_AT_ONCE: Final = 500


def seal_ledger(
    seals: Seals,
    *,
    signer: SealSigner,
    heads: SealHeads,
    seals_max: int,
    on_sealed: Callable[[Seal], object],
    on_healed: Callable[[Healing], object],
) -> SealingRun:
    """Seal what is committed for good by now, up to the bound; each seal is kept outside at once.

    May die anywhere and be run again, also by several processes at the same time: an unsigned
    seal is signed by the next run, a signed one that is missing outside is added there, and no
    seal begins before the one before it is signed. The database chooses and hashes what is
    sealed; this only signs, and only what continues the chain it knows from outside. So a chain
    that was rewritten in the database is not made good by the key that the attacker lacks. Nor is
    a signature taken on trust: a seal is kept outside only if a known key signed it.

    Args:
        seals: The chain in the database.
        signer: The key in use, and those that signatures are checked with.
        heads: Where heads are kept.
        seals_max: Most new seals in this run, so that a backlog does not hold up its caller.
        on_sealed: Told of each new seal when it is kept outside.
        on_healed: Told of older seals that were missing outside, also if the run then fails.

    Returns:
        How many seals are new, and how many older ones were missing outside.

    Raises:
        SealChainBroken: the last head kept is not in the database, a seal is not what its hash
            says or not signed by a known key, or the database's transactions are numbered below
            what is sealed.

    Source: docs/ledger.md, Seals; ADR-0007.
    """
    last = heads.last()
    if last is not None:
        _require_same(last, seals.find(last.number))
    catch_up = partial(_catch_up, seals, signer=signer, heads=heads, on_healed=on_healed)
    last, healed = catch_up(last=last)

    sealed = 0
    while sealed < seals_max and (prepared := seals.prepare()) is not None:
        if prepared.number != _number(last) + 1:
            # Another process sealed meanwhile; whatever lies before this seal is signed.
            last, others = catch_up(last=last)
            healed += others
            if prepared.number <= _number(last):
                continue
        _require_next(prepared, after=last)
        seal = seals.sign(
            number=prepared.number, key_id=signer.key_id, signature=signer.sign(prepared.hash)
        )
        # Not what was asked for, perhaps: another process or anybody's hand may have been first.
        last = _signed_next(seal, after=last, signer=signer)
        heads.append([last])
        on_sealed(seal)
        sealed += 1
        # What was committed meanwhile is the next run's: a seal each for a handful of transfers
        # would cost more than what it seals.
        if seal.reaches_the_cut:
            break
    return SealingRun(sealed, healed)


def _catch_up(
    seals: Seals,
    *,
    signer: SealSigner,
    heads: SealHeads,
    last: SealHead | None,
    on_healed: Callable[[Healing], object],
) -> tuple[SealHead | None, int]:
    """Keep outside whatever is signed and not kept yet."""
    nothing_was_kept = last is None
    healed = 0
    try:
        while missing := seals.signed_after(_number(last), limit=HEALED_AT_ONCE):
            signed = []
            for seal in missing:
                last = _signed_next(seal, after=last, signer=signer)
                signed.append(last)
            healed += heads.append(signed)
    finally:
        if healed:
            on_healed(Healing(healed, nothing_was_kept=nothing_was_kept))
    return last, healed


def _number(head: SealHead | None) -> int:
    return 0 if head is None else head.number


def _require_same(head: SealHead, seal: Seal | None) -> None:
    if seal is None or seal.hash != head.hash:
        raise SealChainBroken(f"Seal {head.number} in the database is not the one kept outside.")


def _signed_next(seal: Seal, *, after: SealHead | None, signer: SealSigner) -> SealHead:
    _require_next(seal, after=after)
    if seal.signature is None or not signer.holds(seal.head):
        raise SealChainBroken(f"Seal {seal.number} is not signed by a key that is known.")
    return seal.head


def _require_next(seal: Seal, *, after: SealHead | None) -> None:
    expected = (after.number + 1, after.hash) if after else (1, HASH_OF_NO_SEAL)
    if (seal.number, seal.previous_hash) != expected:
        raise SealChainBroken(f"Seal {seal.number} does not continue seal {expected[0] - 1}.")
    if seal.hash != seal.hash_of_what_it_says():
        raise SealChainBroken(f"The hash of seal {seal.number} is not that of what it says.")
