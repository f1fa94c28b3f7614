"""Outcomes: what control (or a magic account number) makes the next matching call do."""

from collections.abc import Callable, Mapping
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
    fits, wanted = _RULES.get(name, (_is_text, "a text"))
    if not fits(value):
        raise BadOutcome(f"{name} must be {wanted}, not {value!r}")
    return value


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_boolean(value: Any) -> bool:
    return isinstance(value, bool)


def _integer_within(least: int, most: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


def _number_up_to(most: float) -> Callable[[Any], bool]:
    return lambda value: type(value) in (int, float) and 0 <= value <= most


def _one_of(allowed: tuple[str, ...]) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value in allowed, f"one of {allowed}"


# What each key may hold, and how to say so; every other key is a text.
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "http_status": (_integer_within(400, 599), "a status from 400 to 599"),
    "delay_seconds": (
        _number_up_to(DELAY_SECONDS_MAX),
        f"a number from 0 to {DELAY_SECONDS_MAX}",
    ),
    "after_seconds": (_number_up_to(1e9), "a number of at least 0"),
    "duplicates": (_integer_within(1, 100), "an integer from 1 to 100"),
    "lost": _one_of(LOST),
    "lost_before": _one_of(LOST),
    "signature": _one_of(SIGNATURES),
    "drop": (_is_boolean, "true or false"),
    "hold": (_is_boolean, "true or false"),
}
