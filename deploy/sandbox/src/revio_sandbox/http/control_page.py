"""The page of control: what is going on, and forms for the most used knobs."""

from datetime import UTC, datetime

from flask import Blueprint, Response, make_response, render_template

from revio_sandbox.http.context import sandbox
from revio_sandbox.http.control import state
from revio_sandbox.http.request_log import read_log
from revio_sandbox.money import display
from revio_sandbox.objects import Document
from revio_sandbox.outcomes import OPERATIONS

control_page = Blueprint("control_page", __name__)

ROWS = 20


@control_page.get("/control/")
def show_control() -> Response:
    """Show the page."""
    present = state()
    with sandbox().unit() as unit:
        purchases = unit.objects.newest("purchase", limit=ROWS)
        payouts = unit.objects.newest("payout", limit=ROWS)
        deliveries = unit.deliveries.newest(limit=ROWS)
    return make_response(
        render_template(
            "control.html",
            state=present,
            now=datetime.fromtimestamp(present["now"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
            operations=OPERATIONS,
            purchases=[_with_amount(one, one["purchase"]["total"]) for one in purchases],
            payouts=[_with_amount(one, one["payment"]["amount"]) for one in payouts],
            deliveries=deliveries,
            log=read_log(limit=ROWS, path="", operation=""),
        )
    )


def _with_amount(document: Document, amount: int) -> Document:
    currency = (document.get("purchase") or document["payment"])["currency"]
    return {**document, "shown_amount": display(amount, currency)}
