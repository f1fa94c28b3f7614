"""Keeps what the sandbox was asked and what it answered, for control to show."""

import json
import re
import time
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from revio_sandbox.http.context import sandbox

ROWS_MAX = 2000
TEXT_MAX = 20_000
# A payer's card is masked, as everywhere; keys and headers are not written down at all.
SECRET_FIELDS = re.compile(r'("(?:card_number|cvc)": ")([^"]*)(")')


def keep_request_log(app: Flask) -> None:
    """Write one row for each call of a merchant or payer; control and health are left out."""

    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()

    @app.after_request
    def write(answer: Response) -> Response:
        if not request.path.startswith(("/control", "/health")):
            _write(answer)
        return answer


def read_log(*, limit: int, path: str, operation: str) -> list[dict[str, Any]]:
    """Return the newest rows first, narrowed by a part of the path and the operation."""
    with sandbox().unit() as unit:
        rows = unit.connection.execute(
            "SELECT * FROM request_log WHERE instr(path, ?) > 0 AND (? = '' OR operation = ?)"
            " ORDER BY id DESC LIMIT ?",
            (path, operation, operation, limit),
        ).fetchall()
    return [
        {**dict(row), "request": _parsed(row["request"]), "response": _parsed(row["response"])}
        for row in rows
    ]


def _write(answer: Response) -> None:
    request_text = _request_text()
    response_text = answer.get_data(as_text=True) if answer.mimetype == "application/json" else ""
    duration_ms = (time.perf_counter() - g.began) * 1000 if "began" in g else 0.0
    with sandbox().unit() as unit:
        cursor = unit.connection.execute(
            "INSERT INTO request_log (at, method, path, operation, request, status, response,"
            " fault, duration_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                unit.now,
                request.method,
                request.full_path.rstrip("?"),
                g.get("operation", ""),
                SECRET_FIELDS.sub(r"\1***\3", request_text)[:TEXT_MAX],
                answer.status_code,
                response_text[:TEXT_MAX],
                g.get("fault", ""),
                round(duration_ms, 3),
            ),
        )
        newest = int(cursor.lastrowid or 0)
        if newest % 100 == 0:
            unit.connection.execute("DELETE FROM request_log WHERE id <= ?", (newest - ROWS_MAX,))


def _request_text() -> str:
    try:
        text = request.get_data(as_text=True)
        return json.dumps(request.form.to_dict()) if request.form else text
    except HTTPException:
        # Too large a body was refused without being read, and is not read for the log either.
        return ""


def _parsed(text: str) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text
