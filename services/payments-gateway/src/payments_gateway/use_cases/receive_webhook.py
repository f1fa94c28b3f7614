"""Taking in a webhook: who signed it decides everything, and nothing is done about it yet."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from octoco.clock import Clock
from octoco.context import caused_by
from octoco.errors import Unavailable
from octoco.ids import new_id
from octoco.ports import UnitsOfWork
from payments_gateway.domain.cases import Case, CaseKind
from payments_gateway.domain.errors import SignatureInvalid, SignatureMissing
from payments_gateway.domain.provider import RegisteredWebhook
from payments_gateway.domain.webhooks import RefusedWebhook, WebhookDelivery
from payments_gateway.use_cases.ports import PaymentProvider, Unit, WebhookFormat

PROCESS_WEBHOOK: Final = "process_webhook"
KEY_READING_INTERVAL: Final = timedelta(seconds=60)


class ReceiveWebhook:
    """Verifies a delivery, stores it and the intent to look into it, and is done.

    Args:
        units: Units of work; verification runs outside of them.
        provider: Asked for our webhooks' keys when none of ours fits, once in an interval.
        webhook_format: How the provider signs and writes.
        callback_url: The address that our webhooks call.
        clock: Stamps deliveries.
    """

    def __init__(
        self,
        *,
        units: UnitsOfWork[Unit],
        provider: PaymentProvider,
        webhook_format: WebhookFormat,
        callback_url: str,
        clock: Clock,
    ) -> None:
        self._units = units
        self._provider = provider
        self._format = webhook_format
        self._callback_url = callback_url
        self._clock = clock

    def __call__(self, body: bytes, *, signature: str | None) -> str:
        """Take in one delivery.

        Args:
            body: The raw bytes, as they came.
            signature: The header's text; None if there was none.

        Returns:
            `stored`, or `repeated` if these very bytes came before.

        Raises:
            SignatureMissing: there is no signature.
            SignatureInvalid: no key of our webhooks made it.
            Unavailable: we cannot know our keys, or cannot store; the provider shall try again.
        """
        now = self._clock.now()
        if not signature:
            self._keep_refused(SignatureMissing.code, body, "", now)
            raise SignatureMissing("A webhook needs a signature.")
        known = self._units.read(lambda unit: unit.registrations.all())
        if not self._is_signed_by_one_of(known, body, signature):
            # The key may have changed since we read it.
            fresh = self._keys_read_again(now)
            if not fresh and not known:
                raise Unavailable("Webhooks cannot be verified yet.", retry_after_seconds=5)
            if not self._is_signed_by_one_of(fresh, body, signature):
                self._keep_refused(SignatureInvalid.code, body, signature, now)
                raise SignatureInvalid("The signature was not made by a key of our webhooks.")
        return self._store(body, signature, now)

    def _store(self, body: bytes, signature: str, now: datetime) -> str:
        delivery = WebhookDelivery(
            delivery_id=new_id("whd"),
            body=body,
            signature=signature,
            summary=self._format.summarise(body),
            received_at=now,
        )

        def work(unit: Unit) -> str:
            if not unit.deliveries.insert(delivery):
                return "repeated"
            if delivery.summary is None:
                unit.cases.open(Case(CaseKind.WEBHOOK_UNREADABLE, delivery.delivery_id, now))
                unit.deliveries.finish(delivery.delivery_id, outcome="unreadable", at=now)
            else:
                # What comes of it names the delivery as its cause, for there is no message.
                with caused_by(delivery.delivery_id):
                    unit.intents.add(kind=PROCESS_WEBHOOK, subject_id=delivery.delivery_id)
            return "stored"

        return self._units.run(work)

    def _keys_read_again(self, now: datetime) -> Sequence[RegisteredWebhook]:
        last_before = now - KEY_READING_INTERVAL
        claimed = self._units.run(
            lambda unit: unit.registrations.claim_key_reading(at=now, last_before=last_before)
        )
        if not claimed:
            return ()
        try:
            fresh = tuple(self._provider.webhooks(self._callback_url))
        except Unavailable:
            return ()
        if fresh:
            self._units.run(lambda unit: unit.registrations.replace(fresh, at=now))
        return fresh

    def _is_signed_by_one_of(
        self, webhooks: Sequence[RegisteredWebhook], body: bytes, signature: str
    ) -> bool:
        return any(
            self._format.is_signed_by(
                public_key_pem=webhook.public_key_pem, body=body, signature=signature
            )
            for webhook in webhooks
        )

    def _keep_refused(self, code: str, body: bytes, signature: str, now: datetime) -> None:
        refused = RefusedWebhook(code=code, body=body, signature=signature, received_at=now)
        self._units.run(lambda unit: unit.deliveries.keep_refused(refused))
