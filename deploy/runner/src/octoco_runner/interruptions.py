"""Putting things away without being stopped half way."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def uninterrupted(say: Callable[[str], None]) -> Iterator[None]:
    """Answer Ctrl-C and its like with a word instead of obeying, for the block.

    What is put away here must always be put away whole, and ends by itself in bounded time.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, lambda *_: say("Stopping already; this ends by itself."))
        for number in SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
