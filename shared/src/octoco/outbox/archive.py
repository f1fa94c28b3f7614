"""Confirmed messages kept for some days, for whoever wants to know what was announced when."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from environs import Env, EnvError

from octoco.database.engine import Database
from octoco.errors import ConfigurationError
from octoco.messaging.contracts import SECRET, Contracts

KEEP_EVERY_SECONDS: Final = 3600.0
DAYS_MAX: Final = 3650
_DAYS_AHEAD: Final = 3


@dataclass(frozen=True, slots=True)
class OutboxSettings:
    """What becomes of messages that are confirmed.

    Args:
        archive_days: They are kept for so many days; with 0 they are deleted at once.
    """

    archive_days: int = 0


def read_outbox_settings(env: Env) -> OutboxSettings:
    """Read OUTBOX_ARCHIVE_DAYS; without it there is no archive.

    Raises:
        ConfigurationError: it is no whole number, or out of bounds.
    """
    try:
        days: int | None = env.int("OUTBOX_ARCHIVE_DAYS", 0)
    except EnvError:
        days = None
    if days is None or not 0 <= days <= DAYS_MAX:
        raise ConfigurationError(f"OUTBOX_ARCHIVE_DAYS must be a whole number from 0 to {DAYS_MAX}")
    return OutboxSettings(days)


def types_with_secrets(contracts: Contracts) -> Sequence[str]:
    """Return the event types whose bodies are not archived: what they carry is to be gone soon."""
    return [
        event_type
        for event_type in contracts.event_types
        if json.dumps(SECRET) in json.dumps(contracts.schema(event_type))
    ]


class OutboxArchive:
    """Makes the archive's partitions ahead of time and drops those that are too old.

    Args:
        database: Where the outbox is; the service's role may have it done, and do no more.
        days: How long messages are kept.
    """

    def __init__(self, database: Database, *, days: int) -> None:
        self._database = database
        self._days = days

    def keep(self) -> None:
        """Do both; a repeat, or another process at the same time, changes nothing.

        A message that is confirmed on a day without a partition goes to the partition of the rest
        and is deleted from there.

        Raises:
            Unavailable: the database is away, or the archive is in use for too long.
        """
        self._database.statement(
            "SELECT keep_outbox_archive(:days, :ahead)",
            {"days": self._days, "ahead": _DAYS_AHEAD},
        )
