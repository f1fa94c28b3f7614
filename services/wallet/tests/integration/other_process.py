"""Another process that works on the same wallet, with a pool of connections of its own.

It plays its calls on a `Driver` when it is told to go, and says what came of each.
"""

import base64
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from octoco.errors import Refusal
from octoco.ids import new_id
from octoco.money import Money
from wallet.adapters.postgres.unit import PostgresWalletUnit
from wallet.bootstrap import build
from wallet.config import Settings
from wallet.domain.ledger import Booked
from wallet.messages.inbound import DepositPaid
from wallet.use_cases.credit_deposit import credit_deposits
from wallet.use_cases.ports import Ledger

from .driving import Driver

ROOT = Path(__file__).parents[4]
MODULE = ".".join(Path(__file__).relative_to(ROOT).with_suffix("").parts)


class Call(NamedTuple):
    """One thing to do: a method of `Racer`, and its arguments."""

    method: str
    arguments: tuple[Any, ...] = ()
    named: Mapping[str, Any] = MappingProxyType({})


class Racer(Driver):
    """Plays everything that a `Driver` plays, and the ledger's port, on units of its own."""

    def reverse(self, business_key: str) -> str:
        booked: Booked = self.wallet.units.run(
            lambda unit: unit.ledger.reverse(
                business_key=business_key, effective_at=datetime.now(UTC)
            )
        )
        return "repeated" if booked.repeated else "booked"

    def hold(self, subject: str, user_id: str, money: Money) -> str:
        booked: Booked = self.wallet.units.run(
            lambda unit: unit.ledger.place_hold(
                transaction_id=subject,
                user_id=user_id,
                money=money,
                effective_at=datetime.now(UTC),
            )
        )
        return "repeated" if booked.repeated else "booked"

    def end_hold(self, subject: str, settled: Money | None) -> str:
        def end(ledger: Ledger) -> Booked:
            now = datetime.now(UTC)
            if settled is None:
                return ledger.release_hold(transaction_id=subject, effective_at=now)
            return ledger.settle_hold(transaction_id=subject, money=settled, effective_at=now)

        booked: Booked = self.wallet.units.run(lambda unit: end(unit.ledger))
        return "repeated" if booked.repeated else "booked"

    def hold_and_release_each(self, user_ids: Sequence[str], money: Money) -> str:
        """Touch many users in one unit, in the order given, and again in another."""
        holds = [(new_id("txn"), user_id) for user_id in user_ids]

        def place(unit: PostgresWalletUnit) -> None:
            for subject, user_id in holds:
                unit.ledger.place_hold(
                    transaction_id=subject,
                    user_id=user_id,
                    money=money,
                    effective_at=datetime.now(UTC),
                )

        def release(unit: PostgresWalletUnit) -> None:
            for subject, _ in reversed(holds):
                unit.ledger.release_hold(transaction_id=subject, effective_at=datetime.now(UTC))

        self.wallet.units.run(place)
        self.wallet.units.run(release)
        return "done"

    def credit_together(self, facts: Sequence[DepositPaid]) -> str:
        """Tell of many purchases at once, as the consumer does when they queue up."""
        answers = self.wallet.units.run(
            lambda unit: credit_deposits(unit, facts, at=datetime.now(UTC))
        )
        return " ".join(sorted({answer.outcome.value for answer in answers}))


def outcome_of(driver: Racer, call: Call) -> str:
    """Do it, and say what came of it: what it returned, a status, or a refusal's code."""
    try:
        result = getattr(driver, call.method)(*call.arguments, **call.named)
    except Refusal as refusal:
        return refusal.code
    if isinstance(result, str):
        return result
    status = getattr(result, "status", None)
    return str(getattr(status, "value", "done"))


class OtherProcess:
    """A child that opens the wallet, and then waits for `go`.

    Args:
        settings: Of the wallet it opens.
        calls: What it does.
        threads: How many calls at once.
    """

    def __init__(self, settings: Settings, calls: Sequence[Call], *, threads: int = 1) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", MODULE],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        job = base64.b64encode(
            pickle.dumps((settings, [_plain(call) for call in calls], threads))
        ).decode()
        self._say(job)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()

    def wait_until_ready(self) -> None:
        assert self._hear() == "ready"

    def go(self) -> None:
        self._say("go")

    def outcomes(self) -> list[str]:
        """Wait for it to end, and return what came of each call, in their order."""
        heard = self._hear()
        assert heard, "the process died"
        outcomes: list[str] = json.loads(heard)
        return outcomes

    def kill(self) -> None:
        """Kill it with -9, as a machine that loses power would, and wait until it is gone."""
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait(10)

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _hear(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def _plain(call: Call) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    # Without the class, which has another name in the child: there it is of the main module.
    return call.method, call.arguments, dict(call.named)


def main() -> None:
    """Be the child."""
    settings, plain, threads = pickle.loads(  # noqa: S301 - our parent wrote it
        base64.b64decode(sys.stdin.readline())
    )
    calls = [Call(*one) for one in plain]
    wallet = build(settings)
    driver = Racer(wallet)
    wallet.database.check()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    with ThreadPoolExecutor(threads) as pool:
        outcomes = list(pool.map(lambda call: outcome_of(driver, call), calls))
    sys.stdout.write(f"{json.dumps(outcomes)}\n")
    wallet.database.dispose()


if __name__ == "__main__":
    main()
