"""Creating a purchase: reading the request, adding up the total, building the object."""

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from revio_sandbox.api_errors import ApiError, entry, field_refusal, refusal
from revio_sandbox.fields import Fields
from revio_sandbox.money import CURRENCIES, line_total
from revio_sandbox.objects import Document, StoredObject
from revio_sandbox.payments import METHOD_NAMES, empty_transaction_data, reference_generated
from revio_sandbox.unit import Unit

DUE_SECONDS_DEFAULT = 3600
TOTAL_MAX = 10**12
DUE_MAX = 253_402_300_799  # The end of the year 9999: dates beyond cannot be shown.
PLATFORMS = ("web", "api", "ios", "android", "macos", "windows")
CLIENT_TEXTS = {
    "phone": 32,
    "full_name": 128,
    "personal_code": 32,
    "street_address": 128,
    "country": 2,
    "city": 128,
    "zip_code": 32,
    "bank_account": 34,
    "bank_code": 11,
}


def create_purchase(unit: Unit, body: object, *, client_ip: str) -> StoredObject:
    """Create a purchase; nothing makes a repeat the same, each call makes another.

    Raises:
        ApiError: 400 with every field that is wrong.

    Source: revio-api, section 3.1 and example A.
    """
    request = Fields.of_body(body)
    check_brand(unit, request)
    _check_client_choice(request)
    details = _read_details(request)
    optional = _read_optional(request)
    client = read_client(request, required=not request.has("client_id"))
    client_id = request.uuid("client_id")
    request.require_clean()
    client, client_id = _client_of(unit, client, client_id)
    stored = StoredObject(
        _document(unit, details, optional, client=client, client_id=client_id, ip=client_ip),
        {"single_attempt": details.single_attempt},
    )
    unit.objects.add(stored)
    unit.announce("purchase.created", stored)
    return stored


def check_brand(unit: Unit, request: Fields) -> None:
    """Note an error unless `brand_id` is there and ours."""
    brand_id = request.uuid("brand_id", required=True)
    if brand_id and brand_id != str(uuid.UUID(unit.settings.brand_id)):
        request.refuse("brand_id", "does_not_exist", f'Invalid pk "{brand_id}".')


def read_client(request: Fields, *, required: bool) -> Document:
    """Return client details as the object shows them; the e-mail is the only one required."""
    given = request.nested("client", required=required)
    if not request.has("client"):
        return {}
    email = given.text("email", max_length=254, required=True)
    if email and not _looks_like_email(email):
        given.refuse("email", "invalid", "Enter a valid email address.")
    client: Document = {"email": email}
    client |= {name: given.text(name, max_length=length) for name, length in CLIENT_TEXTS.items()}
    client |= {"cc": given.texts("cc"), "bcc": given.texts("bcc")}
    request.absorb("client", given)
    return client


@dataclass
class _Details:
    """What the `purchase` part of the request came to."""

    shown: Document = field(default_factory=dict)
    single_attempt: bool = False


def _check_client_choice(request: Fields) -> None:
    if request.has("client") and request.has("client_id"):
        raise refusal("purchase_client_or_id_only", "Send either client or client_id, not both.")
    if not request.has("client") and not request.has("client_id"):
        raise refusal("purchase_client_or_id_required", "Send client or client_id.")


def _read_details(request: Fields) -> _Details:
    given = request.nested("purchase", required=True)
    if not request.has("purchase"):
        return _Details()
    products = given.nested_list("products")
    lines = [_read_product(product) for product in products]
    given.absorb_list("products", products)
    currency = given.text("currency", max_length=3, default="ZAR")
    if currency not in CURRENCIES:
        given.refuse("currency", "invalid_choice", f'"{currency}" is not a valid choice.')
    overrides: dict[str, Any] = {
        name: given.integer(name, minimum=0) if given.has(name) else None
        for name in (
            "subtotal_override",
            "total_tax_override",
            "total_discount_override",
            "total_override",
        )
    }
    subtotal = sum(line["total"] for line in lines)
    total = subtotal if overrides["total_override"] is None else overrides["total_override"]
    shown = {
        "currency": currency,
        "products": [line["shown"] for line in lines],
        "total": total,
        "language": given.text("language", max_length=8, default="en"),
        "notes": given.text("notes", max_length=10_000),
        "debt": given.integer("debt", minimum=0),
        **overrides,
        "request_client_details": given.texts("request_client_details"),
        "timezone": given.text("timezone", max_length=64, default="Africa/Johannesburg"),
        "due_strict": given.boolean("due_strict"),
        "email_message": given.text("email_message", max_length=256),
        "metadata": given.mapping("metadata"),
    }
    single_attempt = given.boolean("single_attempt")
    request.absorb("purchase", given)
    if not given.errors and subtotal < 0:
        raise refusal("product_subtotal_negative", "The discount exceeds the products' price.")
    if not given.errors and not 0 < total <= TOTAL_MAX:
        code, message = (
            ("min_value", "Nothing to pay.") if total == 0 else ("max_value", "Too much.")
        )
        raise ApiError(400, {"purchase": {"total": [entry(code, message)]}})
    return _Details(shown, single_attempt)


def _read_product(product: Fields) -> Document:
    price = product.integer("price", required=True, minimum=0, maximum=10**12)
    quantity = product.decimal("quantity", default="1", places=4)
    discount = product.integer("discount", minimum=0)
    tax_percent = product.decimal("tax_percent", default="0", places=2)
    shown: Document = {
        "name": product.text("name", max_length=256, required=True),
        "quantity": f"{quantity:.4f}",
        "price": price,
        "discount": discount,
        "tax_percent": f"{tax_percent:.2f}",
        "category": product.text("category", max_length=256),
    }
    total = line_total(price=price, quantity=quantity, discount=discount, tax_percent=tax_percent)
    if product.has("total_price_override"):
        total = product.integer("total_price_override", minimum=0)
        shown["total_price_override"] = total
    return {"shown": shown, "total": total}


def _read_optional(request: Fields) -> Document:
    whitelist = request.texts("payment_method_whitelist")
    if unknown := [method for method in whitelist if method not in METHOD_NAMES]:
        raise field_refusal(
            "payment_method_whitelist",
            "invalid_payment_method_whitelist",
            f"Unknown payment methods: {', '.join(unknown)}.",
        )
    for name in ("skip_capture", "force_recurring"):
        # Refused rather than ignored: a hold that behaves like a payment would teach a lie.
        if request.boolean(name):
            request.refuse(name, "not_simulated", f"The sandbox does not simulate {name}.")
    platform = request.text("platform", max_length=16, default="api")
    if platform not in PLATFORMS:
        request.refuse("platform", "invalid_choice", f'"{platform}" is not a valid choice.')
    return {
        "send_receipt": request.boolean("send_receipt"),
        "is_recurring_token": False,
        "recurring_token": None,
        "skip_capture": False,
        "force_recurring": False,
        "reference": request.text("reference", max_length=128),
        "due": request.integer("due", minimum=0, maximum=DUE_MAX) if request.has("due") else None,
        "issued": request.text("issued", max_length=10),
        "payment_method_whitelist": whitelist or None,
        "success_redirect": request.url("success_redirect"),
        "failure_redirect": request.url("failure_redirect"),
        "cancel_redirect": request.url("cancel_redirect"),
        "success_callback": request.url("success_callback"),
        "creator_agent": request.text("creator_agent", max_length=32),
        "platform": platform,
        "tags": request.texts("tags"),
    }


def _client_of(unit: Unit, client: Document, client_id: str) -> tuple[Document, str]:
    if client_id:
        known = unit.objects.find(client_id, object_type="client")
        if known is None:
            raise field_refusal("client_id", "does_not_exist", f'Invalid pk "{client_id}".')
        return known.document["client"], client_id
    stored = StoredObject(
        {"id": str(uuid.uuid4()), "type": "client", "status": "active", "client": client}
    )
    unit.objects.add(stored)
    return client, stored.id


def _document(
    unit: Unit,
    details: _Details,
    optional: Document,
    *,
    client: Document,
    client_id: str,
    ip: str,
) -> Document:
    purchase_id = str(uuid.uuid4())
    now = int(unit.now)
    return {
        "id": purchase_id,
        "type": "purchase",
        "created_on": now,
        "updated_on": now,
        "client": client,
        "purchase": details.shown,
        "payment": None,
        "transaction_data": empty_transaction_data(),
        "status": "created",
        "status_history": [{"status": "created", "timestamp": now}],
        "viewed_on": None,
        "company_id": unit.settings.company_id,
        "brand_id": unit.settings.brand_id,
        "client_id": client_id,
        "user_id": None,
        "is_test": True,
        "billing_template_id": None,
        "order_id": None,
        **optional,
        "due": now + DUE_SECONDS_DEFAULT if optional["due"] is None else optional["due"],
        "issued": optional["issued"] or datetime.fromtimestamp(now, UTC).date().isoformat(),
        "reference_generated": reference_generated(unit),
        "refund_availability": "none",
        "refundable_amount": 0,
        "currency_conversion": None,
        "product": "purchases",
        "created_from_ip": ip,
        "invoice_url": None,
        "checkout_url": unit.settings.url(f"/p/{purchase_id}/"),
        "direct_post_url": None,
        "marked_as_paid": False,
    }


def _looks_like_email(value: str) -> bool:
    name, at, domain = value.rpartition("@")
    return bool(name and at and "." in domain) and not any(one.isspace() for one in value)
