"""The payment provider that is Revio."""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

from octoco.clock import Clock
from octoco.errors import Unavailable
from octoco.money import Money
from payments_gateway.adapters.revio.transport import Call, NotFound, Refused, RevioTransport
from payments_gateway.adapters.revio.wire import (
    NotUnderstood,
    execution_body,
    execution_path,
    payout_body,
    purchase_body,
    read_execution_answer,
    read_payout,
    read_payout_float,
    read_purchase,
    read_webhook,
)
from payments_gateway.domain.errors import ProviderRefused
from payments_gateway.domain.provider import (
    BankDestination,
    ExecutionAnswer,
    PayoutOrder,
    PayoutReading,
    PayoutState,
    PurchaseOrder,
    PurchaseReading,
    RegisteredWebhook,
)
from payments_gateway.domain.sensitive import SensitiveText

WEBHOOK_TITLE: Final = "Octoco Wallet"
PAGES_MAX: Final = 20


class RevioProvider:
    """See `payments_gateway.use_cases.ports.PaymentProvider`.

    Args:
        transport: Makes the calls.
        brand_id: The brand that purchases and payouts belong to.
        return_url: Where the checkout sends the payer's browser; it proves nothing.
        clock: Stamps readings.
    """

    def __init__(
        self, *, transport: RevioTransport, brand_id: str, return_url: str, clock: Clock
    ) -> None:
        self._transport = transport
        self._brand_id = brand_id
        self._return_url = return_url
        self._clock = clock

    def create_purchase(self, order: PurchaseOrder) -> PurchaseReading:
        read_at = self._clock.now()
        body = purchase_body(order, brand_id=self._brand_id, return_url=self._return_url)
        answer = self._create(Call("purchase_create", "POST", "purchases/", body, repeatable=True))
        reading = read_purchase(answer, read_at=read_at)
        if not reading.checkout_url.startswith(("https://", "http://")):
            raise NotUnderstood("The purchase came without a checkout.")
        return reading

    def read_purchase(self, purchase_id: str) -> PurchaseReading | None:
        read_at = self._clock.now()
        try:
            body = self._transport.perform(
                Call("purchase_read", "GET", f"purchases/{_segment(purchase_id)}/", repeatable=True)
            )
        except NotFound:
            return None
        return read_purchase(body, read_at=read_at)

    def cancel_purchase(self, purchase_id: str) -> PurchaseReading | None:
        path = f"purchases/{_segment(purchase_id)}/cancel/"
        try:
            self._transport.perform(Call("purchase_cancel", "POST", path))
        except NotFound:
            return None
        except Refused:
            # In the wrong state for it: cancelled before, paid, or a payment is under way.
            pass
        # The purchase itself says what it is now, and so it does after a lost answer's repeat.
        return self.read_purchase(purchase_id)

    def create_payout(self, order: PayoutOrder) -> PayoutReading:
        read_at = self._clock.now()
        body = payout_body(order, brand_id=self._brand_id)
        answer = self._create(Call("payout_create", "POST", "payouts/", body, repeatable=True))
        reading = read_payout(answer, read_at=read_at)
        url = reading.execution_url
        if url is None or execution_path(url, payout_id=reading.payout_id) is None:
            raise ProviderRefused(
                "The payout came without a way to execute it.", provider_code="no_execution_url"
            )
        return reading

    def execute_payout(
        self, *, payout_id: str, execution_url: SensitiveText, destination: BankDestination
    ) -> ExecutionAnswer:
        path = execution_path(execution_url, payout_id=payout_id)
        if path is None:
            return ExecutionAnswer(PayoutState.UNKNOWN, "no_execution_url")
        # Not repeatable, and not held back by the breaker: it was decided when begun was marked.
        call = Call("payout_execute", "POST", path, execution_body(destination), guarded=False)
        try:
            return read_execution_answer(self._transport.perform(call))
        except Refused as refused:
            return ExecutionAnswer(PayoutState.ERROR, refused.error.code)
        except NotFound:
            return ExecutionAnswer(PayoutState.UNKNOWN, "not_found")

    def read_payout(self, payout_id: str) -> PayoutReading | None:
        read_at = self._clock.now()
        try:
            body = self._transport.perform(
                Call("payout_read", "GET", f"payouts/{_segment(payout_id)}/", repeatable=True)
            )
        except NotFound:
            return None
        return read_payout(body, read_at=read_at)

    def payout_float(self, currency: str) -> Money:
        body = self._get("balance_read", "account/json/balance/", {})
        return read_payout_float(body, currency)

    def webhooks(self, callback_url: str) -> Sequence[RegisteredWebhook]:
        found: list[RegisteredWebhook] = []
        query: dict[str, str] = {}
        for _ in range(PAGES_MAX):
            page = self._get("webhook_list", "webhooks/", query)
            if not isinstance(page, dict):
                raise Unavailable("The provider's list of webhooks is no list.")
            found += [
                read_webhook(webhook)
                for webhook in page.get("results") or ()
                if webhook.get("callback") == callback_url
            ]
            following = page.get("next")
            if not following:
                break
            query = dict(parse_qsl(urlsplit(str(following)).query))
        return found

    def register_webhook(self, callback_url: str) -> RegisteredWebhook:
        body = {"title": WEBHOOK_TITLE, "callback": callback_url, "all_events": True}
        # Not repeated: the caller lists again and finds one whose answer was lost.
        return read_webhook(self._create(Call("webhook_create", "POST", "webhooks/", body)))

    def _create(self, call: Call) -> Any:
        try:
            return self._transport.perform(call)
        except Refused as refused:
            raise ProviderRefused(
                refused.error.message or "The provider turned it down.",
                provider_code=refused.error.code,
            ) from None
        except NotFound:
            raise Unavailable("The provider does not know what we ask for.") from None

    def _get(self, operation: str, path: str, query: dict[str, str]) -> Any:
        try:
            return self._transport.perform(
                Call(operation, "GET", path, query=query, repeatable=True)
            )
        except (NotFound, Refused):
            raise Unavailable("The provider does not know what we ask for.") from None


def _segment(object_id: str) -> str:
    return quote(object_id, safe="")
