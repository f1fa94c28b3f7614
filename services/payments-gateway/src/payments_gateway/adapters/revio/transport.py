"""HTTP towards Revio: limits on everything, and an answer or `Unavailable`, nothing between."""

import json
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import structlog
import tenacity
from requests.auth import AuthBase

from octoco.errors import NotTried, Unavailable
from octoco.spans import Kind, Span, span
from payments_gateway.adapters.metrics import (
    PROVIDER_CALLS,
    PROVIDER_CIRCUIT_OPEN,
    PROVIDER_SECONDS,
)
from payments_gateway.adapters.revio.circuit_breaker import CircuitBreaker
from payments_gateway.adapters.revio.wire import WireError, read_error

CONNECT_TIMEOUT_SECONDS: Final = 3.05
READ_TIMEOUT_SECONDS: Final = 8.0
# A call with all its repeats must end well within an intent's lease (60 s).
WHOLE_ANSWER_SECONDS: Final = 12.0
ATTEMPTS_MAX: Final = 3
ANSWER_BYTES_MAX: Final = 2 * 1024 * 1024
RETRY_AFTER_SECONDS_MAX: Final = 3600.0
_CHUNK_BYTES: Final = 64 * 1024

_REFUSING: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY}
)
_KEY_TROUBLE: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


class Refused(Exception):
    """Revio understood and turned the request down; it had no effect.

    Args:
        error: The first error that the answer holds.
        status: HTTP status.
    """

    def __init__(self, error: WireError, *, status: int) -> None:
        super().__init__(error.code)
        self.error = error
        self.status = status


class NotFound(Exception):
    """Revio does not know the object."""


class _WorthARepeat(Unavailable):
    """A trouble that may have passed in a moment."""

    code = "provider_unavailable"


class _BearerKey(AuthBase):
    """Puts the secret key on a request; an object, so that no .netrc of the machine replaces it."""

    def __init__(self, secret_key: str) -> None:
        self._header = f"Bearer {secret_key}"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._header
        return request


@dataclass(frozen=True, slots=True)
class Call:
    """One call to be made.

    Args:
        operation: Its name in metrics and logs.
        path: Below the API's base, with its trailing slash; from the host's root if it begins
            with a slash.
        repeatable: Whether making it twice does no harm.
        guarded: Whether the circuit breaker may hold it back.
    """

    operation: str
    method: str
    path: str
    body: Mapping[str, Any] | None = None
    query: Mapping[str, str] | None = None
    repeatable: bool = False
    guarded: bool = True


class RevioTransport:
    """Makes calls, the repeatable ones with one connection pool for each thread.

    Neither key nor bodies nor paths are ever logged: the path of an execution is a secret.

    Args:
        base_url: Such as `https://gate.reviopay.com/api/v1/`.
        secret_key: The key of the configured mode.
    """

    def __init__(self, *, base_url: str, secret_key: str) -> None:
        self._base_url = base_url.rstrip("/") + "/"
        parts = urlsplit(self._base_url)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._host = parts.hostname or ""
        self._key = _BearerKey(secret_key)
        self._threads = threading.local()
        self._breaker = CircuitBreaker(on_change=PROVIDER_CIRCUIT_OPEN.set)
        self._log = structlog.get_logger("payments_gateway.revio")
        # The library writes paths at its debug level, and one of them is a secret.
        logging.getLogger("urllib3").setLevel(logging.ERROR)

    def perform(self, call: Call) -> Any:
        """Make a call, a repeatable one up to three times.

        Returns:
            The JSON of a 2xx answer; None if it has no body.

        Raises:
            Refused: 400, 409 or 422: it had no effect.
            NotFound: 404.
            Unavailable: anything else. A call that changes something may have done so.
        """
        if not call.repeatable:
            return self._perform_once(call)
        repeating = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_WorthARepeat),
            stop=tenacity.stop_after_attempt(ATTEMPTS_MAX),
            wait=tenacity.wait_random_exponential(multiplier=0.3, max=1.5),
            reraise=True,
        )
        return repeating(self._perform_once, call)

    def _perform_once(self, call: Call) -> Any:
        if call.guarded and not self._breaker.allows():
            PROVIDER_CALLS.labels(operation=call.operation, outcome="circuit_open").inc()
            raise NotTried("The provider is not asked at the moment.", retry_after_seconds=15)
        # The step stays here: the provider takes no traceparent, and is told none.
        with span(
            f"revio {call.operation}",
            kind=Kind.CLIENT,
            attributes={"http.request.method": call.method, "server.address": self._host},
        ) as step:
            return self._ask(call, step)

    def _ask(self, call: Call, step: Span) -> Any:
        began = time.perf_counter()
        outcome = "bug"
        try:
            status, headers, body = self._send(call)
            outcome = _outcome(status)
            step.note({"http.response.status_code": status})
        except requests.Timeout:
            outcome = "timeout"
        except requests.RequestException:
            outcome = "connection_error"
        finally:
            PROVIDER_CALLS.labels(operation=call.operation, outcome=outcome).inc()
            PROVIDER_SECONDS.labels(operation=call.operation).observe(time.perf_counter() - began)
            self._log.info("provider_call", operation=call.operation, outcome=outcome)
            step.note({"octoco.outcome": outcome})
        if outcome in ("timeout", "connection_error"):
            # Without its cause: the library's message holds the path.
            self._breaker.failed()
            raise _WorthARepeat(f"The provider gave no answer ({outcome}).")
        return self._judge(status, headers, body)

    def _send(self, call: Call) -> tuple[int, Mapping[str, str], bytes]:
        root = self._origin if call.path.startswith("/") else self._base_url
        deadline = time.monotonic() + WHOLE_ANSWER_SECONDS
        # An idle connection may be closed by the other side just when it is used again. That is no
        # matter for a call that is repeated; one that is made once gets a connection of its own.
        session = self._session() if call.repeatable else _new_session()
        with session.request(
            call.method,
            root + call.path,
            json=call.body,
            params=call.query,
            auth=self._key,
            timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS),
            # A redirected POST loses its body, and the key is for this host alone.
            allow_redirects=False,
            stream=True,
        ) as answer:
            body = bytearray()
            for chunk in answer.iter_content(_CHUNK_BYTES):
                body += chunk
                if time.monotonic() > deadline:
                    raise requests.ReadTimeout("the answer drips")
                if len(body) > ANSWER_BYTES_MAX:
                    raise requests.RequestException("the answer is too large")
            return answer.status_code, answer.headers, bytes(body)

    def _judge(self, status: int, headers: Mapping[str, str], body: bytes) -> Any:
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._breaker.failed()
            raise _WorthARepeat(f"The provider failed (HTTP {status}).")
        self._breaker.succeeded()
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return _json(body) if body else None
        if status == HTTPStatus.NOT_FOUND:
            raise NotFound
        if status in _REFUSING:
            raise Refused(read_error(_json(body)), status=status)
        raise self._unexpected(status, headers)

    def _unexpected(self, status: int, headers: Mapping[str, str]) -> Unavailable:
        if status in _KEY_TROUBLE:
            # Ours to mend, not the user's: everything waits until the key is right.
            self._log.error("provider_refuses_our_key", status=status)
        return Unavailable(
            f"The provider did not serve us (HTTP {status}).",
            retry_after_seconds=_retry_after_seconds(headers),
        )

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._threads, "session", None)
        if session is None:
            session = _new_session()
            self._threads.session = session
        return session


def _new_session() -> requests.Session:
    session = requests.Session()
    session.headers["Accept"] = "application/json"
    session.headers["User-Agent"] = "octoco-wallet"
    return session


def _outcome(status: int) -> str:
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return "ok"
    if status in _REFUSING:
        return "refused"
    if status == HTTPStatus.NOT_FOUND:
        return "not_found"
    if status in _KEY_TROUBLE:
        return "unauthorized"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "rate_limited"
    return "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "unexpected"


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Unavailable("The provider's answer is no JSON.") from None


def _retry_after_seconds(headers: Mapping[str, str]) -> float:
    text = headers.get("Retry-After", "")
    seconds = float(text) if text.isascii() and text.isdigit() else 1.0
    return min(max(seconds, 1.0), RETRY_AFTER_SECONDS_MAX)
