"""The page to read mails, the API to find them, and the control of faults."""

from typing import Any

from flask import Flask, Response, abort, jsonify, render_template, request
from werkzeug.exceptions import HTTPException

from octoco_mailbox.faults import Fault, FaultKind, Faults
from octoco_mailbox.store import Mail, MailStore

LIMIT_MAX = 1000
PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; frame-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
# A mail is a stranger's HTML: no scripts, no forms, nothing fetched, an origin of its own.
MAIL_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def create_app(store: MailStore, faults: Faults) -> Flask:
    """Make the web application on the same store and faults as the mail server."""
    app = Flask(__name__)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    _add_pages(app, store)
    _add_api(app, store)
    _add_control(app, faults)

    @app.get("/health")
    def health() -> Response:
        return jsonify(status="ok")

    @app.errorhandler(HTTPException)
    def problem(error: HTTPException) -> Response:
        answer = jsonify(error=error.description)
        answer.status_code = error.code or 500
        return answer

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", PAGE_POLICY)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cache-Control"] = "no-store"
        return response

    return app


def _add_pages(app: Flask, store: MailStore) -> None:
    @app.get("/")
    def inbox() -> str:
        to = request.args.get("to") or None
        return render_template("inbox.html", mails=store.newest(to=to), to=to)

    @app.get("/messages/<mail_id>")
    def read(mail_id: str) -> str:
        return render_template("mail.html", mail=_found(store, mail_id))

    @app.get("/messages/<mail_id>/html")
    def html(mail_id: str) -> Response:
        response = Response(_found(store, mail_id).html or "", mimetype="text/html")
        response.headers["Content-Security-Policy"] = MAIL_POLICY
        return response

    @app.get("/messages/<mail_id>/source")
    def source(mail_id: str) -> Response:
        return Response(_found(store, mail_id).source, mimetype="text/plain")


def _add_api(app: Flask, store: MailStore) -> None:
    @app.get("/api/messages")
    def messages() -> Response:
        limit = request.args.get("limit", default=100, type=int)
        to = request.args.get("to") or None
        mails = store.newest(to=to, limit=max(1, min(limit, LIMIT_MAX)))
        return jsonify(messages=[_as_json(mail) for mail in mails])

    @app.get("/api/messages/<mail_id>")
    def message(mail_id: str) -> Response:
        return jsonify(_as_json(_found(store, mail_id)))

    @app.delete("/api/messages")
    def clear() -> Response:
        return jsonify(removed=store.clear())


def _add_control(app: Flask, faults: Faults) -> None:
    @app.get("/control/faults")
    def show() -> Response:
        return jsonify(faults=[_fault_as_json(fault) for fault in faults.left()])

    @app.post("/control/faults")
    def add() -> tuple[Response, int]:
        fault = _fault_of(request.get_json())
        faults.add(fault)
        return jsonify(_fault_as_json(fault)), 201

    @app.delete("/control/faults")
    def forget() -> tuple[str, int]:
        faults.clear()
        return "", 204


def _found(store: MailStore, mail_id: str) -> Mail:
    return store.find(mail_id) or abort(404, "There is no such mail.")


def _as_json(mail: Mail) -> dict[str, object]:
    return {
        "id": mail.id,
        "received_at": mail.received_at.isoformat().replace("+00:00", "Z"),
        "from": mail.sender,
        "to": list(mail.recipients),
        "subject": mail.subject,
        "headers": [[name, str(value)] for name, value in mail.message.items()],
        "text": mail.text,
        "html": mail.html,
    }


def _fault_as_json(fault: Fault) -> dict[str, object]:
    return {"kind": fault.kind.value, "times": fault.times, "code": fault.code, "to": fault.to}


def _fault_of(body: Any) -> Fault:
    if not isinstance(body, dict) or set(body) - {"kind", "times", "code", "to"}:
        abort(400, "An object with kind, and perhaps times, code and to, is needed.")
    kind, times, code = body.get("kind"), body.get("times", 1), body.get("code", 451)
    to = body.get("to")
    if kind not in set(FaultKind):
        abort(400, f"kind is one of {', '.join(FaultKind)}.")
    if type(times) is not int or times < 1:
        abort(400, "times is a whole number from 1.")
    if type(code) is not int or not 400 <= code <= 599:  # noqa: PLR2004 - SMTP's error codes
        abort(400, "code is an SMTP error, 400 to 599.")
    if to is not None and not isinstance(to, str):
        abort(400, "to is an address.")
    return Fault(kind=FaultKind(kind), times=times, code=code, to=to)
