"""How a service handles events: the settings that every worker has, from the environment."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from environs import Env, EnvError

from octoco.errors import ConfigurationError
from octoco.intents.executor import THREADS_PER_KIND
from octoco.messaging.deliveries import BATCH_SIZE

N = TypeVar("N", int, float)

THREADS_MAX: Final = 64
# AMQP's prefetch count is an unsigned short, in which 0 would mean no limit.
PREFETCH_MAX: Final = 65_535
BATCH_SIZE_MAX: Final = 10_000
# Parked events, the look for due intents, and periodic jobs.
CONNECTIONS_BESIDE: Final = 6
_WHOLE: Final = "whole number"


@dataclass(frozen=True, slots=True)
class EventSettings:
    """How many events are handled at once, and how long one may take.

    Args:
        threads: Deliveries, or batches, handled at once.
        prefetch: Deliveries fetched and not yet acked; None is twice what may be in hand.
        batch_size: Most events given to a batch handler.
        batch_turn_seconds: How long a process queues for its turn at handling a batch.
        handling_seconds_max: After this long a handler counts as hung and its process ends.
        parked_seconds_max: An event that is parked for longer counts as overdue.
    """

    threads: int = 4
    prefetch: int | None = None
    batch_size: int = BATCH_SIZE
    batch_turn_seconds: float = 1.0
    handling_seconds_max: float = 60.0
    parked_seconds_max: float = 86_400.0

    def connections(self, *, intent_kinds: int = 0) -> int:
        """Return how many database connections a worker needs that nothing waits for one in vain.

        Args:
            intent_kinds: How many kinds its executor performs, each in places of its own.
        """
        return self.threads + CONNECTIONS_BESIDE + intent_kinds * THREADS_PER_KIND

    def prefetch_count(self, *, has_batches: bool) -> int:
        """Return how many deliveries the broker may have handed out unacked.

        Args:
            has_batches: Whether any type has a batch handler: then a batch is in the making
                while one is handled.
        """
        if self.prefetch is not None:
            return self.prefetch
        in_hand = max(self.threads, self.batch_size if has_batches else 0)
        return min(2 * in_hand, PREFETCH_MAX)


def read_event_settings(env: Env) -> EventSettings:
    """Read EVENT_THREADS, EVENT_PREFETCH, EVENT_BATCH_SIZE and the times; all have defaults.

    Raises:
        ConfigurationError: one of them is out of bounds; the message names it and its bounds.
    """
    usual = EventSettings()
    threads = _within(env.int, "EVENT_THREADS", usual.threads, 1, THREADS_MAX, kind=_WHOLE)
    # Fewer than the threads would leave some of them with nothing to do.
    prefetch = (
        _within(env.int, "EVENT_PREFETCH", threads, threads, PREFETCH_MAX, kind=_WHOLE)
        if env.str("EVENT_PREFETCH", "")
        else None
    )
    return EventSettings(
        threads=threads,
        prefetch=prefetch,
        batch_size=_within(
            env.int, "EVENT_BATCH_SIZE", usual.batch_size, 1, BATCH_SIZE_MAX, kind=_WHOLE
        ),
        batch_turn_seconds=_within(
            env.float, "EVENT_BATCH_TURN_SECONDS", usual.batch_turn_seconds, 0.01, 60.0
        ),
        handling_seconds_max=_within(
            env.float, "EVENT_HANDLING_SECONDS_MAX", usual.handling_seconds_max, 30.0, 1500.0
        ),
        parked_seconds_max=_within(
            env.float, "EVENT_PARKED_SECONDS_MAX", usual.parked_seconds_max, 60.0, 31_536_000.0
        ),
    )


def _within(
    read: Callable[[str, N], N], name: str, usual: N, least: N, most: N, *, kind: str = "number"
) -> N:
    try:
        value = read(name, usual)
    except EnvError:
        value = None
    # Also false for what is not a number.
    if value is None or not least <= value <= most:
        raise ConfigurationError(f"{name} must be a {kind} from {least:.10g} to {most:.10g}")
    return value
