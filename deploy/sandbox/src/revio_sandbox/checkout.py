"""What a payer can do at the checkout page: read a card, try it, confirm it with the bank."""

import calendar
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from revio_sandbox import purchases
from revio_sandbox.objects import Document, StoredObject
from revio_sandbox.outcomes import Outcome
from revio_sandbox.payments import CARD_METHODS
from revio_sandbox.unit import Unit

RIGHT_CVC = "123"
HOLDER_LENGTH_MAX = 64
# Number -> whether the bank asks for 3-D Secure. Source: revio-api, section 9.
TEST_CARDS = {
    "4444333322221111": False,
    "5555555555554444": True,
    "4000000000000077": False,
}


class NotPayable(Exception):
    """The purchase takes no attempt in its present status."""


@dataclass(frozen=True)
class Card:
    """A card as typed, already well-formed."""

    number: str
    holder: str
    month: int
    year: int
    cvc: str

    @property
    def method(self) -> str:
        """The card's scheme, as a payment method."""
        if self.number.startswith("4"):
            return "visa"
        return "mastercard" if self.number[0] in "25" else "maestro"

    @property
    def needs_confirmation(self) -> bool:
        """Whether the bank asks the payer first (3-D Secure)."""
        return TEST_CARDS.get(self.number, False)

    def error_code(self, *, now: float, whitelist: list[str] | None) -> str | None:
        """Return why the gateway turns the card down, or None."""
        if whitelist is not None and self.method not in whitelist:
            return "no_matching_terminal"
        if self.number not in TEST_CARDS:
            return "invalid_card_number"
        last_day = calendar.monthrange(self.year, self.month)[1]
        if datetime.fromtimestamp(now, UTC) > datetime(
            self.year, self.month, last_day, 23, 59, 59, tzinfo=UTC
        ):
            return "expired_card"
        return None if self.cvc == RIGHT_CVC else "validation_cvc_invalid"

    def instrument(self, *, client_ip: str) -> Document:
        """Return what an attempt shows of the card."""
        return {
            "method": self.method,
            "extra": {
                "masked_pan": f"{self.number[:6]}******{self.number[-4:]}",
                "cardholder_name": self.holder,
                "expiry_month": self.month,
                "expiry_year": self.year % 100,
            },
            "client_ip": client_ip,
        }


def read_card(form: Mapping[str, str]) -> tuple[Card | None, dict[str, str]]:
    """Return the card, or what to tell the payer about each field that is not well-formed."""
    number = re.sub(r"[\s-]", "", form.get("card_number", ""))
    holder = form.get("cardholder_name", "").strip()
    cvc = form.get("cvc", "").strip()
    expires = re.fullmatch(
        r"(0[1-9]|1[0-2])\s*/?\s*(?:20)?(\d{2})", form.get("expires", "").strip(), re.ASCII
    )
    errors: dict[str, str] = {}
    if not re.fullmatch(r"\d{12,19}", number, re.ASCII):
        errors["card_number"] = "Enter the 12 to 19 digits of the card number."
    if not holder or len(holder) > HOLDER_LENGTH_MAX:
        errors["cardholder_name"] = "Enter the name on the card."
    if not re.fullmatch(r"\d{3,4}", cvc, re.ASCII):
        errors["cvc"] = "Enter the 3 or 4 digits of the security code."
    if expires is None:
        errors["expires"] = "Enter month and year, such as 09/30."
    if errors or expires is None:
        return None, errors
    return Card(number, holder, int(expires[1]), 2000 + int(expires[2]), cvc), {}


def try_card(
    unit: Unit, stored: StoredObject, card: Card, *, client_ip: str, outcome: Outcome
) -> None:
    """Begin an attempt with a card, and end it unless the bank wants to ask first.

    Raises:
        NotPayable: the purchase is paid, cancelled, expired, or an attempt is under way.
    """
    if stored.status not in purchases.PAYABLE:
        raise NotPayable
    instrument = card.instrument(client_ip=client_ip)
    whitelist = stored.document["payment_method_whitelist"]
    code = card.error_code(now=unit.now, whitelist=whitelist)
    if code is not None:
        purchases.fail_attempt(unit, stored, instrument, code=code)
    elif card.needs_confirmation:
        # What control wants of this attempt happens once the payer has answered the bank.
        stored.private["open_attempt"] = {
            "instrument": instrument,
            "outcome": outcome.describe(),
        }
        unit.objects.save(stored)
    else:
        conclude(unit, stored, instrument, outcome=outcome)


def confirm(unit: Unit, stored: StoredObject, *, approved: bool) -> None:
    """End an attempt that waited for the payer's answer to the bank (3-D Secure).

    The attempt began while the purchase was payable, so it may be paid though expired since.

    Raises:
        NotPayable: no attempt is open, or the purchase was cancelled since.
    """
    attempt = stored.private.get("open_attempt")
    if attempt is None or stored.status not in (*purchases.PAYABLE, "expired"):
        raise NotPayable
    if approved:
        outcome = Outcome(**attempt["outcome"])
        conclude(unit, stored, attempt["instrument"], outcome=outcome)
    else:
        purchases.fail_attempt(
            unit, stored, attempt["instrument"], code="3ds_authentication_failed"
        )


def conclude(unit: Unit, stored: StoredObject, instrument: Document, *, outcome: Outcome) -> None:
    """Let a good attempt come to what control wants of it; paid, if nothing."""
    ordinary = "pending_execute" if unit.settings.card_pending else "paid"
    after = unit.settings.pending_seconds
    after = after if outcome.after_seconds is None else outcome.after_seconds
    code = outcome.code or "payment_rejected_other_reason"
    match outcome.result or ordinary:
        case "error":
            purchases.fail_attempt(unit, stored, instrument, code=code, message=outcome.message)
        case "pending_execute":
            purchases.begin_pending(unit, stored, instrument, after_seconds=after, code=None)
        case "pending_execute_then_error":
            purchases.begin_pending(unit, stored, instrument, after_seconds=after, code=code)
        case "expired_then_paid":
            purchases.begin_pending(
                unit, stored, instrument, after_seconds=after, code=None, status="expired"
            )
        case _:
            purchases.pay(unit, stored, instrument)


def accepts_cards(stored: StoredObject) -> bool:
    """Whether the merchant's whitelist leaves any card scheme."""
    whitelist = stored.document["payment_method_whitelist"]
    return whitelist is None or any(method in CARD_METHODS for method in whitelist)
