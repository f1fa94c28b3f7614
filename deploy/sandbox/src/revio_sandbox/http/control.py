"""Control: the knobs of the sandbox, as JSON endpoints under /control/."""

from typing import Any

from flask import Blueprint, Response, jsonify, request

from revio_sandbox import balances, control_actions
from revio_sandbox.api_errors import ApiError
from revio_sandbox.http.context import client_ip, sandbox
from revio_sandbox.http.control_body import ControlBody, answer_control, query_limit
from revio_sandbox.http.request_log import read_log
from revio_sandbox.knobs import Match
from revio_sandbox.money import CURRENCIES
from revio_sandbox.objects import Document
from revio_sandbox.outcomes import SIGNATURES, BadOutcome, parse_outcome
from revio_sandbox.store import DATA_TABLES

control = Blueprint("control", __name__, url_prefix="/control")


@control.errorhandler(BadOutcome)
def show_bad_outcome(error: BadOutcome) -> tuple[Response, int]:
    """Say what control did not understand."""
    return jsonify(error=str(error)), 400


@control.errorhandler(ApiError)
def show_api_error(error: ApiError) -> tuple[Response, int]:
    """Say what the gateway itself would refuse."""
    return jsonify(error="refused", errors=error.errors), error.status


@control.get("/state")
def show_state() -> Response:
    """Show clock, knobs and counts."""
    return jsonify(state())


@control.get("/next")
def list_knobs() -> Response:
    """Show the knobs still waiting."""
    with sandbox().unit() as unit:
        return jsonify(results=unit.knobs.waiting())


@control.post("/next")
def set_knob() -> Response:
    """Set the outcome of the next matching calls."""
    body = ControlBody()
    operation = body.text("operation")
    outcome = parse_outcome(operation, body.mapping("outcome"))
    times = body.integer("times", minimum=1, default=1)
    match = Match(body.text("object_id"), body.text("reference"), body.text("event"))
    body.require_all_read()
    with sandbox().unit() as unit:
        knob_id = unit.knobs.set(operation, outcome, times=times, match=match)
    return answer_control({"id": knob_id, "operation": operation, "times": times}, status=201)


@control.delete("/next")
def clear_knobs() -> Response:
    """Forget every knob."""
    with sandbox().unit() as unit:
        unit.knobs.clear()
    return jsonify(results=[])


@control.post("/reset")
def reset() -> Response:
    """Forget knobs, outage, holds and clock; with `data` also every object."""
    body = ControlBody()
    with_data = body.boolean("data", default=False)
    body.require_all_read()
    with sandbox().unit() as unit:
        unit.knobs.clear()
        unit.remember("outage", "off")
        unit.remember("holding", "off")
        for table in DATA_TABLES if with_data else ():
            unit.connection.execute(f"DELETE FROM {table}")
    sandbox().reset_clock()
    return answer_control(state())


@control.post("/outage")
def set_outage() -> Response:
    """Turn the outage on or off."""
    body = ControlBody()
    on = body.boolean("on", default=True)
    body.require_all_read()
    with sandbox().unit() as unit:
        unit.remember("outage", "on" if on else "off")
    return answer_control(state())


@control.post("/clock")
def set_clock() -> Response:
    """Advance the clock, or change what retry intervals are divided by."""
    body = ControlBody()
    seconds = body.number("advance_seconds") if body.has("advance_seconds") else 0.0
    scale = body.number("scale") if body.has("scale") else None
    body.require_all_read()
    if scale == 0:
        raise BadOutcome("scale must be greater than 0")
    if scale is not None:
        sandbox().scale_clock(scale)
    if seconds:
        sandbox().advance_clock(seconds)
    return answer_control(state())


@control.post("/webhooks/hold")
def hold_webhooks() -> Response:
    """Hold back what is emitted from now on, or stop doing so."""
    body = ControlBody()
    on = body.boolean("on", default=True)
    body.require_all_read()
    with sandbox().unit() as unit:
        unit.remember("holding", "on" if on else "off")
    return answer_control(state())


@control.post("/webhooks/release")
def release_webhooks() -> Response:
    """Send what was held back, in the order wanted, and stop holding."""
    body = ControlBody()
    order = body.anything("order") or "given"
    body.require_all_read()
    if isinstance(order, list):
        if not all(isinstance(one, int) for one in order):
            raise BadOutcome("order must be a list of delivery ids")
    elif order not in ("given", "reversed"):
        raise BadOutcome("order must be given, reversed, or a list of delivery ids")
    with sandbox().unit() as unit:
        unit.remember("holding", "off")
        released = unit.deliveries.release(order)
    return answer_control({"released": released})


@control.post("/webhooks/hurry")
def hurry_webhooks() -> Response:
    """Make every waiting retry due now."""
    with sandbox().unit() as unit:
        unit.deliveries.hurry()
    return answer_control(state())


@control.post("/webhooks/send")
def send_webhook() -> Response:
    """Sign and send any body, or an object as it once was."""
    body = ControlBody()
    event = body.text("event")
    signature = _signature(body)
    changes = body.mapping("changes") if body.has("changes") else {}
    with sandbox().unit() as unit:
        if body.has("body"):
            document = body.mapping("body")
        else:
            document = control_actions.snapshot(
                unit, body.text("object_id"), status=body.text("status")
            )
        body.require_all_read()
        sent = control_actions.send(
            unit, event, document={**document, **changes}, signature=signature
        )
    return answer_control({"deliveries": sent}, status=201)


@control.post("/redeliver")
def redeliver() -> Response:
    """Repeat the newest matching delivery of an object, byte for byte."""
    body = ControlBody()
    object_id, event = body.text("object_id"), body.text("event")
    times = body.integer("times", minimum=1, default=1)
    signature = _signature(body)
    body.require_all_read()
    with sandbox().unit() as unit:
        sent = control_actions.redeliver(
            unit, object_id, event=event, times=times, signature=signature
        )
    return answer_control({"deliveries": sent}, status=201)


@control.get("/purchases")
def list_purchases() -> Response:
    """Show purchases, newest first."""
    return _objects("purchase")


@control.get("/payouts")
def list_payouts() -> Response:
    """Show payouts, newest first."""
    return _objects("payout")


@control.get("/payments")
def list_payments() -> Response:
    """Show refunds and chargebacks, newest first."""
    return _objects("payment")


@control.get("/objects/<object_id>")
def show_object(object_id: str) -> Response:
    """Show an object with every form it had."""
    with sandbox().unit() as unit:
        stored = unit.objects.find(object_id)
        if stored is None:
            raise BadOutcome(f"no object has the id {object_id!r}")
        return jsonify(object=stored.document, snapshots=unit.objects.snapshots(object_id))


@control.post("/purchases")
def add_purchase() -> Response:
    """Create a purchase the merchant never asked for, and pay it."""
    body = ControlBody()
    paid = body.boolean("pay", default=True)
    wanted = control_actions.ForeignPurchase(
        amount=body.integer("amount", minimum=1),
        currency=_currency(body, "ZAR"),
        reference=body.text("reference"),
        email=body.text("email", "stranger@example.com"),
    )
    body.require_all_read()
    with sandbox().unit() as unit:
        document = control_actions.add_purchase(unit, wanted, paid=paid, client_ip=client_ip())
    return answer_control(document, status=201)


@control.post("/purchases/<purchase_id>/pay")
def pay_purchase(purchase_id: str) -> Response:
    """Pay a purchase, or let an attempt fail, without a browser."""
    body = ControlBody()
    wanted = control_actions.ForcedPayment(
        amount=body.integer("amount", minimum=1) if body.has("amount") else None,
        currency=_currency(body, "") or None,
        error_code=body.text("error_code"),
        force=body.boolean("force", default=False),
    )
    body.require_all_read()
    with sandbox().unit() as unit:
        return answer_control(
            control_actions.pay_purchase(unit, purchase_id, wanted, client_ip=client_ip())
        )


@control.post("/purchases/<purchase_id>/expire")
def expire_purchase(purchase_id: str) -> Response:
    """Let a payable purchase expire now."""
    with sandbox().unit() as unit:
        return answer_control(control_actions.expire_purchase(unit, purchase_id))


@control.post("/purchases/<purchase_id>/settle")
def settle_purchase(purchase_id: str) -> Response:
    """Settle a paid purchase; `stale` lets the webhook's body still say paid."""
    body = ControlBody()
    stale = body.boolean("stale", default=False)
    body.require_all_read()
    with sandbox().unit() as unit:
        return answer_control(control_actions.settle_purchase(unit, purchase_id, stale=stale))


@control.post("/purchases/<purchase_id>/chargeback")
def charge_back_purchase(purchase_id: str) -> Response:
    """Let the payer's bank take the money back."""
    with sandbox().unit() as unit:
        return answer_control(control_actions.charge_back_purchase(unit, purchase_id))


@control.post("/payouts/<payout_id>/succeed")
def succeed_payout(payout_id: str) -> Response:
    """Let a payout succeed, also after it failed."""
    with sandbox().unit() as unit:
        return answer_control(control_actions.succeed_payout(unit, payout_id))


@control.post("/payouts/<payout_id>/fail")
def fail_payout(payout_id: str) -> Response:
    """Let a payout fail at the bank."""
    body = ControlBody()
    code = body.text("code", "payment_rejected_other_reason")
    body.require_all_read()
    with sandbox().unit() as unit:
        return answer_control(control_actions.fail_payout(unit, payout_id, code=code))


@control.post("/balance")
def set_balance() -> Response:
    """Set the balance payouts draw on."""
    body = ControlBody()
    currency = _currency(body, "ZAR")
    amount = body.integer("payout_balance", minimum=0)
    body.require_all_read()
    with sandbox().unit() as unit:
        balances.set_payout_balance(unit, currency, amount)
        return answer_control(dict(balances.balance_by_currency(unit)))


@control.get("/deliveries")
def list_deliveries() -> Response:
    """Show webhooks sent, waiting, held and dropped, newest first."""
    with sandbox().unit() as unit:
        found = unit.deliveries.newest(
            object_id=request.args.get("object_id", ""),
            event=request.args.get("event", ""),
            state=request.args.get("state", ""),
            limit=query_limit(),
        )
    return jsonify(results=found)


@control.get("/log")
def show_log() -> Response:
    """Show what the sandbox was asked and what it answered, newest first."""
    found = read_log(
        limit=query_limit(),
        path=request.args.get("path", ""),
        operation=request.args.get("operation", ""),
    )
    return jsonify(results=found)


def state() -> dict[str, Any]:
    """Return clock, knobs and counts."""
    with sandbox().unit() as unit:
        return {
            "now": unit.now,
            "clock_advanced_seconds": sandbox().clock.offset_seconds,
            "clock_scale": unit.scale,
            "outage": unit.setting("outage", "off") == "on",
            "holding": unit.setting("holding", "off") == "on",
            "knobs": unit.knobs.waiting(),
            "objects": unit.objects.counts(),
            "deliveries": unit.deliveries.counts(),
        }


def _objects(object_type: str) -> Response:
    with sandbox().unit() as unit:
        found: list[Document] = unit.objects.newest(
            object_type,
            reference=request.args.get("reference", ""),
            status=request.args.get("status", ""),
            limit=query_limit(),
        )
    return jsonify(results=found)


def _currency(body: ControlBody, default: str) -> str:
    currency = body.text("currency", default)
    if currency and currency not in CURRENCIES:
        raise BadOutcome(f"unknown currency {currency!r}")
    return currency


def _signature(body: ControlBody) -> str:
    signature = body.text("signature", "valid")
    if signature not in SIGNATURES:
        raise BadOutcome(f"signature must be one of {SIGNATURES}")
    return signature
