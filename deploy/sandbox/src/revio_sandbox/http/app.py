"""Puts the routes together, with the rules that hold for all of them."""

import logging
from http import HTTPStatus

from flask import Flask, Response, jsonify, make_response, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from revio_sandbox.api_errors import ApiError, not_found, refusal
from revio_sandbox.http.api import api, execution, require_key
from revio_sandbox.http.checkout_pages import checkout_pages
from revio_sandbox.http.context import EXTENSION
from revio_sandbox.http.context import sandbox as current_sandbox
from revio_sandbox.http.control import control
from revio_sandbox.http.control_page import control_page
from revio_sandbox.http.request_log import keep_request_log
from revio_sandbox.sandbox import Sandbox

logger = logging.getLogger(__name__)

BODY_BYTES_MAX = 1024 * 1024
HTTP_CODES = {404: "not_found", 405: "method_not_allowed", 413: "request_entity_too_large"}

PAGES = {
    404: ("No such payment", "Check the link, or ask the merchant for a new one."),
    503: ("Payments are not available now", "Please try again in a few minutes."),
}


def create_app(sandbox: Sandbox) -> Flask:
    """Return the WSGI application of a sandbox; the caller starts and stops its threads."""
    app = Flask("revio_sandbox", static_folder=None)
    app.extensions[EXTENSION] = sandbox
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES_MAX
    app.json.sort_keys = False  # type: ignore[attr-defined]  # Objects read in the gateway's order.
    keep_request_log(app)
    app.before_request(_be_out)
    app.before_request(require_key)
    app.before_request(_insist_on_the_slash)
    app.register_error_handler(ApiError, _show_api_error)
    app.register_error_handler(HTTPException, _show_http_error)
    app.register_error_handler(Exception, _show_bug)
    for blueprint in (api, execution, checkout_pages, control, control_page):
        app.register_blueprint(blueprint)
    app.add_url_rule("/health", view_func=_health)
    return app


def _health() -> Response:
    """Say that requests are served and the store answers."""
    with current_sandbox().unit() as unit:
        unit.setting("outage")
    return jsonify(status="ok")


def _be_out() -> None:
    """Answer 503 to everybody but control while an outage is on."""
    if request.path.startswith(("/control", "/health")):
        return
    with current_sandbox().unit() as unit:
        if unit.setting("outage") == "on":
            raise refusal("service_unavailable", "Service unavailable.", status=503)


def _insist_on_the_slash() -> None:
    """Answer 404 where a slash is missing: a redirected POST would lose its body."""
    if isinstance(request.routing_exception, RequestRedirect):
        raise not_found()


def _show_api_error(error: ApiError) -> Response:
    if request.path.startswith("/p/"):
        # A payer gets a page, not the merchant's JSON.
        title, message = PAGES.get(error.status, ("This did not work", "Please try again."))
        answer = make_response(render_template("problem.html", title=title, message=message))
    else:
        answer = jsonify(error.errors)
    answer.status_code = error.status
    return answer


def _show_http_error(error: HTTPException) -> Response | HTTPException:
    if error.code is None or error.code < HTTPStatus.BAD_REQUEST:
        return error
    return _show_api_error(
        refusal(
            HTTP_CODES.get(error.code, "error"), error.description or error.name, status=error.code
        )
    )


def _show_bug(error: Exception) -> Response:
    logger.error("%s %s failed", request.method, request.path, exc_info=error)
    return _show_api_error(refusal("internal_error", "Internal server error.", status=500))
