"""RFC 7240 `Prefer: wait=N`: how long a client would rather wait than ask again."""

import re
import threading
import time
from collections.abc import Callable
from typing import Final

from flask import request

from wallet.domain.transactions import Status, Transaction

WAIT_SECONDS_DEFAULT: Final = 2
WAIT_SECONDS_MAX: Final = 10
# A request that waits keeps a thread. Most threads stay free for everybody else, also while
# checkouts are slow to open: who finds no seat is answered at once and told where to look.
SEATS: Final = 3
_LOOK_EVERY_SECONDS: Final = 0.05
_seats = threading.BoundedSemaphore(SEATS)
_WAIT: Final = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,6})\"?\s*(?=$|[,;])", re.IGNORECASE)


def preferred_wait_seconds() -> int:
    """Return how long this request may be kept waiting; a preference that is none is ignored."""
    found = _WAIT.search(",".join(request.headers.getlist("Prefer")))
    return min(int(found[1]), WAIT_SECONDS_MAX) if found else WAIT_SECONDS_DEFAULT


def wait_for_checkout(look: Callable[[], Transaction], *, seconds: float) -> Transaction:
    """Look at a deposit again and again until it can be paid or has ended.

    No unit of work is open while it waits, and no lock is held. At most `SEATS` requests of a
    process wait at a time; any other has one look.

    Args:
        look: Reads the deposit in a unit of its own.
        seconds: How long at most.

    Returns:
        The deposit as it was last seen.
    """
    deposit = look()
    if has_answer(deposit) or not _seats.acquire(blocking=False):
        return deposit
    try:
        deadline = time.monotonic() + seconds
        while not has_answer(deposit) and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY_SECONDS)
            deposit = look()
        return deposit
    finally:
        _seats.release()


def has_answer(deposit: Transaction) -> bool:
    """Say whether there is something for the client to go on with."""
    return deposit.checkout_url is not None or deposit.status is not Status.PENDING
