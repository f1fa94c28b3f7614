"""How consumers come by their connections."""

from collections.abc import Callable
from typing import Any, Final

import pika

from octoco.messaging.decoding import read_whatever_comes

# Makes a connection that is used by the one thread which made it.
Connect = Callable[[], Any]

SOCKET_SECONDS: Final = 5.0
# A connection that was cut without a word is given up after two of these.
HEARTBEAT_SECONDS: Final = 10


def connecting_to(url: str) -> Connect:
    """Return what connects to the broker at a URL; each call makes a connection or raises.

    Args:
        url: A heartbeat that it names is kept.
    """
    read_whatever_comes()
    parameters = pika.URLParameters(url)
    if parameters.heartbeat is None:
        parameters.heartbeat = HEARTBEAT_SECONDS
    # Whoever waits for a broker that never answers must hear of a stop all the same.
    parameters.socket_timeout = SOCKET_SECONDS
    parameters.stack_timeout = 2 * SOCKET_SECONDS

    def connect() -> pika.BlockingConnection:
        return pika.BlockingConnection(parameters)

    return connect
