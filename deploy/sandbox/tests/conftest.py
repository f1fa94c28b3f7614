"""A sandbox in a process of its own, a merchant who calls it, and a receiver of its webhooks."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

SECRET_KEY = "key-of-the-tests"
BRAND_ID = "11111111-2222-4333-8444-555555555555"
COMPANY_ID = "66666666-7777-4888-8999-aaaaaaaaaaaa"
GOOD_CARD = {
    "card_number": "4444 3333 2222 1111",
    "cardholder_name": "Thandi Nkosi",
    "expires": "12/39",
    "cvc": "123",
}
Document = dict[str, Any]
T = TypeVar("T")


def wait_until(condition: Callable[[], T], *, what: str, within_seconds: float = 20.0) -> T:
    deadline = time.monotonic() + within_seconds
    pause = threading.Event()
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {within_seconds} s for {what}"
        pause.wait(0.02)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class SandboxProcess:
    """`revio-sandbox serve` as anybody would run it."""

    def __init__(self, data_dir: Path, **options: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._data_dir = data_dir
        self._options = {
            "clock-scale": "20000",
            "key-bits": "2048",
            "payout-seconds": "0.05",
            "pending-seconds": "0.05",
            **options,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "revio_sandbox", "serve", "--port", str(self.port)]
        command += ["--data", str(self._data_dir), "--log-level", "warning"]
        for name, value in self._options.items():
            command += [f"--{name}", value]
        environment = {
            "PATH": os.environ["PATH"],
            "SANDBOX_SECRET_KEY": SECRET_KEY,
            "SANDBOX_BRAND_ID": BRAND_ID,
            "SANDBOX_COMPANY_ID": COMPANY_ID,
        }
        self._process = subprocess.Popen(command, env=environment, start_new_session=True)
        wait_until(self._healthy, what="the sandbox to answer /health")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        assert self._process is not None
        if how is signal.SIGKILL:
            os.killpg(self._process.pid, how)
        else:
            self._process.send_signal(how)
        self._process.wait(timeout=20)

    def _healthy(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "the sandbox ended"
        try:
            return requests.get(f"{self.url}/health", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False


class Merchant:
    """Calls the gateway as a merchant does, and control as a tester does."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {SECRET_KEY}"

    def close(self) -> None:
        self.session.close()

    def call(
        self, method: str, path: str, body: object = None, **options: Any
    ) -> requests.Response:
        return self.session.request(
            method, f"{self.url}/api/v1{path}", json=body, timeout=30, **options
        )

    def get(self, path: str) -> Document:
        answer = self.call("GET", path)
        assert answer.status_code == 200, answer.text
        found: Document = answer.json()
        return found

    def control(self, path: str, body: object = None, *, status: int | None = None) -> Document:
        answer = requests.post(f"{self.url}/control{path}", json=body or {}, timeout=30)
        assert answer.status_code in ((status,) if status else (200, 201)), answer.text
        found: Document = answer.json()
        return found

    def look(self, path: str) -> Document:
        answer = requests.get(f"{self.url}/control{path}", timeout=30)
        assert answer.status_code == 200, answer.text
        found: Document = answer.json()
        return found

    def purchase(self, **more: Any) -> Document:
        answer = self.call("POST", "/purchases/", purchase_body(**more))
        assert answer.status_code == 201, answer.text
        created: Document = answer.json()
        return created

    def read(self, purchase: Document) -> Document:
        return self.get(f"/purchases/{purchase['id']}/")

    def pay(self, purchase: Document, **card: str) -> requests.Response:
        return requests.post(
            f"{self.url}/p/{purchase['id']}/",
            data={**GOOD_CARD, **card},
            allow_redirects=False,
            timeout=30,
        )

    def payout(self, amount: int = 10_000, **more: Any) -> Document:
        answer = self.call("POST", "/payouts/", payout_body(amount=amount, **more))
        assert answer.status_code == 201, answer.text
        created: Document = answer.json()
        return created

    def execute(self, payout: Document, number: str = "62000000001") -> requests.Response:
        return requests.post(payout["execution_url"], json=bank_body(number), timeout=30)

    def read_payout(self, payout: Document) -> Document:
        return self.get(f"/payouts/{payout['id']}/")

    def wait_for_payout(self, payout: Document, status: str) -> Document:
        def reached() -> Document | None:
            found = self.read_payout(payout)
            return found if found["status"] == status else None

        found = wait_until(reached, what=f"the payout to be {status}")
        assert found is not None
        return found


def purchase_body(**more: Any) -> Document:
    details = more.pop("purchase", {})
    return {
        "brand_id": BRAND_ID,
        "client": {"email": "thandi@example.com", "full_name": "Thandi Nkosi"},
        "purchase": {
            "currency": "ZAR",
            "products": [{"name": "Wallet deposit", "price": 25_000}],
            "due_strict": True,
            **details,
        },
        "reference": f"dep_{uuid.uuid4().hex}",
        "success_redirect": "https://wallet.example/ok",
        "failure_redirect": "https://wallet.example/failed",
        "cancel_redirect": "https://wallet.example/left",
        **more,
    }


def payout_body(*, amount: object = 10_000, **more: Any) -> Document:
    return {
        "brand_id": BRAND_ID,
        "client": {"email": "thandi@example.com", "full_name": "Thandi Nkosi"},
        "payment": {"amount": amount, "currency": "ZAR", "description": "Wallet withdrawal"},
        "reference": f"wd_{uuid.uuid4().hex}",
        **more,
    }


def bank_body(number: str) -> Document:
    return {
        "payout_type": "bank",
        "bank_name": "FNB",
        "bank_code": "250655",
        "bank_account_name": "Thandi Nkosi",
        "bank_account_number": number,
    }


@dataclass(frozen=True)
class Received:
    """One webhook as it came over the wire."""

    body: bytes
    signature: str | None
    at: float

    @property
    def json(self) -> Document:
        found: Document = json.loads(self.body)
        return found

    def verifies_with(self, public_pem: str) -> bool:
        key = serialization.load_pem_public_key(public_pem.encode())
        assert isinstance(key, rsa.RSAPublicKey)
        try:
            key.verify(
                base64.b64decode(self.signature or ""),
                self.body,
                padding.PKCS1v15(),
                hashes.SHA256(),
            )
        except InvalidSignature:
            return False
        return True


class Receiver:
    """A merchant's webhook address, which answers what a test wants it to."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        # Statuses for the next webhooks of an event; 200 when there is none.
        self.answers: dict[str, list[int]] = {}
        self.webhook: Document = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def events(self, object_id: str) -> list[str]:
        return [one.json["event_type"] for one in self.of(object_id)]

    def of(self, object_id: str, event: str = "") -> list[Received]:
        with self._lock:
            received = list(self.received)
        return [
            one
            for one in received
            if one.json.get("id") == object_id and event in ("", one.json["event_type"])
        ]

    def wait_for(self, object_id: str, event: str = "", *, count: int = 1) -> list[Received]:
        def enough() -> list[Received] | None:
            found = self.of(object_id, event)
            return found if len(found) >= count else None

        found = wait_until(enough, what=f"{count} webhooks {event} about {object_id}")
        assert found is not None
        return found

    def _take(self, body: bytes, signature: str | None) -> int:
        with self._lock:
            self.received.append(Received(body, signature, time.monotonic()))
            answers = self.answers.get(json.loads(body)["event_type"])
            return answers.pop(0) if answers else 200

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver._take(body, self.headers.get("X-Signature"))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@pytest.fixture(name="wait_until")
def wait_until_fixture() -> Callable[..., Any]:
    return wait_until


@pytest.fixture(scope="session")
def sandbox_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    process = SandboxProcess(tmp_path_factory.mktemp("sandbox") / "data")
    process.start()
    yield process.url
    process.stop()


@pytest.fixture
def merchant(sandbox_url: str) -> Iterator[Merchant]:
    merchant = Merchant(sandbox_url)
    yield merchant
    merchant.control("/reset")
    merchant.close()


@pytest.fixture
def receiver(merchant: Merchant) -> Iterator[Receiver]:
    receiver = Receiver()
    registration = {"title": "Tests", "callback": receiver.url, "all_events": True}
    receiver.webhook = merchant.call("POST", "/webhooks/", registration).json()
    yield receiver
    merchant.call("DELETE", f"/webhooks/{receiver.webhook['id']}/")
    receiver.close()


@pytest.fixture
def own_sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    """A sandbox the test may kill and start again."""
    process = SandboxProcess(tmp_path / "data")
    process.start()
    yield process
    process.stop()


@pytest.fixture
def open_merchant() -> Iterator[Callable[[str], Merchant]]:
    opened: list[Merchant] = []

    def open_one(url: str) -> Merchant:
        opened.append(Merchant(url))
        return opened[-1]

    yield open_one
    for merchant in opened:
        merchant.close()


@pytest.fixture
def open_receiver() -> Iterator[Callable[[], Receiver]]:
    opened: list[Receiver] = []

    def open_one() -> Receiver:
        opened.append(Receiver())
        return opened[-1]

    yield open_one
    for receiver in opened:
        receiver.close()
