"""A gateway that runs: its web door on a port, its executor at work, and what came of it."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from flask import Flask
from werkzeug.serving import make_server

from octoco.ids import new_id
from octoco.intents.executor import Executor
from octoco.intents.leases import PostgresIntentLeases
from octoco.money import Money
from octoco.testing import eventually
from payments_gateway.adapters.postgres.unit import GatewayUnit
from payments_gateway.bootstrap import Gateway, intent_handlers
from payments_gateway.domain.bank_accounts import bank_account_details
from payments_gateway.messages import inbound
from payments_gateway.use_cases.cancel_payout import cancel_payout
from payments_gateway.use_cases.remember_user import remember_user
from payments_gateway.use_cases.request_checkout import (
    request_checkout,
    request_checkout_cancellation,
)
from payments_gateway.use_cases.request_payout import request_payout

R250 = Money.parse("250.00", "ZAR")
R100 = Money.parse("100.00", "ZAR")


class Running:
    """The gateway at work, without a broker: what it says stays in its outbox.

    Args:
        gateway: Assembled on a migrated schema.
        app: Its HTTP application.
        port: Where the provider's webhooks come in.
    """

    def __init__(self, gateway: Gateway, app: Flask, *, port: int) -> None:
        self.gateway = gateway
        self.app = app
        self.user_id = new_id("usr")
        self._stop = threading.Event()
        self._server = make_server("127.0.0.1", port, app, threaded=True)
        executor: Executor[GatewayUnit] = Executor(
            leases=PostgresIntentLeases(gateway.database),
            units=gateway.units,
            handlers=intent_handlers(gateway),
        )
        self._web = threading.Thread(target=self._server.serve_forever, name="web", daemon=True)
        self._executor = threading.Thread(
            target=executor.run, args=(self._stop,), name="executor", daemon=True
        )

    def start(self) -> None:
        self.open_doors()
        self.go_to_work()

    def open_doors(self) -> None:
        """Let webhooks in and let the user be known; nothing is performed yet."""
        self._web.start()
        self.gateway.register_webhook()
        registered = inbound.UserRegistered(
            self.user_id, "thandi@example.com", "Thandi Nkosi", datetime.now(UTC)
        )
        self.gateway.units.run(lambda unit: remember_user(unit, registered))

    def go_to_work(self) -> None:
        """Perform what is due from now on."""
        self._executor.start()

    def stop(self) -> None:
        self._stop.set()
        if self._web.is_alive():
            self._server.shutdown()
        for thread in (self._web, self._executor):
            if thread.is_alive():
                thread.join(20)
        self._server.server_close()
        self.gateway.database.dispose()

    # What the wallet asks for.

    def request_deposit(self, money: Money = R250) -> str:
        request = inbound.DepositRequested(new_id("txn"), self.user_id, money)
        self.work(lambda unit: request_checkout(unit, request, now=self.gateway.clock.now()))
        return request.transaction_id

    def open_checkout(self) -> dict[str, Any]:
        """Return what the gateway said when the checkout of a new deposit was open."""
        transaction_id = self.request_deposit()
        return self.wait_for("payments.checkout.opened.v1", transaction_id)

    def cancel_deposit(self, transaction_id: str) -> None:
        request = inbound.DepositCancelRequested(transaction_id, self.user_id)
        now = self.gateway.clock.now()
        self.work(lambda unit: request_checkout_cancellation(unit, request, now=now))

    def request_withdrawal(self, account_number: str, money: Money = R100) -> str:
        details = bank_account_details(
            account_holder="Thandi Nkosi",
            bank_name="First Bank",
            branch_code="250655",
            account_number=account_number,
            account_type="cheque",
        )
        bank_account = self.gateway.add_bank_account(user_id=self.user_id, details=details)
        request = inbound.WithdrawalRequested(
            new_id("txn"), self.user_id, bank_account.bank_account_id, money
        )
        self.work(lambda unit: request_payout(unit, request, now=self.gateway.clock.now()))
        return request.transaction_id

    def cancel_withdrawal(self, transaction_id: str) -> None:
        request = inbound.WithdrawalCancelRequested(transaction_id, self.user_id)
        self.work(lambda unit: cancel_payout(unit, request, now=self.gateway.clock.now()))

    def work(self, work: Callable[[GatewayUnit], None]) -> None:
        self.gateway.units.run(work)

    # What came of it.

    def rows(self, sql: str, **values: Any) -> list[Any]:
        return list(self.gateway.database.statement(sql, values))

    def said(self, event_type: str, about: str | None = None) -> list[dict[str, Any]]:
        rows = self.rows(
            "SELECT data FROM outbox WHERE event_type = :event_type"
            " AND (CAST(:about AS text) IS NULL OR aggregate_id = :about) ORDER BY id",
            event_type=event_type,
            about=about,
        )
        return [row.data for row in rows]

    def said_types(self, about: str) -> list[str]:
        rows = self.rows(
            "SELECT event_type FROM outbox WHERE aggregate_id = :about ORDER BY id", about=about
        )
        return [row.event_type for row in rows]

    def wait_for(
        self, event_type: str, about: str | None = None, *, within_seconds: float = 20
    ) -> dict[str, Any]:
        """Wait until the gateway has said something, and return the first of it."""
        found = eventually(
            lambda: self.said(event_type, about),
            within_seconds=within_seconds,
            what=f"{event_type} about {about}",
        )
        assert isinstance(found, list)
        first: dict[str, Any] = found[0]
        return first

    def case_kinds(self) -> set[str]:
        return {row.kind for row in self.rows("SELECT kind FROM cases")}

    def wait_for_case(self, kind: str, *, within_seconds: float = 20) -> None:
        eventually(
            lambda: kind in self.case_kinds(), within_seconds=within_seconds, what=f"case {kind}"
        )

    def wait_until_webhooks_are_finished(self, count: int) -> None:
        """Wait until that many deliveries, or more, came in and all of them are finished."""

        def finished() -> bool:
            (row,) = self.rows(
                "SELECT count(*) AS stored, count(outcome) AS finished FROM webhook_deliveries"
            )
            return bool(row.stored >= count and row.stored == row.finished)

        eventually(finished, within_seconds=30, what=f"{count} webhooks")
