"""The Idempotency-Key header on requests that move money."""

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

from flask import request

from octoco.http.authentication import current_user
from octoco.http.problems import Problem
from octoco.ports import MessagingUnit, UnitsOfWork

U = TypeVar("U", bound=MessagingUnit)

HEADER: Final = "Idempotency-Key"
_FORM: Final = re.compile(r"[\x21-\x7e]{1,200}")


def idempotent(units: UnitsOfWork[U], work: Callable[[U], str]) -> tuple[str, bool]:
    """Do the work once for the key of this request, in one unit with the remembering of it.

    Args:
        units: Where the work is done.
        work: Makes the resource and returns its id; a refusal it raises stores nothing, so the
            key may be used again.

    Returns:
        The resource's id, and whether the request was a repeat.

    Raises:
        Problem: 400 `idempotency_key_missing` or `idempotency_key_malformed`.
        IdempotencyKeyInFlight: the first request with this key has not ended.
        IdempotencyKeyReused: the key came before with another method, path or body.
        Refusal: what `work` refuses.
        Unavailable: the database is away.
    """
    key = idempotency_key()
    user_id = current_user().user_id
    fingerprint = request_hash()

    def once(unit: U) -> tuple[str, bool]:
        known = unit.idempotency_keys.claim(user_id=user_id, key=key, request_hash=fingerprint)
        if known is not None:
            return known, True
        resource_id = work(unit)
        unit.idempotency_keys.store(
            user_id=user_id, key=key, request_hash=fingerprint, resource_id=resource_id
        )
        return resource_id, False

    return units.run(once, contended_on=user_id)


def idempotency_key() -> str:
    """Return the key of this request.

    Raises:
        Problem: 400 `idempotency_key_missing` or `idempotency_key_malformed`.
    """
    key = request.headers.get(HEADER)
    if not key:
        raise Problem(
            400,
            "idempotency_key_missing",
            f"Send an {HEADER} header, a new value for each new request.",
            members={"field": HEADER},
        )
    if not _FORM.fullmatch(key):
        raise Problem(
            400,
            "idempotency_key_malformed",
            f"{HEADER} takes up to 200 visible ASCII characters without spaces.",
            members={"field": HEADER},
        )
    return key


def request_hash() -> str:
    """Return a hash of method, path and body, the same however the JSON was laid out."""
    body: Any = request.get_json(silent=True)
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{request.method} {request.path} {canonical}".encode()).hexdigest()
