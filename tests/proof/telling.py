"""Telling of a saga all that is known of it, for whoever looks for what went wrong."""

import json
from collections.abc import Iterator

import requests

from .ground import SERVICES, Ground
from .sagas import Saga
from .watch import Listener

LOG_LINES_MAX = 60
_ROWS = {
    "transaction": "SELECT * FROM wallet.transactions WHERE id = %s",
    "timeline": "SELECT * FROM wallet.transaction_events WHERE transaction_id = %s ORDER BY id",
    "hold": "SELECT * FROM wallet.holds WHERE subject = %s",
    "checkout": "SELECT * FROM payments_gateway.checkouts WHERE transaction_id = %s",
    "payout": """SELECT status, payout_id, float_confirmed_at, execution_begun_at, execution_answer,
        settled_at, reason_code FROM payments_gateway.payouts WHERE transaction_id = %s""",
    "money fact": """SELECT fact_key, type, told_count, created_at, answered_at, outcome, code
        FROM payments_gateway.money_facts WHERE transaction_id = %s""",
    "intent": """SELECT kind, due_at, attempts, leased_until, last_reason, finished_at
        FROM payments_gateway.intents WHERE subject_id = %s""",
    "case": "SELECT kind, evidence FROM payments_gateway.cases WHERE transaction_id = %s",
    "waiting at the wallet": "SELECT * FROM wallet.outbox WHERE aggregate_id = %s",
    "waiting at the gateway": "SELECT * FROM payments_gateway.outbox WHERE aggregate_id = %s",
}


def tell(ground: Ground, saga: Saga, listener: Listener) -> Iterator[str]:
    """Say what was planned, what is stored, what was heard and what was logged."""
    yield f"saga {saga.number}: {saga.how.value}, {saga.amount} ZAR, {saga.transaction_id}"
    if not saga.transaction_id:
        return
    for what, sql in _ROWS.items():
        for row in ground.rows(sql, (saga.transaction_id,)):
            yield f"  {what}: {json.dumps(row._asdict(), default=str)}"
    kind = "purchases" if saga.is_deposit else "payouts"
    found = requests.get(
        f"{ground.sandbox}/control/{kind}", params={"reference": saga.transaction_id}, timeout=15
    )
    for one in found.json()["results"]:
        yield f"  at the provider: {one['id']} {one['status']}"
    for heard in listener.about(saga.transaction_id):
        yield f"  others heard: {heard.event_type} {heard.message_id}"
    yield from _logged(ground, saga)


def _logged(ground: Ground, saga: Saga) -> Iterator[str]:
    correlations = {
        row.correlation_id
        for row in ground.rows(
            "SELECT correlation_id FROM payments_gateway.intents WHERE subject_id = %s",
            (saga.transaction_id,),
        )
    }
    words = [saga.transaction_id, *correlations]
    lines = []
    for service in SERVICES:
        for name in (f"{service}-nursery", service):
            text = (ground.logs / f"{name}.log").read_text(errors="replace")
            lines += [
                f"  log of {name}: {line[:400]}"
                for line in text.splitlines()
                if any(word in line for word in words)
            ]
    yield from lines[:LOG_LINES_MAX]
