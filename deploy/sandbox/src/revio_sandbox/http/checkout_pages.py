"""The hosted checkout: pages that work without JavaScript, and the forms behind them."""

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for

from revio_sandbox import checkout, purchases
from revio_sandbox.http.context import client_ip, sandbox
from revio_sandbox.http.faults import perform
from revio_sandbox.money import display
from revio_sandbox.objects import StoredObject
from revio_sandbox.outcomes import Outcome
from revio_sandbox.payments import METHOD_NAMES

checkout_pages = Blueprint("checkout", __name__, url_prefix="/p")

CLOSED_TITLES = {
    "cancelled": "This payment was cancelled",
    "expired": "This payment link has expired",
    "blocked": "This payment was blocked",
}


@checkout_pages.get("/<purchase_id>/")
def show(purchase_id: str) -> Response:
    """Show the form while the purchase is payable, else where it stands."""
    with sandbox().unit() as unit:
        stored = purchases.find_purchase(unit, purchase_id)
        purchases.mark_viewed(unit, stored)
    if stored.status in purchases.MONEY_WAS_IN:
        target = stored.document["success_redirect"] if "waiting" in request.args else ""
        return _see_other(target or url_for(".invoice", purchase_id=purchase_id))
    if stored.status == "pending_execute":
        return _page("pending.html", stored, refresh_url=_waiting_url(purchase_id))
    if stored.status not in purchases.PAYABLE:
        return _page("closed.html", stored, title=_closed_title(stored))
    return _form(stored, values={}, errors={})


@checkout_pages.post("/<purchase_id>/")
def pay(purchase_id: str) -> Response:
    """Try the card in the form."""

    def act(outcome: Outcome) -> Response:
        card, errors = checkout.read_card(request.form)
        with sandbox().unit() as unit:
            stored = purchases.find_purchase(unit, purchase_id)
            if card is None:
                if stored.status not in purchases.PAYABLE:
                    return _after(stored)
                return _form(stored, values=request.form, errors=errors)
            try:
                checkout.try_card(unit, stored, card, client_ip=client_ip(), outcome=outcome)
            except checkout.NotPayable:
                return _see_other(url_for(".show", purchase_id=purchase_id))
        return _after(stored)

    return perform("checkout_pay", act, object_id=purchase_id, reference=_reference(purchase_id))


@checkout_pages.get("/<purchase_id>/3ds/")
def ask(purchase_id: str) -> Response:
    """Show the bank's question (3-D Secure)."""
    with sandbox().unit() as unit:
        stored = purchases.find_purchase(unit, purchase_id)
    if "open_attempt" not in stored.private:
        return _see_other(url_for(".show", purchase_id=purchase_id))
    instrument = stored.private["open_attempt"]["instrument"]
    return _page("three_d_secure.html", stored, last_digits=instrument["extra"]["masked_pan"][-4:])


@checkout_pages.post("/<purchase_id>/3ds/")
def answer(purchase_id: str) -> Response:
    """Take the payer's answer to the bank."""
    approved = request.form.get("decision") == "approve"
    with sandbox().unit() as unit:
        stored = purchases.find_purchase(unit, purchase_id)
        try:
            checkout.confirm(unit, stored, approved=approved)
        except checkout.NotPayable:
            return _see_other(url_for(".show", purchase_id=purchase_id))
    return _after(stored)


@checkout_pages.get("/<purchase_id>/invoice/")
def invoice(purchase_id: str) -> Response:
    """Show the receipt of a paid purchase."""
    with sandbox().unit() as unit:
        stored = purchases.find_purchase(unit, purchase_id)
    if stored.status not in purchases.MONEY_WAS_IN:
        return _see_other(url_for(".show", purchase_id=purchase_id))
    return _page("invoice.html", stored)


def _after(stored: StoredObject) -> Response:
    """Send the payer on, by what the attempt came to."""
    document = stored.document
    if "open_attempt" in stored.private:
        return _see_other(url_for(".ask", purchase_id=stored.id))
    if stored.status in purchases.MONEY_WAS_IN:
        target = document["success_redirect"]
        return _see_other(target or url_for(".invoice", purchase_id=stored.id))
    if stored.status == "pending_execute":
        return _see_other(_waiting_url(stored.id))
    if stored.status == "cancelled" and document["failure_redirect"]:
        return _see_other(document["failure_redirect"])
    return _see_other(url_for(".show", purchase_id=stored.id))


def _form(stored: StoredObject, *, values: dict[str, str], errors: dict[str, str]) -> Response:
    attempts = stored.document["transaction_data"]["attempts"]
    failure = attempts[0]["error"] if stored.status == "error" and attempts else None
    page = _page(
        "checkout.html",
        stored,
        values=values,
        errors=errors,
        failure=None if errors else failure,
        accepts_cards=checkout.accepts_cards(stored),
        test_cards=checkout.TEST_CARDS,
        right_cvc=checkout.RIGHT_CVC,
    )
    page.status_code = 422 if errors else 200
    return page


def _page(template: str, stored: StoredObject, **details: object) -> Response:
    document = stored.document
    payment = document["payment"] or {
        "amount": document["purchase"]["total"],
        "currency": document["purchase"]["currency"],
    }
    method = document["transaction_data"]["payment_method"]
    return make_response(
        render_template(
            template,
            purchase=document,
            merchant=sandbox().settings.merchant_name,
            amount=display(document["purchase"]["total"], document["purchase"]["currency"]),
            paid_amount=display(payment["amount"], payment["currency"]),
            method_name=METHOD_NAMES.get(method, method),
            **details,
        )
    )


def _closed_title(stored: StoredObject) -> str:
    return CLOSED_TITLES.get(stored.status, "This payment is closed")


def _reference(purchase_id: str) -> str:
    with sandbox().unit() as unit:
        return str(purchases.find_purchase(unit, purchase_id).document["reference"])


def _waiting_url(purchase_id: str) -> str:
    return url_for(".show", purchase_id=purchase_id, waiting=1)


def _see_other(target: str) -> Response:
    answer = make_response(redirect(target, code=303))
    answer.headers["Cache-Control"] = "no-store"
    return answer
