"""A wire between a client and a server that a test can watch, cut and lose answers on.

It knows no protocol. What it hands to its watcher is what the client sent in one piece, which is
one whole message wherever the client waits for each answer, as a database's does.
"""

import contextlib
import socket
import threading
from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import Final, Self

from sqlalchemy.engine import make_url

_PIECE_BYTES: Final = 1 << 16
_LOOPBACK: Final = "127.0.0.1"
# How psycopg2 asks PostgreSQL to commit: a simple query.
COMMIT: Final = b"Q\x00\x00\x00\x0bCOMMIT\x00"


class Fate(Enum):
    """What becomes of something that a client sent."""

    ARRIVES = "arrives"
    NEVER_ARRIVES = "never arrives"  # The wire is cut before it.
    ANSWER_IS_LOST = "answer is lost"  # It arrives, and the wire is cut when the answer comes.


def nothing_happens(_sent: bytes) -> Fate:
    """Let everything arrive."""
    return Fate.ARRIVES


class Wire:
    """Listens on a loopback port and passes on to a server what comes in, and back.

    Args:
        host: The server's.
        port: The server's.

    `watch` is called with each piece that a client sends, before it is passed on; it may take as
    long as it likes and do what it likes, such as killing somebody. `answer_lost` is set when an
    answer was lost, which tells that the server has done what it was asked for.
    """

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self._listener = socket.create_server((_LOOPBACK, 0))
        self._links: set[_Link] = set()
        self._lock = threading.Lock()
        self.port: int = self._listener.getsockname()[1]
        self.watch: Callable[[bytes], Fate] = nothing_happens
        self.answer_lost = threading.Event()
        self._accepting = threading.Thread(target=self._accept, name="wire", daemon=True)

    @classmethod
    def to(cls, url: str) -> "Wire":
        """Lay a wire to the server that a URL names."""
        parts = make_url(url)
        return cls(parts.host or _LOOPBACK, parts.port or 5432)

    def url_through(self, url: str) -> str:
        """Return the URL with the wire's end in the place of the server."""
        through = make_url(url).set(host=_LOOPBACK, port=self.port)
        return through.render_as_string(hide_password=False)

    def cut(self) -> None:
        """Break every connection there is; new ones may be made."""
        with self._lock:
            links = list(self._links)
        for link in links:
            link.cut()

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Wakes the thread that accepts, which closing alone does not.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        self._accepting.join(10)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._upstream, timeout=10)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            link = _Link(self, client, server)
            with self._lock:
                self._links.add(link)
            link.start()

    def _forget(self, link: "_Link") -> None:
        with self._lock:
            self._links.discard(link)


class _Link:
    """One connection: a thread for each direction, the last of which closes both ends."""

    def __init__(self, wire: Wire, client: socket.socket, server: socket.socket) -> None:
        self._wire = wire
        self._client = client
        self._server = server
        self._loses_answer = False
        self._running = 2
        self._lock = threading.Lock()

    def start(self) -> None:
        for work in (self._ask, self._answer):
            threading.Thread(target=self._run, args=(work,), name="wire", daemon=True).start()

    def cut(self) -> None:
        for end in (self._client, self._server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _run(self, work: Callable[[], None]) -> None:
        with contextlib.suppress(OSError):
            work()
        self.cut()
        with self._lock:
            self._running -= 1
            if self._running:
                return
        self._client.close()
        self._server.close()
        self._wire._forget(self)  # noqa: SLF001 - a link is a part of its wire

    def _ask(self) -> None:
        while sent := self._client.recv(_PIECE_BYTES):
            fate = self._wire.watch(sent)
            if fate is Fate.NEVER_ARRIVES:
                return
            if fate is Fate.ANSWER_IS_LOST:
                self._loses_answer = True
            self._server.sendall(sent)

    def _answer(self) -> None:
        while answer := self._server.recv(_PIECE_BYTES):
            if self._loses_answer:
                self._wire.answer_lost.set()
                return
            self._client.sendall(answer)
