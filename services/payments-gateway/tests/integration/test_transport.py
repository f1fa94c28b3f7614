"""Calls over HTTP: what is repeated, what is not, and what is never said aloud."""

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from structlog.testing import capture_logs

from octoco.errors import Unavailable
from payments_gateway.adapters.revio.transport import (
    ATTEMPTS_MAX,
    Call,
    NotFound,
    Refused,
    RevioTransport,
)

KEY = "sk-very-secret"


class Provider:
    """An HTTP server that answers what the test says and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.asked: list[tuple[str, str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                key = self.headers.get("Authorization", "")
                outer.asked.append((self.command, self.path, key))
                status, headers, body = outer.answers.pop(0)
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = _answer  # noqa: N815 - the names that the server calls

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - likewise
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def will(self, status: int, body: Any = None, **headers: str) -> None:
        self.answers.append((status, headers, json.dumps(body).encode()))


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.fixture
def transport(provider: Provider) -> RevioTransport:
    return RevioTransport(base_url=f"{provider.url}/api/v1", secret_key=KEY)


READ = Call("purchase_read", "GET", "purchases/1/", repeatable=True)
EXECUTE = Call("payout_execute", "POST", "/po/secret/bank/", {"n": 1}, guarded=False)


def test_a_read_is_repeated_after_a_server_error(
    provider: Provider, transport: RevioTransport
) -> None:
    provider.will(503)
    provider.will(200, {"ok": True})
    assert transport.perform(READ) == {"ok": True}
    assert [path for _, path, _ in provider.asked] == ["/api/v1/purchases/1/"] * 2


def test_a_read_is_repeated_within_a_bound(provider: Provider, transport: RevioTransport) -> None:
    for _ in range(10):
        provider.will(500)
    with pytest.raises(Unavailable):
        transport.perform(READ)
    assert len(provider.asked) == ATTEMPTS_MAX


@pytest.mark.parametrize("status", [301, 307, 401, 403, 418, 429, 500, 502, 503, 504])
def test_an_execution_is_sent_once_whatever_the_answer(
    provider: Provider, transport: RevioTransport, status: int
) -> None:
    provider.will(status, {}, Location="/elsewhere/")
    with pytest.raises(Unavailable):
        transport.perform(EXECUTE)
    assert [path for _, path, _ in provider.asked] == ["/po/secret/bank/"]


def test_an_execution_is_sent_once_without_an_answer(transport: RevioTransport) -> None:
    silent = RevioTransport(base_url="http://127.0.0.1:9/api/v1/", secret_key=KEY)
    with pytest.raises(Unavailable) as unavailable:
        silent.perform(EXECUTE)
    assert "/po/" not in str(unavailable.value)
    assert unavailable.value.__cause__ is None


@pytest.mark.parametrize("status", [400, 409, 422])
def test_a_refusal_is_not_repeated_and_carries_its_code(
    provider: Provider, transport: RevioTransport, status: int
) -> None:
    provider.will(status, {"__all__": {"code": "wrong", "message": "m"}})
    with pytest.raises(Refused) as refused:
        transport.perform(READ)
    assert (refused.value.error.code, refused.value.status) == ("wrong", status)


def test_what_is_not_there_is_not_found(provider: Provider, transport: RevioTransport) -> None:
    provider.will(404, {"__all__": [{"code": "not_found"}]})
    with pytest.raises(NotFound):
        transport.perform(READ)


def test_the_wish_to_be_left_alone_is_kept(provider: Provider, transport: RevioTransport) -> None:
    provider.will(429, {}, **{"Retry-After": "120"})
    with pytest.raises(Unavailable) as unavailable:
        transport.perform(READ)
    assert unavailable.value.retry_after_seconds == 120
    assert len(provider.asked) == 1


def test_an_answer_that_is_no_json_is_no_answer(
    provider: Provider, transport: RevioTransport
) -> None:
    provider.answers.append((200, {}, b"<html>"))
    with pytest.raises(Unavailable):
        transport.perform(READ)


def test_an_open_circuit_holds_reads_back_and_lets_an_execution_pass(
    provider: Provider, transport: RevioTransport
) -> None:
    for _ in range(2 * ATTEMPTS_MAX):
        provider.will(500)
    for _ in range(2):
        with pytest.raises(Unavailable):
            transport.perform(READ)
    asked = len(provider.asked)
    with pytest.raises(Unavailable):
        transport.perform(READ)
    assert len(provider.asked) == asked
    provider.answers = []
    provider.will(200, {"status": "pending"})
    assert transport.perform(EXECUTE) == {"status": "pending"}


def test_neither_key_nor_execution_address_is_logged(
    provider: Provider, transport: RevioTransport, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    provider.will(500)
    with capture_logs() as logs, pytest.raises(Unavailable):
        transport.perform(EXECUTE)
    everything = caplog.text + json.dumps(logs)
    assert KEY not in everything
    assert "/po/secret" not in everything
    assert provider.asked[0][2] == f"Bearer {KEY}"
