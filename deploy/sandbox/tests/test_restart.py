"""Killed and started again, the sandbox has lost nothing."""

import signal
import subprocess
import sys
from typing import Any

import pytest


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_state_and_undelivered_webhooks_survive(
    own_sandbox: Any, open_merchant: Any, open_receiver: Any, how: signal.Signals
) -> None:
    merchant, shop = open_merchant(own_sandbox.url), open_receiver()
    body = {"title": "W", "callback": shop.url, "all_events": True}
    webhook = merchant.call("POST", "/webhooks/", body).json()
    company_key = merchant.get("/public_key/")
    merchant.control("/clock", {"scale": 1})
    shop.answers["purchase.created"] = [500]
    created = merchant.purchase()
    merchant.pay(created)
    shop.wait_for(created["id"], "purchase.created")
    merchant.control("/next", {"operation": "purchase_read", "outcome": {"http_status": 500}})
    own_sandbox.stop(how)
    assert shop.events(created["id"]) == ["purchase.created"]

    own_sandbox.start()
    again = open_merchant(own_sandbox.url)
    assert again.call("GET", f"/purchases/{created['id']}/").status_code == 500
    assert again.read(created)["status"] == "paid"
    assert again.get("/public_key/") == company_key
    again.control("/webhooks/hurry")
    received = shop.wait_for(created["id"], "purchase.paid")
    assert shop.events(created["id"]) == ["purchase.created", "purchase.created", "purchase.paid"]
    assert received[0].verifies_with(webhook["public_key"])


def test_a_pending_payout_finishes_after_a_kill(own_sandbox: Any, open_merchant: Any) -> None:
    merchant = open_merchant(own_sandbox.url)
    created = merchant.payout()
    outcome = {"result": "pending", "after_seconds": 5000}
    merchant.control("/next", {"operation": "payout_execute", "outcome": outcome})
    assert merchant.execute(created).json()["status"] == "pending"
    merchant.control("/clock", {"advance_seconds": 4000})
    own_sandbox.stop(signal.SIGKILL)
    own_sandbox.start()
    again = open_merchant(own_sandbox.url)
    assert again.read_payout(created)["status"] == "pending"
    again.control("/clock", {"advance_seconds": 1001})
    again.wait_for_payout(created, "success")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--brand-id", "my brand"], "SANDBOX_BRAND_ID"),
        (["--secret-key", " "], "SANDBOX_SECRET_KEY"),
        (["--public-url", "localhost"], "SANDBOX_PUBLIC_URL"),
        (["--execution-base-url", "localhost"], "SANDBOX_EXECUTION_BASE_URL"),
        (["--clock-scale", "0"], "SANDBOX_CLOCK_SCALE"),
        (["--fee-percent", "100"], "SANDBOX_FEE_PERCENT"),
        (["--data", "/dev/null/x"], "SANDBOX_DATA"),
    ],
)
def test_a_bad_setting_is_named_in_one_line(
    tmp_path: Any, arguments: list[str], named: str
) -> None:
    command = [sys.executable, "-m", "revio_sandbox", "serve", "--data", str(tmp_path), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert named in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_second_sandbox_on_the_same_data_is_refused(own_sandbox: Any, tmp_path: Any) -> None:
    command = [sys.executable, "-m", "revio_sandbox", "serve", "--data", str(tmp_path / "data")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "is in use by another sandbox" in ended.stderr


def test_every_command_has_help() -> None:
    for arguments in (["--help"], ["serve", "--help"]):
        command = [sys.executable, "-m", "revio_sandbox", *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 0
        assert "Usage:" in ended.stdout
