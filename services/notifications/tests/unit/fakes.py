"""In-memory stand-ins for what notifications works with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from notifications.adapters.jinja_renderer import JinjaRenderer
from notifications.domain.deliveries import SEND_EMAIL, Delivery, DeliveryId
from notifications.domain.outcomes import Accepted, Outcome
from notifications.domain.recipients import Recipient
from notifications.use_cases.plan_verification import plan_verification
from notifications.use_cases.ports import RenderedMail, UnreadableToken
from notifications.use_cases.remember_recipient import remember_recipient
from notifications.use_cases.send_email import SendEmail
from notifications.use_cases.tell_user import TELLING, tell_user
from octoco.clock import FixedClock
from octoco.events import Event
from octoco.ids import new_id
from octoco.intents.intent import Again, Done, Intent
from octoco.testing import (
    FakeIdempotencyKeys,
    FakeInbox,
    FakeIntents,
    FakeOutbox,
    FakeUnitsOfWork,
)

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
USER_ID = "usr_01HV0000000000000000000001"
TRANSACTION_ID = "txn_01HV0000000000000000000001"
MONEY = {
    "transaction_id": TRANSACTION_ID,
    "user_id": USER_ID,
    "amount": "250.00",
    "currency": "ZAR",
}


def event(event_type: str, **data: Any) -> Event:
    return Event(
        id=new_id("msg"),
        type=event_type,
        source=event_type.split(".", maxsplit=1)[0],
        aggregate_id=USER_ID,
        occurred_at=NOW,
        data=data,
        correlation_id="cor_1",
    )


def registered(full_name: str = "Thandi Nkosi") -> Event:
    return event(
        "accounts.user.registered.v1",
        user_id=USER_ID,
        email="thandi@example.com",
        full_name=full_name,
        registered_at="2026-03-01T08:00:00Z",
    )


def verification_requested(expires_at: str = "2026-03-02T08:00:00Z") -> Event:
    return event(
        "accounts.user.email_verification_requested.v1",
        user_id=USER_ID,
        email="thandi@example.com",
        token_encrypted="cipher:evt_token-to-be-mailed-1234567890",
        expires_at=expires_at,
    )


class FakeRecipients:
    def __init__(self) -> None:
        self.by_id: dict[str, Recipient] = {}

    def store(self, recipient: Recipient) -> None:
        self.by_id[recipient.user_id] = recipient

    def find(self, user_id: str) -> Recipient | None:
        return self.by_id.get(user_id)


class FakeDeliveries:
    def __init__(self) -> None:
        self.by_id: dict[DeliveryId, Delivery] = {}

    def add(self, delivery: Delivery) -> bool:
        key = (delivery.message_id, delivery.template)
        if any((one.message_id, one.template) == key for one in self.by_id.values()):
            return False
        self.by_id[delivery.id] = delivery
        return True

    def lock(self, delivery_id: DeliveryId) -> Delivery | None:
        return self.by_id.get(delivery_id)

    def save(self, delivery: Delivery) -> None:
        self.by_id[delivery.id] = delivery

    def page_of(self, user_id: str, *, before: DeliveryId | None, limit: int) -> Sequence[Delivery]:
        newest_first = sorted(self.by_id.values(), key=lambda one: one.id, reverse=True)
        return [
            one
            for one in newest_first
            if one.user_id == user_id and (not before or one.id < before)
        ][:limit]


class FakeNotificationsUnit:
    def __init__(self) -> None:
        self.outbox = FakeOutbox()
        self.inbox = FakeInbox()
        self.intents = FakeIntents()
        self.idempotency_keys = FakeIdempotencyKeys()
        self.recipients = FakeRecipients()
        self.deliveries = FakeDeliveries()


@dataclass
class FakeMailer:
    """Answers as it is told; by default it takes every mail."""

    answers: list[Outcome] = field(default_factory=list)
    sent: list[RenderedMail] = field(default_factory=list)

    def send(self, mail: RenderedMail) -> Outcome:
        self.sent.append(mail)
        return self.answers.pop(0) if self.answers else Accepted()


class FakeMailTokens:
    def decrypt(self, ciphertext: str) -> str:
        kind, _, token = ciphertext.partition(":")
        if kind != "cipher":
            raise UnreadableToken
        return token


@dataclass
class FakeCounter:
    ended_as: list[str] = field(default_factory=list)
    repeats: int = 0

    def ended(self, delivery: Delivery) -> None:
        self.ended_as.append(delivery.failure_reason or delivery.status)

    def repeated(self, delivery: Delivery) -> None:
        self.repeats += 1


class World:
    """A service on fakes, at a fixed time."""

    def __init__(self) -> None:
        self.unit = FakeNotificationsUnit()
        self.units = FakeUnitsOfWork(self.unit)
        self.clock = FixedClock(NOW)
        self.mailer = FakeMailer()
        self.counter = FakeCounter()
        self.begun_at: datetime | None = None
        self.send_email = SendEmail(
            clock=self.clock,
            renderer=JinjaRenderer(public_url="http://127.0.0.1:8080/"),
            mailer=self.mailer,
            mail_tokens=FakeMailTokens(),
            counter=self.counter,
        )

    def handle(self, happened: Event) -> None:
        """Handle an event as the consumer does: once, in one unit."""

        def work(unit: FakeNotificationsUnit) -> None:
            if not unit.inbox.record(happened.id):
                return
            if happened.type in TELLING:
                tell_user(unit, self.clock, happened)
            elif happened.type == "accounts.user.registered.v1":
                remember_recipient(unit, happened)
            else:
                plan_verification(unit, self.clock, happened)

        self.units.run(work)

    @property
    def deliveries(self) -> list[Delivery]:
        return list(self.unit.deliveries.by_id.values())

    @property
    def only(self) -> Delivery:
        (delivery,) = self.deliveries
        return delivery

    def intent(self, attempt: int = 1) -> Intent:
        return Intent(SEND_EMAIL, self.only.id, {}, attempt, NOW, NOW, self.begun_at)

    def prepare(self) -> RenderedMail | None:
        """Prepare and mark the call begun; the next one finds the mark if no answer follows."""
        prepared = self.units.run(lambda unit: self.send_email.prepare(unit, self.intent()))
        if prepared is not None:
            self.begun_at = self.clock.now()
        return prepared

    def perform(self) -> Done | Again:
        """Perform the only delivery's intent as the executor does."""
        prepared = self.prepare()
        if prepared is None:
            return Done()
        answer = self.send_email.call(prepared)
        verdict = self.units.run(
            lambda unit: self.send_email.record(
                unit, self.intent(), prepared=prepared, answer=answer
            )
        )
        if isinstance(verdict, Done) or not verdict.in_doubt:
            self.begun_at = None
        return verdict
