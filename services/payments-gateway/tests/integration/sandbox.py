"""The Revio sandbox in a process of its own, driven from outside."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import requests

from octoco.testing import eventually

SECRET_KEY: Final = "key-of-the-tests"
BRAND_ID: Final = "11111111-2222-4333-8444-555555555555"
COMPANY_ID: Final = "66666666-7777-4888-8999-aaaaaaaaaaaa"
CARD: Final = {
    "card_number": "4444333322221111",
    "cardholder_name": "Thandi Nkosi",
    "expires": "12/39",
    "cvc": "123",
}
TIMEOUT_SECONDS: Final = 15


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Sandbox:
    """A running sandbox.

    Args:
        data: Its folder.
    """

    def __init__(self, data: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.api_url = f"{self.url}/api/v1/"
        self._data = data
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = {
            "SANDBOX_HOST": "127.0.0.1",
            "SANDBOX_PORT": str(self.port),
            "SANDBOX_DATA": str(self._data),
            "SANDBOX_SECRET_KEY": SECRET_KEY,
            "SANDBOX_BRAND_ID": BRAND_ID,
            "SANDBOX_COMPANY_ID": COMPANY_ID,
            "SANDBOX_CLOCK_SCALE": "100",
            "SANDBOX_PAYOUT_SECONDS": "0.2",
            "SANDBOX_PENDING_SECONDS": "0.2",
        }
        with (self._data.parent / "sandbox.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "revio_sandbox", "serve"],
                env={**os.environ, **options},
                stdout=log,
                stderr=log,
            )
        eventually(self._answers, within_seconds=30, what="the sandbox's health")

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(15)

    def control(self, path: str, **body: Any) -> Any:
        """Turn one of the sandbox's knobs."""
        answer = requests.post(f"{self.url}/control/{path}", json=body, timeout=TIMEOUT_SECONDS)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def next(self, operation: str, *, times: int = 1, **outcome: Any) -> None:
        """Let the next calls of an operation have this outcome."""
        self.control("next", operation=operation, outcome=outcome, times=times)

    def results(self, path: str) -> list[dict[str, Any]]:
        answer = requests.get(f"{self.url}/control/{path}", timeout=TIMEOUT_SECONDS)
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["results"]
        return found

    def pay(self, checkout_url: str, **card: str) -> None:
        """Do what a payer's browser does."""
        answer = requests.post(
            checkout_url, data={**CARD, **card}, allow_redirects=False, timeout=TIMEOUT_SECONDS
        )
        assert answer.status_code == 303, answer.status_code

    def refund(self, purchase_id: str, *, amount: int) -> dict[str, Any]:
        """Do what a merchant does at Revio's back office; returns the Payment."""
        answer = requests.post(
            f"{self.url}/api/v1/purchases/{purchase_id}/refund/",
            json={"amount": amount},
            headers={"Authorization": f"Bearer {SECRET_KEY}"},
            timeout=TIMEOUT_SECONDS,
        )
        answer.raise_for_status()
        payment: dict[str, Any] = answer.json()
        return payment

    def reset(self) -> None:
        self.control("reset", data=True)
        self.control("balance", currency="ZAR", payout_balance=100_000_000)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "the sandbox ended"
        try:
            return requests.get(f"{self.url}/health", timeout=2).ok
        except requests.ConnectionError:
            return False
