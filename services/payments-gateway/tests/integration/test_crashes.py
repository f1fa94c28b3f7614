"""A process that calls the provider is killed with -9 at odd moments; another one goes on."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from octoco.testing import eventually
from payments_gateway.bootstrap import Gateway
from payments_gateway.config import Settings
from payments_gateway.entrypoints.http import make_app

from .people import TestKeys
from .running import Running
from .sandbox import SECRET_KEY, Sandbox

OPENED = "payments.checkout.opened.v1"
SUCCEEDED = "payments.payout.succeeded.v1"
FAILED = "payments.payout.failed.v1"

# The executor alone, as the worker runs it.
EXECUTOR = """
import threading
from datetime import timedelta
from octoco.config import read_settings_or_exit
from octoco.intents.executor import Executor
from octoco.intents.leases import PostgresIntentLeases
from payments_gateway import config
from payments_gateway.bootstrap import assemble, intent_handlers
from payments_gateway.domain.policy import Policy
policy = Policy(look_interval_min=timedelta(seconds=1))
gateway = assemble(read_settings_or_exit(config.read), policy=policy)
Executor(leases=PostgresIntentLeases(gateway.database), units=gateway.units,
         handlers=intent_handlers(gateway)).run(threading.Event())
"""


class KilledProcess:
    """An executor in a process of its own, until it is killed."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self._environment = {
            **os.environ,
            "DATABASE_URL": settings.database_url,
            "AMQP_URL": settings.amqp_url,
            "JWKS_URL": settings.jwks_url,
            "REVIO_API_URL": settings.revio_api_url,
            "REVIO_SECRET_KEY": SECRET_KEY,
            "REVIO_COMPANY_ID": settings.ours.company_id,
            "REVIO_BRAND_ID": settings.brand_id,
            "REVIO_TEST_MODE": "true",
            "REVIO_WEBHOOK_URL": settings.revio_webhook_url,
            "BANK_ACCOUNT_KEYS": ",".join(settings.bank_account_keys),
            "CHECKOUT_RETURN_URL": settings.checkout_return_url,
        }
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", EXECUTOR], env=self._environment, stdout=log, stderr=log
            )

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)


@pytest.fixture
def killed(settings: Settings, tmp_path: Path) -> Iterator[KilledProcess]:
    made = KilledProcess(settings, tmp_path / "executor.log")
    yield made
    made.kill()


@pytest.fixture
def idle(gateway: Gateway, token_keys: TestKeys, web_port: int) -> Iterator[Running]:
    """The gateway with its web door open and its executor not at work yet."""
    made = Running(gateway, make_app(gateway, token_keys=token_keys), port=web_port)
    try:
        made.open_doors()
        yield made
    finally:
        made.stop()


def wait(seconds: float) -> None:
    threading.Event().wait(seconds)


@pytest.mark.parametrize("after_mark_seconds", [0.0, 0.02, 0.3, 1.2])
def test_a_payout_is_executed_at_most_once_when_its_process_is_killed(
    idle: Running, killed: KilledProcess, sandbox: Sandbox, after_mark_seconds: float
) -> None:
    sandbox.next("payout_execute", delay_seconds=0.2)
    transaction_id = idle.request_withdrawal("62000000001")
    killed.start()
    eventually(
        lambda: idle.rows("SELECT 1 FROM payouts WHERE execution_begun_at IS NOT NULL"),
        within_seconds=30,
        what="the mark",
    )
    wait(after_mark_seconds)
    killed.kill()
    idle.go_to_work()

    eventually(
        lambda: idle.said(SUCCEEDED, transaction_id) or "payout_not_begun" in idle.case_kinds(),
        within_seconds=30,
        what="an end or a case",
    )
    assert idle.said(FAILED) == []
    executed = len(sandbox.results("log?operation=payout_execute&limit=100"))
    assert executed <= 1
    assert (executed == 1) == bool(idle.said(SUCCEEDED, transaction_id))


def is_leased(running: Running, kind: str) -> Callable[[], bool]:
    return lambda: bool(
        running.rows("SELECT 1 FROM intents WHERE kind = :kind AND attempts > 0", kind=kind)
    )


def test_a_deposit_is_opened_once_when_its_process_is_killed(
    idle: Running, killed: KilledProcess, sandbox: Sandbox
) -> None:
    sandbox.next("purchase_create", delay_seconds=1.0)
    transaction_id = idle.request_deposit()
    killed.start()
    eventually(is_leased(idle, "create_purchase"), within_seconds=30, what="the lease")
    wait(0.3)
    killed.kill()
    # The purchase appears after its asker's death, and its webhook lets it be adopted.
    idle.go_to_work()
    opened = idle.wait_for(OPENED, transaction_id, within_seconds=30)
    sandbox.pay(opened["checkout_url"])
    idle.wait_for("payments.deposit.paid.v1", transaction_id)
    assert len(idle.said(OPENED)) == 1
