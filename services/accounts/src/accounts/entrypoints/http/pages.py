"""The page a person proves their address on, where no front end is at hand.

The token is typed or pasted and travels in the body: in an address it would end up in histories
and logs, and a mail scanner that follows links would use it up.
"""

# mypy: disable-error-code="untyped-decorator"
# flask-smorest publishes no types for its decorators.

from http import HTTPStatus
from typing import Final

from flask import Response, render_template
from flask_smorest import Blueprint

from accounts.entrypoints.http.context import origin, ports
from accounts.entrypoints.http.refusals import REFUSAL_STATUS
from accounts.entrypoints.http.schemas import VerifyEmailSchema
from accounts.use_cases.verify_email import verify_email
from octoco.errors import Refusal

FORM_PATH: Final = "/v1/auth/verify-email/form"

pages = Blueprint("pages", __name__, template_folder="templates", description="Pages for people")


@pages.get("/v1/auth/verify-email")
@pages.response(200, content_type="text/html")
def show_form() -> Response:
    """Show the form that takes the token from the mail."""
    return _page(HTTPStatus.OK)


@pages.post(FORM_PATH)
@pages.arguments(VerifyEmailSchema, location="form")
@pages.response(200, content_type="text/html")
def take_form(form: dict[str, str]) -> Response:
    """Prove an address with the token from the form."""
    try:
        verify_email(ports(), token=form["token"].strip(), origin=origin())
    except Refusal as refusal:
        return _page(REFUSAL_STATUS[type(refusal)], problem=refusal.message)
    return _page(HTTPStatus.OK, verified=True)


def _page(status: int, *, verified: bool = False, problem: str | None = None) -> Response:
    html = render_template("verify_email.html", verified=verified, problem=problem)
    return Response(html, status=status, content_type="text/html; charset=utf-8")
