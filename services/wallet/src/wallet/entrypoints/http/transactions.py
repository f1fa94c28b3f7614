"""Routes of the users' money: balance, deposits, withdrawals, history."""

# mypy: disable-error-code="untyped-decorator"
# flask-smorest publishes no types for its decorators.

from typing import Any

from flask import url_for
from flask_smorest import Blueprint
from marshmallow import RAISE

from octoco.http import authenticated, current_user, idempotent
from octoco.money import Money
from wallet.domain.transactions import Status, Transaction, TransactionKind
from wallet.entrypoints.http.context import wallet
from wallet.entrypoints.http.paging import before_id_of, cursor_of
from wallet.entrypoints.http.schemas import (
    BalanceQuerySchema,
    BalancesSchema,
    DepositRequestSchema,
    PageQuerySchema,
    TransactionDetailSchema,
    TransactionPageSchema,
    TransactionSchema,
    WithdrawalRequestSchema,
    render_timeline,
    render_transaction,
)
from wallet.entrypoints.http.waiting import (
    has_answer,
    preferred_wait_seconds,
    wait_for_checkout,
)
from wallet.use_cases.cancel_deposit import cancel_deposit
from wallet.use_cases.cancel_withdrawal import request_withdrawal_cancel
from wallet.use_cases.find_transaction import (
    get_transaction,
    get_transaction_with_timeline,
    list_transactions,
)
from wallet.use_cases.get_balance import get_balance
from wallet.use_cases.request_deposit import request_deposit
from wallet.use_cases.request_withdrawal import request_withdrawal

Answer = tuple[dict[str, Any], int, dict[str, str]]
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "schema": {"type": "string", "maxLength": 200},
    "description": "A new value for each new request; a repeat gets the first one's resource.",
}
_PREFER = {
    "name": "Prefer",
    "in": "header",
    "schema": {"type": "string"},
    "description": "RFC 7240 `wait=N`: seconds to wait for the checkout address, 10 at most.",
}

money = Blueprint("money", __name__, url_prefix="/v1", description="Balance and transactions")


@money.get("/balance")
@authenticated()
@money.arguments(BalanceQuerySchema, location="query", unknown=RAISE)
@money.response(200, BalancesSchema)
def balance(query: dict[str, str]) -> dict[str, Any]:
    """Show the user's money."""
    user_id = current_user().user_id
    balances = wallet().units.read(
        lambda unit: get_balance(unit, user_id=user_id, currency=query.get("currency"))
    )
    return {
        "balances": [
            {
                "currency": one.currency,
                "available": one.available.amount_text,
                "held": one.held.amount_text,
                "owed": one.receivable.amount_text,
            }
            for one in balances
        ]
    }


@money.post("/deposits")
@authenticated()
@money.doc(parameters=[_KEY, _PREFER])
@money.arguments(DepositRequestSchema)
@money.response(201, TransactionSchema, description="The checkout is open, or the deposit ended.")
@money.alt_response(202, schema=TransactionSchema, description="Not ready yet; see Location.")
def deposit(body: dict[str, str]) -> Answer:
    """Ask for a deposit; pay it at its checkout_url."""
    amount = Money.parse(body["amount"], body["currency"])
    user_id = current_user().user_id
    service = wallet()
    limits = service.settings.limits.for_roles(current_user().roles)
    transaction_id, repeated = idempotent(
        service.units,
        lambda unit: (
            request_deposit(
                unit,
                user_id=user_id,
                money=amount,
                limits=limits,
                at=service.clock.now(),
            ).id
        ),
    )
    seconds = preferred_wait_seconds()
    transaction = wait_for_checkout(lambda: _read(transaction_id), seconds=seconds)
    body_out, status, headers = _made(transaction, repeated=repeated)
    headers["Preference-Applied"] = f"wait={seconds}"
    return body_out, status if has_answer(transaction) else 202, headers


@money.post("/deposits/<entity_id:transaction_id>/cancel")
@authenticated()
@money.doc(parameters=[_KEY])
@money.response(202, TransactionSchema)
def deposit_cancel(transaction_id: str) -> dict[str, Any]:
    """Ask for a pending deposit to be cancelled; money that comes all the same is credited."""
    user_id = current_user().user_id
    service = wallet()
    idempotent(
        service.units,
        lambda unit: (
            cancel_deposit(
                unit, user_id=user_id, transaction_id=transaction_id, at=service.clock.now()
            ).id
        ),
    )
    return render_transaction(_read(transaction_id))


@money.post("/withdrawals")
@authenticated()
@money.doc(parameters=[_KEY])
@money.arguments(WithdrawalRequestSchema)
@money.response(201, TransactionSchema)
def withdrawal(body: dict[str, str]) -> Answer:
    """Withdraw to a verified bank account; the money is held at once."""
    amount = Money.parse(body["amount"], body["currency"])
    user_id = current_user().user_id
    service = wallet()
    limits = service.settings.limits.for_roles(current_user().roles)
    transaction_id, repeated = idempotent(
        service.units,
        lambda unit: (
            request_withdrawal(
                unit,
                user_id=user_id,
                money=amount,
                bank_account_id=body["bank_account_id"],
                limits=limits,
                at=service.clock.now(),
            ).id
        ),
    )
    return _made(_read(transaction_id), repeated=repeated)


@money.post("/withdrawals/<entity_id:transaction_id>/cancel")
@authenticated()
@money.doc(parameters=[_KEY])
@money.response(202, TransactionSchema)
def withdrawal_cancel(transaction_id: str) -> dict[str, Any]:
    """Ask for a pending withdrawal to be stopped; its money stays held until that is certain."""
    user_id = current_user().user_id
    service = wallet()
    idempotent(
        service.units,
        lambda unit: (
            request_withdrawal_cancel(
                unit, user_id=user_id, transaction_id=transaction_id, at=service.clock.now()
            ).id
        ),
    )
    return render_transaction(_read(transaction_id))


@money.get("/transactions")
@authenticated()
@money.arguments(PageQuerySchema, location="query", unknown=RAISE)
@money.response(200, TransactionPageSchema)
def transactions(query: dict[str, Any]) -> dict[str, Any]:
    """List the user's transactions, newest first."""
    user_id = current_user().user_id
    before_id = before_id_of(query.get("cursor"))
    page, next_before_id = wallet().units.read(
        lambda unit: list_transactions(
            unit,
            user_id=user_id,
            kind=TransactionKind(query["kind"]) if "kind" in query else None,
            status=Status(query["status"]) if "status" in query else None,
            before_id=before_id,
            limit=query["limit"],
        )
    )
    return {
        "items": [render_transaction(one) for one in page],
        "next_cursor": cursor_of(next_before_id),
    }


@money.get("/transactions/<entity_id:transaction_id>")
@authenticated()
@money.response(200, TransactionDetailSchema)
def transaction(transaction_id: str) -> dict[str, Any]:
    """Show one of the user's transactions with its history."""
    user_id = current_user().user_id
    found, timeline = wallet().units.read(
        lambda unit: get_transaction_with_timeline(
            unit, user_id=user_id, transaction_id=transaction_id
        )
    )
    return {**render_transaction(found), "timeline": render_timeline(timeline)}


def _read(transaction_id: str) -> Transaction:
    user_id = current_user().user_id
    return wallet().units.read(
        lambda unit: get_transaction(unit, user_id=user_id, transaction_id=transaction_id)
    )


def _made(made: Transaction, *, repeated: bool) -> Answer:
    headers = {"Location": url_for("money.transaction", transaction_id=made.id)}
    if repeated:
        headers["Idempotent-Replayed"] = "true"
    return render_transaction(made), 201, headers
