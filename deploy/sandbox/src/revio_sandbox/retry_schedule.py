"""When a webhook is tried again: nine attempts, exponentially apart, the last at +36 hours."""

ATTEMPTS_MAX = 9
LAST_ATTEMPT_SECONDS = 36 * 3600
GROWTH = 3


def attempt_offset_seconds(attempts_made: int, *, scale: float) -> float | None:
    """Return when the next attempt is due, counted from the first one.

    The published facts are the number of attempts, exponential growth and the last attempt at
    +36 h; the factor of 3 is ours and gives 39.5 s, 2 min 38 s, 8 min 34 s, ... between them.

    Args:
        attempts_made: Attempts so far, at least 1.
        scale: Divides every interval.

    Returns:
        Seconds after the first attempt, or None when there is no further attempt.

    Source: revio-api, section 6.3.
    """
    if attempts_made >= ATTEMPTS_MAX:
        return None
    reached: int = GROWTH**attempts_made - 1
    whole: int = GROWTH ** (ATTEMPTS_MAX - 1) - 1
    return LAST_ATTEMPT_SECONDS * reached / whole / scale
