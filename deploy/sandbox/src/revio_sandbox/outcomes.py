"""Outcomes: what control (or a magic account number) makes the next matching call do."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

# What each operation can be told to result in; an operation with no entry takes no `result`.
RESULTS: dict[str, tuple[str, ...]] = {
    "purchase_create": (),
    "purchase_read": ("stale", "unknown_status"),
    "purchase_cancel": (),
    "purchase_refund": ("payment", "pending", "pending_then_error", "error"),
    "checkout_pay": (
        "paid",
        "error",
        "pending_execute",
        "pending_execute_then_error",
        "expired_then_paid",
    ),
    "payout_create": (),
    "payout_read": ("stale", "unknown_status"),
    "payout_execute": (
        "success",
        "pending",
        "error",
        "pending_then_error",
        "stuck",
        "error_then_success",
    ),
    "balance_read": (),
    "webhook": (),
    "any": (),
}
OPERATIONS = tuple(RESULTS)
LOST = ("close", "504")
SIGNATURES = ("valid", "invalid", "missing", "foreign")
DELAY_SECONDS_MAX = 120.0


class BadOutcome(Exception):
    """Control was asked for something the sandbox does not know."""


@dataclass(frozen=True)
class Outcome:
    """How one call goes. The default is that nothing out of the ordinary happens.

    Attributes:
        http_status: Answer this status at once, without effect; with `code` and `message`.
        delay_seconds: Real seconds to wait before anything else.
        lost: The effect happens, but the answer does not arrive: closed connection or a bare 504.
        lost_before: The same, without the effect.
        result: What the operation comes to; the words are in `RESULTS`.
        after_seconds: Sandbox seconds until a result that comes later; None is the default delay.
        duplicates, drop, hold, signature: For the operation `webhook`.
    """

    http_status: int | None = None
    code: str = ""
    message: str = ""
    delay_seconds: float = 0.0
    lost: str = ""
    lost_before: str = ""
    result: str = ""
    after_seconds: float | None = None
    duplicates: int = 0
    drop: bool = False
    hold: bool = False
    signature: str = "valid"

    def describe(self) -> dict[str, Any]:
        """Return only what differs from an ordinary call."""
        ordinary = Outcome()
        return {
            name: value for name, value in asdict(self).items() if value != getattr(ordinary, name)
        }


ORDINARY = Outcome()


def parse_outcome(operation: str, given: Mapping[str, Any]) -> Outcome:
    """Build the outcome that control describes for `operation`.

    Raises:
        BadOutcome: the operation, a key or a value is unknown.
    """
    if operation not in RESULTS:
        raise BadOutcome(f"unknown operation {operation!r}; known: {', '.join(OPERATIONS)}")
    known = {field.name for field in fields(Outcome)}
    if unknown := sorted(set(given) - known):
        raise BadOutcome(f"unknown outcome keys {unknown}; known: {sorted(known)}")
    if not given:
        raise BadOutcome("an outcome needs at least one key")
    outcome = Outcome(**{name: _value(name, value) for name, value in given.items()})
    if outcome.result and outcome.result not in RESULTS[operation]:
        raise BadOutcome(f"{operation} can result in {RESULTS[operation] or 'nothing else'}")
    return outcome


def _value(name: str, value: Any) -> Any:
    if name in ("lost", "lost_before"):
        return _choice(name, value, LOST)
    if name == "signature":
        return _choice(name, value, SIGNATURES)
    if name in ("drop", "hold"):
        return _checked(name, value, isinstance(value, bool), "a boolean")
    if name == "http_status":
        fits = _is_number(value, int) and 400 <= value <= 599
        return _checked(name, value, fits, "a status from 400 to 599")
    if name == "duplicates":
        fits = _is_number(value, int) and 1 <= value <= 100
        return _checked(name, value, fits, "an integer from 1 to 100")
    if name == "delay_seconds":
        fits = _is_number(value, int, float) and 0 <= value <= DELAY_SECONDS_MAX
        return _checked(name, value, fits, f"a number from 0 to {DELAY_SECONDS_MAX}")
    if name == "after_seconds":
        fits = _is_number(value, int, float) and value >= 0
        return _checked(name, value, fits, "a number of at least 0")
    return _checked(name, value, isinstance(value, str), "a text")


def _is_number(value: Any, *types: type) -> bool:
    return isinstance(value, types) and not isinstance(value, bool)


def _choice(name: str, value: Any, allowed: tuple[str, ...]) -> Any:
    return _checked(name, value, value in allowed, f"one of {allowed}")


def _checked(name: str, value: Any, fits: bool, wanted: str) -> Any:
    if not fits:
        raise BadOutcome(f"{name} must be {wanted}, not {value!r}")
    return value
