"""The worker's job that seals the ledger, and what is seen of it from outside."""

from typing import Final

import structlog
from prometheus_client import Counter, Gauge

from octoco.errors import Unavailable
from octoco.worker import PeriodicJob
from wallet.bootstrap import Sealing, Wallet
from wallet.domain.seals import Healing, Seal, SealingRun
from wallet.use_cases.seal_ledger import seal_ledger

SEAL_EVERY_SECONDS: Final = 5.0
# About a million transfers: what waits beyond that is the next run's.
SEALS_MAX: Final = 50

SEAL_AGE: Final = Gauge(
    "wallet_ledger_seal_age_seconds",
    "How long the oldest transfer without a seal has waited for one; 0 if none waits.",
    multiprocess_mode="mostrecent",
)
UNSEALED: Final = Gauge(
    "wallet_ledger_unsealed_transfers",
    "Transfers without a seal, counted up to 100,000.",
    multiprocess_mode="mostrecent",
)
SEALS: Final = Counter("wallet_ledger_seals_total", "Seals signed and kept outside.")
SEALED_TRANSFERS: Final = Counter("wallet_ledger_sealed_transfers_total", "Transfers sealed.")
HEALED: Final = Counter(
    "wallet_ledger_seal_heads_healed_total",
    "Heads added to the file outside that were signed by an earlier run.",
)
FAILURES: Final = Counter(
    "wallet_ledger_seal_failures_total",
    "Runs that could not seal, by the kind of error.",
    ["error"],
)


def sealing_job(wallet: Wallet, sealing: Sealing) -> PeriodicJob:
    """Return the periodic job that seals the ledger."""
    return PeriodicJob("seal_ledger", SEAL_EVERY_SECONDS, lambda: seal(wallet, sealing))


def seal(wallet: Wallet, sealing: Sealing) -> SealingRun:
    """Seal what is committed for good, say so in the log, and measure what waits.

    Raises:
        SealChainBroken: the chain in the database is not the one that was sealed. It rings: this
            is found by nothing but somebody's hand, or a restored database.
        Unavailable: the database is away.
    """
    try:
        return seal_ledger(
            sealing.seals,
            signer=sealing.signer,
            heads=sealing.heads,
            seals_max=SEALS_MAX,
            on_sealed=_tell,
            on_healed=_tell_of_healing,
        )
    except Exception as error:
        FAILURES.labels(error=type(error).__name__).inc()
        raise
    finally:
        _measure(wallet, sealing)


def _tell(seal: Seal) -> None:
    SEALS.inc()
    SEALED_TRANSFERS.inc(seal.transfers)
    # The log is a second place outside of the database where the chain's head is kept.
    structlog.get_logger("wallet.seals").info(
        "ledger_sealed",
        number=seal.number,
        hash=seal.hash.hex(),
        key_id=seal.key_id,
        transfers=seal.transfers,
        entries=seal.entries,
        up_to_xid=seal.up_to_xid,
        sealed_at=seal.sealed_at.isoformat(),
    )


def _tell_of_healing(healing: Healing) -> None:
    HEALED.inc(healing.heads)
    logger = structlog.get_logger("wallet.seals")
    if healing.nothing_was_kept:
        # Who takes the file away may have changed the chain as well.
        logger.error("ledger_seal_heads_were_missing", heads=healing.heads)
    else:
        logger.warning("ledger_seal_heads_healed", heads=healing.heads)


def _measure(wallet: Wallet, sealing: Sealing) -> None:
    try:
        backlog = sealing.seals.backlog()
    except Unavailable:
        return
    oldest = backlog.oldest_booked_at
    age_seconds = 0.0 if oldest is None else (wallet.clock.now() - oldest).total_seconds()
    SEAL_AGE.set(max(age_seconds, 0.0))
    UNSEALED.set(backlog.transfers)
