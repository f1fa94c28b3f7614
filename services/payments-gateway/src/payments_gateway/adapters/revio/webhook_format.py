"""How Revio signs and writes webhooks."""

import base64
import binascii
import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from octoco.errors import Refusal
from octoco.money import Money
from payments_gateway.domain.provider import PayoutState, PurchaseState
from payments_gateway.domain.webhooks import WebhookObject, WebhookSummary

SIGNATURE_HEADER: Final = "X-Signature"
TEXT_LENGTH_MAX: Final = 100

_OBJECTS: Final = {
    "purchase": WebhookObject.PURCHASE,
    "payout": WebhookObject.PAYOUT,
    "payment": WebhookObject.PAYMENT,
}
_CLAIMS: Final[dict[str, PurchaseState | PayoutState]] = {
    "purchase.paid": PurchaseState.PAID,
    "purchase.captured": PurchaseState.PAID,
    "purchase.settled": PurchaseState.PAID,
    "purchase.cancelled": PurchaseState.CANCELLED,
    "payout.success": PayoutState.SUCCEEDED,
    "payout.failed": PayoutState.ERROR,
}


class RevioWebhookFormat:
    """See `payments_gateway.use_cases.ports.WebhookFormat`."""

    def is_signed_by(self, *, public_key_pem: str, body: bytes, signature: str) -> bool:
        """Verify base64 of RSA PKCS#1 v1.5 over SHA-256 of the raw bytes.

        A key or a signature that is none verifies nothing.
        """
        key = _public_key(public_key_pem)
        if key is None:
            return False
        try:
            key.verify(base64.b64decode(signature, validate=True), body, PKCS1v15(), SHA256())
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True

    def summarise(self, body: bytes) -> WebhookSummary | None:
        """Read the flat object with its `event_type`; None if it is not one.

        What kind of object it is says the event's name; `type` only where the name does not.
        """
        try:
            fields = json.loads(body)
        except (ValueError, RecursionError):
            return None
        if not isinstance(fields, dict):
            return None
        event_type = _text(fields.get("event_type"))
        object_id = _text(fields.get("id"))
        if event_type is None or object_id is None:
            return None
        kind = event_type.partition(".")[0]
        related = fields.get("related_to")
        purchase_id = None
        if kind == "payment" and isinstance(related, dict) and related.get("type") == "purchase":
            purchase_id = _text(related.get("id"))
        return WebhookSummary(
            event_type=event_type,
            object=_OBJECTS.get(kind) or _OBJECTS.get(str(fields.get("type")), WebhookObject.OTHER),
            object_id=object_id,
            purchase_id=purchase_id,
            claims=_CLAIMS.get(event_type),
            went_back=None if purchase_id is None else _went_back(fields),
            went_back_at=None if purchase_id is None else _went_back_at(fields),
        )


def _went_back(payment: dict[str, Any]) -> Money | None:
    details = payment.get("payment")
    if payment.get("status") != "success" or not isinstance(details, dict):
        return None
    amount, currency = details.get("amount"), details.get("currency")
    if isinstance(amount, bool) or not isinstance(amount, int) or not isinstance(currency, str):
        return None
    try:
        money = Money.from_minor(amount, currency)
    except Refusal:
        return None
    return money if money.is_positive else None


def _went_back_at(payment: dict[str, Any]) -> datetime | None:
    details = payment.get("payment")
    paid_on = details.get("paid_on") if isinstance(details, dict) else None
    if isinstance(paid_on, bool) or not isinstance(paid_on, int):
        return None
    try:
        return datetime.fromtimestamp(paid_on, UTC)
    except (ValueError, OverflowError, OSError):
        return None


@lru_cache(maxsize=16)
def _public_key(pem: str) -> RSAPublicKey | None:
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, RSAPublicKey) else None


def _text(value: Any) -> str | None:
    fits = isinstance(value, str) and 0 < len(value) <= TEXT_LENGTH_MAX and value.isprintable()
    return value if fits else None
