"""The wire passes everything on, and loses exactly what it is told to lose."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from octoco.testing.wire import Fate, Wire


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while heard := self.request.recv(4096):
            self.server.heard.append(heard)  # type: ignore[attr-defined]
            self.request.sendall(heard)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Echo)
        self.heard: list[bytes] = []


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    with Wire("127.0.0.1", server.server_address[1]) as made:
        yield made


def client_of(wire: Wire) -> "closing[socket.socket]":
    return closing(socket.create_connection(("127.0.0.1", wire.port), timeout=5))


def ask(client: socket.socket, what: bytes) -> bytes:
    client.sendall(what)
    return client.recv(4096)


def test_what_is_said_arrives_and_so_does_the_answer(wire: Wire) -> None:
    with client_of(wire) as client:
        assert [ask(client, what) for what in (b"one", b"two")] == [b"one", b"two"]


def test_an_answer_is_lost_after_the_server_was_asked(wire: Wire, server: Server) -> None:
    wire.watch = lambda sent: Fate.ANSWER_IS_LOST if sent == b"two" else Fate.ARRIVES
    with client_of(wire) as client:
        assert ask(client, b"one") == b"one"
        assert ask(client, b"two") == b""
    assert wire.answer_lost.wait(5)
    assert server.heard == [b"one", b"two"]


def test_what_never_arrives_is_not_heard_of(wire: Wire, server: Server) -> None:
    wire.watch = lambda sent: Fate.NEVER_ARRIVES if sent == b"two" else Fate.ARRIVES
    with client_of(wire) as client:
        assert ask(client, b"one") == b"one"
        assert ask(client, b"two") == b""
    assert server.heard == [b"one"]


def test_a_cut_ends_the_connections_there_are_and_not_the_next(wire: Wire) -> None:
    with client_of(wire) as client:
        ask(client, b"one")
        wire.cut()
        assert client.recv(10) == b""
    with client_of(wire) as another:
        assert ask(another, b"three") == b"three"


def test_urls_lead_through_the_wire(wire: Wire) -> None:
    url = wire.url_through("postgresql://me:secret@db.example:5432/books")
    assert url == f"postgresql://me:secret@127.0.0.1:{wire.port}/books"
