"""Send a planned mail: the steps of the `send_email` intent."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from notifications.domain.deliveries import Delivery, DeliveryId, FailureReason
from notifications.domain.outcomes import Accepted, Outcome, RefusedForGood, RefusedForNow, Unclear
from notifications.use_cases.ports import (
    Mailer,
    MailTokens,
    NotificationsUnit,
    RenderedMail,
    Renderer,
    UnreadableToken,
)
from octoco.clock import Clock
from octoco.intents.intent import Again, Done, Intent


class DeliveryCounter(Protocol):
    """Counts what became of deliveries."""

    def ended(self, delivery: Delivery) -> None: ...

    def repeated(self, delivery: Delivery) -> None: ...


@dataclass(frozen=True, slots=True)
class SendEmail:
    """Hands a planned mail to the mail server; see `octoco.intents.intent.IntentHandler`.

    A mail is sent once. Only if a process dies, or a connection breaks, between the server's
    taking it and our recording that, it is sent once more, with the same Message-ID; a second
    such accident ends the delivery as failed rather than send a third copy.

    Args:
        clock: For expiry and records.
        renderer: Writes the mail.
        mailer: Sends it.
        mail_tokens: Decrypts a token, at sending only.
        counter: Counts what became of deliveries.
    """

    clock: Clock
    renderer: Renderer
    mailer: Mailer
    mail_tokens: MailTokens
    counter: DeliveryCounter
    schedule_seconds: Sequence[float] = (5, 30, 120, 600, 1800, 3600)

    def prepare(self, unit: NotificationsUnit, intent: Intent) -> RenderedMail | None:
        """Mark the delivery begun and write the mail; None if there is nothing left to send."""
        delivery = unit.deliveries.lock(DeliveryId(intent.subject_id))
        assert delivery is not None, "the intent was stored with its delivery"
        if delivery.has_ended:
            return None
        token = None
        begun = delivery.begin(self.clock.now(), in_doubt=intent.was_begun)
        if not begun.has_ended and begun.token is not None:
            try:
                token = self.mail_tokens.decrypt(begun.token.ciphertext)
            except UnreadableToken:
                begun = begun.fail(FailureReason.TOKEN_UNREADABLE)
        unit.deliveries.save(begun)
        if begun.has_ended:
            self.counter.ended(begun)
            return None
        if begun.repeats > delivery.repeats:
            self.counter.repeated(begun)
        return self.renderer.render(begun, token=token)

    def call(self, prepared: RenderedMail) -> Outcome:
        """Send it, with no unit of work open."""
        return self.mailer.send(prepared)

    def record(
        self,
        unit: NotificationsUnit,
        intent: Intent,
        *,
        prepared: RenderedMail,  # noqa: ARG002 - the protocol hands it over
        answer: Outcome,
    ) -> Done | Again:
        """Store what the server said."""
        delivery = unit.deliveries.lock(DeliveryId(intent.subject_id))
        assert delivery is not None, "it was there in prepare"
        match answer:
            case Accepted():
                return self._end(unit, delivery.succeed(self.clock.now()))
            case RefusedForGood():
                return self._end(unit, delivery.fail(FailureReason.REFUSED_BY_SERVER))
            case RefusedForNow(reason):
                unit.deliveries.save(delivery.postpone())
                return Again(reason=reason)
            case Unclear(reason):
                # The next try counts as the one repeat.
                return Again(reason=reason, in_doubt=True)

    def _end(self, unit: NotificationsUnit, delivery: Delivery) -> Done:
        unit.deliveries.save(delivery)
        self.counter.ended(delivery)
        return Done()
