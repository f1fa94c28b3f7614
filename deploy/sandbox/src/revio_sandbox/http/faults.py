"""Lets a call go as control wants it: late, refused, or with an answer that never arrives."""

import contextlib
import socket
import time
from collections.abc import Callable

from flask import Response, g, request

from revio_sandbox.api_errors import refusal
from revio_sandbox.http.context import sandbox
from revio_sandbox.knobs import Match
from revio_sandbox.outcomes import ORDINARY, Outcome


def perform(
    operation: str,
    act: Callable[[Outcome], Response],
    *,
    object_id: str = "",
    reference: str = "",
    otherwise: Outcome = ORDINARY,
) -> Response:
    """Answer one call of `operation` by what `act` does, under the outcome set for it.

    Args:
        operation: One of `outcomes.OPERATIONS`.
        act: Does the work and renders the answer; not called when the call is to have no effect.
        object_id: What the call is about, for knobs that match it.
        reference: The merchant's reference, likewise.
        otherwise: The outcome when no knob fits.

    Raises:
        ApiError: control wants this status, or `act` refuses.
    """
    g.operation = operation
    with sandbox().unit() as unit:
        match = Match(object_id=object_id, reference=reference)
        outcome = unit.knobs.take(operation, match) or otherwise
    if outcome is not ORDINARY:
        g.fault = ", ".join(f"{name}={value}" for name, value in outcome.describe().items())
    if outcome.delay_seconds:
        time.sleep(outcome.delay_seconds)
    if outcome.lost_before:
        return _lose(outcome.lost_before)
    if outcome.http_status is not None:
        raise refusal(
            outcome.code or "error",
            outcome.message or "The sandbox was told to refuse this call.",
            status=outcome.http_status,
        )
    answer = act(outcome)
    return _lose(outcome.lost) if outcome.lost else answer


def _lose(how: str) -> Response:
    if how == "close":
        # Both servers put the connection into the environment. Shut down here, so that the caller
        # sees the end of the stream instead of a response; the server's own write then fails.
        connection = request.environ.get("gunicorn.socket") or request.environ.get(
            "werkzeug.socket"
        )
        if isinstance(connection, socket.socket):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
    return Response("Gateway Timeout", status=504, mimetype="text/plain")
