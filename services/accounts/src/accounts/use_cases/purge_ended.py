"""Delete what ended long ago: tokens and sessions that can never matter again."""

from datetime import timedelta
from typing import Final

from accounts.use_cases.ports import AccountsUnit, Ports

# Longer than any session lives: whoever presents a deleted token is a stranger to a dead family.
KEPT_AFTER_END: Final = timedelta(days=30)
BATCH: Final = 500
BATCHES_MAX: Final = 100


def purge_ended(ports: Ports) -> int:
    """Delete refresh tokens, sessions and verification tokens that expired 30 days ago or more.

    Works in small units, so that it stands in nobody's way, and stops after a bounded number of
    them; the next run goes on. The audit log keeps what happened.

    Args:
        ports: What accounts works with.

    Returns:
        How many rows were deleted.

    Raises:
        Unavailable: the database is away.
    """
    before = ports.clock.now() - KEPT_AFTER_END

    def work(unit: AccountsUnit) -> int:
        # Tokens go before their sessions, which they refer to.
        return (
            unit.refresh_tokens.delete_expired(before=before, limit=BATCH)
            + unit.sessions.delete_expired(before=before, limit=BATCH)
            + unit.verification_tokens.delete_expired(before=before, limit=BATCH)
        )

    deleted = 0
    for _ in range(BATCHES_MAX):
        count = ports.units.run(work)
        deleted += count
        if count == 0:
            break
    return deleted
