"""Webhook registration: who wants to hear of what."""

import json
import sqlite3
import uuid

from revio_sandbox.api_errors import not_found
from revio_sandbox.fields import Fields
from revio_sandbox.keys import Keys
from revio_sandbox.objects import Document
from revio_sandbox.unit import Unit

# Source: revio-api, section 5.
EVENTS = (
    "purchase.created",
    "purchase.viewed",
    "purchase.paid",
    "purchase.payment_failure",
    "purchase.cancelled",
    "purchase.settled",
    "purchase.hold",
    "purchase.preauthorized",
    "purchase.captured",
    "purchase.released",
    "purchase.capture_failure",
    "purchase.release_failure",
    "purchase.pending_execute",
    "purchase.pending_charge",
    "purchase.pending_capture",
    "purchase.pending_release",
    "purchase.pending_refund",
    "purchase.refund_failure",
    "purchase.recurring_token_deleted",
    "purchase.pending_recurring_token_delete",
    "purchase.subscription_charge_failure",
    "payment.refunded",
    "payment.charged_back",
    "payment.chargeback_reversed",
    "payout.created",
    "payout.pending",
    "payout.success",
    "payout.failed",
    "billing_template_client.subscription_billing_cancelled",
)


def create_webhook(unit: Unit, body: object) -> str:
    """Register a webhook; returns its id. Its key pair is made when first asked for.

    Raises:
        ApiError: 400 with every field that is wrong.
    """
    request = Fields.of_body(body)
    title = request.text("title", max_length=100, required=True)
    callback = request.url("callback", required=True)
    all_events = request.boolean("all_events")
    events = _read_events(request)
    if not all_events and not events and "events" not in request.errors:
        request.refuse("events", "required", "Name events or set all_events.")
    request.require_clean()
    webhook_id = str(uuid.uuid4())
    unit.connection.execute(
        "INSERT INTO webhooks (id, title, callback, events, all_events, created_on, updated_on)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            webhook_id,
            title,
            callback,
            json.dumps([] if all_events else events),
            all_events,
            int(unit.now),
            int(unit.now),
        ),
    )
    return webhook_id


def change_webhook(unit: Unit, webhook_id: str, body: object, *, partial: bool) -> None:
    """Replace a webhook's fields (PUT), or only those sent (PATCH); its key pair stays.

    Raises:
        ApiError: 404 unknown; 400 with every field that is wrong.
    """
    row = _find(unit, webhook_id)
    request = Fields.of_body(body)
    title = request.text("title", max_length=100, required=not partial) or row["title"]
    callback = request.url("callback", required=not partial) or row["callback"]
    keep = partial and not request.has("events") and not request.has("all_events")
    all_events = bool(row["all_events"]) if keep else request.boolean("all_events")
    events = json.loads(row["events"]) if keep else _read_events(request)
    if not all_events and not events and "events" not in request.errors:
        request.refuse("events", "required", "Name events or set all_events.")
    request.require_clean()
    unit.connection.execute(
        "UPDATE webhooks SET title = ?, callback = ?, events = ?, all_events = ?, updated_on = ?"
        " WHERE id = ?",
        (
            title,
            callback,
            json.dumps([] if all_events else events),
            all_events,
            int(unit.now),
            webhook_id,
        ),
    )
    unit.deliveries.readdress(webhook_id, url=callback)


def delete_webhook(unit: Unit, webhook_id: str) -> None:
    """Remove a webhook and what still waits to be sent to it.

    Raises:
        ApiError: 404, unknown.
    """
    _find(unit, webhook_id)
    unit.connection.execute("DELETE FROM webhooks WHERE id = ?", (webhook_id,))
    unit.deliveries.readdress(webhook_id, url=None)


def show_webhook(unit: Unit, keys: Keys, webhook_id: str) -> Document:
    """Return a webhook as the API shows it.

    Raises:
        ApiError: 404, unknown.
    """
    return _shown(_find(unit, webhook_id), keys)


def show_webhooks(unit: Unit, keys: Keys) -> list[Document]:
    """Return every webhook, newest first."""
    rows = unit.connection.execute("SELECT * FROM webhooks ORDER BY sequence DESC").fetchall()
    return [_shown(row, keys) for row in rows]


def _read_events(request: Fields) -> list[str]:
    events = request.texts("events")
    if unknown := [event for event in events if event not in EVENTS]:
        request.refuse("events", "invalid_choice", f"Unknown events: {', '.join(unknown)}.")
    return events


def _find(unit: Unit, webhook_id: str) -> sqlite3.Row:
    row: sqlite3.Row | None = unit.connection.execute(
        "SELECT * FROM webhooks WHERE id = ?", (webhook_id,)
    ).fetchone()
    if row is None:
        raise not_found()
    return row


def _shown(row: sqlite3.Row, keys: Keys) -> Document:
    return {
        "id": row["id"],
        "type": "webhook",
        "created_on": row["created_on"],
        "updated_on": row["updated_on"],
        "title": row["title"],
        "all_events": bool(row["all_events"]),
        "public_key": keys.public_pem(row["id"]),
        "events": json.loads(row["events"]),
        "callback": row["callback"],
    }
