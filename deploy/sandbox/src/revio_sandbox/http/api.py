"""The gateway's API, `/api/v1/`, and the execution of payouts beside it."""

import hmac

from flask import Blueprint, Response, jsonify, request

from revio_sandbox import (
    balances,
    payouts,
    purchase_creation,
    purchases,
    refunds,
    webhooks,
)
from revio_sandbox.api_errors import field_refusal, refusal
from revio_sandbox.http.context import client_ip, json_body, sandbox
from revio_sandbox.http.faults import perform
from revio_sandbox.keys import COMPANY
from revio_sandbox.objects import Document
from revio_sandbox.outcomes import Outcome
from revio_sandbox.payments import CARD_METHODS, METHOD_NAMES
from revio_sandbox.unit import Unit

api = Blueprint("api", __name__, url_prefix="/api/v1")
execution = Blueprint("execution", __name__)

SOURCE_TYPES = ("purchase", "payment", "payout", "billing_template_client")


def require_key() -> None:
    """Refuse a call of the API without the secret key, before saying whether its path exists."""
    if request.path.startswith("/api/") and not _has_key():
        raise refusal("authentication_failed", "Incorrect secret_key", status=401)


@api.post("/purchases/")
def create_purchase() -> Response:
    """Create a purchase."""
    body = json_body()

    def act(_outcome: Outcome) -> Response:
        with sandbox().unit() as unit:
            stored = purchase_creation.create_purchase(unit, body, client_ip=client_ip())
        return _created(stored.document)

    return perform("purchase_create", act, reference=_reference(body))


@api.get("/purchases/<purchase_id>/")
def read_purchase(purchase_id: str) -> Response:
    """Show a purchase as it is now."""

    def act(outcome: Outcome) -> Response:
        with sandbox().unit() as unit:
            document = purchases.find_purchase(unit, purchase_id).document
            return jsonify(_as_told(unit, document, outcome))

    return perform("purchase_read", act, object_id=purchase_id)


@api.post("/purchases/<purchase_id>/cancel/")
def cancel_purchase(purchase_id: str) -> Response:
    """Cancel a purchase that is not paid."""

    def act(_outcome: Outcome) -> Response:
        with sandbox().unit() as unit:
            return jsonify(purchases.cancel(unit, purchase_id).document)

    return perform("purchase_cancel", act, object_id=purchase_id)


@api.post("/purchases/<purchase_id>/refund/")
def refund_purchase(purchase_id: str) -> Response:
    """Refund a purchase, wholly or in part."""
    body = json_body()

    def act(outcome: Outcome) -> Response:
        with sandbox().unit() as unit:
            stored = refunds.refund(unit, purchase_id, body, outcome=outcome)
        if outcome.result == "error":
            raise refusal("purchase_refund_error", "The refund failed; see the newest attempt.")
        return jsonify(stored.document)

    return perform("purchase_refund", act, object_id=purchase_id)


@api.post("/payouts/")
def create_payout() -> Response:
    """Create a payout, which moves nothing yet."""
    body = json_body()

    def act(_outcome: Outcome) -> Response:
        with sandbox().unit() as unit:
            return _created(payouts.create_payout(unit, body).document)

    return perform("payout_create", act, reference=_reference(body))


@api.get("/payouts/<payout_id>/")
def read_payout(payout_id: str) -> Response:
    """Show a payout as it is now."""

    def act(outcome: Outcome) -> Response:
        with sandbox().unit() as unit:
            document = payouts.find_payout(unit, payout_id).document
            return jsonify(_as_told(unit, document, outcome))

    return perform("payout_read", act, object_id=payout_id)


@execution.post(f"/po/<payout_id>/{payouts.METHOD}/")
def execute_payout(payout_id: str) -> Response:
    """Execute a payout; knowing the address is enough, but a wrong key is refused."""
    if request.headers.get("Authorization") and not _has_key():
        raise refusal("authentication_failed", "Incorrect secret_key", status=401)
    with sandbox().unit() as unit:
        reference = payouts.find_payout(unit, payout_id).document["reference"]
    account = payouts.read_bank_account(json_body())

    def act(outcome: Outcome) -> Response:
        with sandbox().unit() as unit:
            stored = payouts.execute(
                unit, payout_id, account, outcome=outcome, client_ip=client_ip()
            )
        if stored.status == "error":
            error = stored.document["transaction_data"]["attempts"][0]["error"]
            return jsonify(status="error", error=error)
        return jsonify(status=stored.status, details={"id": payout_id, "method": payouts.METHOD})

    return perform(
        "payout_execute", act, object_id=payout_id, reference=reference, otherwise=account.outcome
    )


@api.get("/payment_methods/")
def list_payment_methods() -> Response:
    """Show what a payer could pay with."""
    _require_query("brand_id", "currency")
    names = list(METHOD_NAMES)
    return jsonify(
        available_payment_methods=names,
        by_country={"any": names},
        country_names={"any": "Other"},
        names=METHOD_NAMES,
        logos=dict.fromkeys(names, ""),
        card_methods=list(CARD_METHODS),
    )


@api.get("/payout_methods/")
def list_payout_methods() -> Response:
    """Show how money can be paid out."""
    _require_query("brand_id", "currency")
    return jsonify(
        available_payout_methods=[payouts.METHOD],
        names={payouts.METHOD: "Bank account (EFT)"},
        logos={payouts.METHOD: ""},
        card_methods=[],
    )


@api.get("/public_key/")
def show_public_key() -> Response:
    """Show the company's public key: a JSON string, not an object."""
    return jsonify(sandbox().keys.public_pem(COMPANY))


@api.get("/account/json/balance/")
def show_account_balance() -> Response:
    """Show the balances by currency."""

    def act(_outcome: Outcome) -> Response:
        with sandbox().unit() as unit:
            only = request.args.get("currency", "")
            return jsonify(balances.balance_by_currency(unit, only=only))

    return perform("balance_read", act)


@api.get("/balance/")
def show_balance() -> Response:
    """Show the balances with what belongs to them."""

    def act(_outcome: Outcome) -> Response:
        with sandbox().unit() as unit:
            by_currency = balances.balance_by_currency(unit)
        return jsonify(
            ecommerce=by_currency,
            bank_accounts=[],
            payout_balances_enabled=dict.fromkeys(by_currency, True),
        )

    return perform("balance_read", act)


@api.get("/webhooks/")
def list_webhooks() -> Response:
    """Show every webhook."""
    with sandbox().unit() as unit:
        return _list(webhooks.show_webhooks(unit, sandbox().keys))


@api.post("/webhooks/")
def create_webhook() -> Response:
    """Register a webhook, with a key pair of its own."""
    with sandbox().unit() as unit:
        webhook_id = webhooks.create_webhook(unit, json_body())
    # The pair takes a while to make: outside the unit of work, which everybody waits for.
    sandbox().keys.public_pem(webhook_id)
    return _created(_webhook(webhook_id))


@api.get("/webhooks/<webhook_id>/")
def read_webhook(webhook_id: str) -> Response:
    """Show a webhook."""
    return jsonify(_webhook(webhook_id))


@api.put("/webhooks/<webhook_id>/")
@api.patch("/webhooks/<webhook_id>/")
def change_webhook(webhook_id: str) -> Response:
    """Change a webhook; its key pair stays."""
    with sandbox().unit() as unit:
        webhooks.change_webhook(unit, webhook_id, json_body(), partial=request.method == "PATCH")
    return jsonify(_webhook(webhook_id))


@api.delete("/webhooks/<webhook_id>/")
def delete_webhook(webhook_id: str) -> Response:
    """Remove a webhook."""
    with sandbox().unit() as unit:
        webhooks.delete_webhook(unit, webhook_id)
    return Response(status=204)


@api.get("/webhooks/deliveries/")
def list_deliveries() -> Response:
    """Show what was sent about one object, newest first."""
    _require_query("id", "source_type")
    source_type = request.args["source_type"]
    if source_type not in SOURCE_TYPES:
        raise field_refusal("source_type", "invalid_choice", f"One of {', '.join(SOURCE_TYPES)}.")
    with sandbox().unit() as unit:
        found = unit.deliveries.of_object(request.args["id"], object_type=source_type)
    return _list(found)


def _has_key() -> bool:
    given = request.headers.get("Authorization", "")
    wanted = f"Bearer {sandbox().settings.secret_key}"
    return hmac.compare_digest(given.encode(), wanted.encode())


def _as_told(unit: Unit, document: Document, outcome: Outcome) -> Document:
    """Return the object as control wants it read: the snapshot before, or a status unheard of."""
    if outcome.result == "stale":
        snapshots = unit.objects.snapshots(document["id"])
        return snapshots[-2] if len(snapshots) > 1 else document
    if outcome.result == "unknown_status":
        return {**document, "status": "retrieved"}
    return document


def _webhook(webhook_id: str) -> Document:
    with sandbox().unit() as unit:
        return webhooks.show_webhook(unit, sandbox().keys, webhook_id)


def _reference(body: object) -> str:
    reference = body.get("reference") if isinstance(body, dict) else ""
    return reference if isinstance(reference, str) else ""


def _created(document: Document) -> Response:
    answer = jsonify(document)
    answer.status_code = 201
    return answer


def _list(results: list[Document]) -> Response:
    return jsonify(results=results, next=None, previous=None)


def _require_query(*names: str) -> None:
    for name in names:
        if not request.args.get(name):
            raise field_refusal(name, "required", "This field is required.")
