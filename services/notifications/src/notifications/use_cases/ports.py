"""What the use cases need from outside: stores, the renderer, the mail server."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from notifications.domain.deliveries import Delivery, DeliveryId
from notifications.domain.outcomes import Outcome
from notifications.domain.recipients import Recipient
from octoco.ports import MessagingUnit


class Recipients(Protocol):
    """The people notifications can reach."""

    def store(self, recipient: Recipient) -> None:
        """Remember a recipient; what was known of them is replaced, their locale stays."""
        ...

    def find(self, user_id: str) -> Recipient | None: ...


class Deliveries(Protocol):
    """Mails: planned, under way, ended."""

    def add(self, delivery: Delivery) -> bool:
        """Store a planned delivery.

        Returns:
            False if the message has one with this template already; nothing is stored then.
        """
        ...

    def lock(self, delivery_id: DeliveryId) -> Delivery | None:
        """Read a delivery and keep others from changing it until the unit ends."""
        ...

    def save(self, delivery: Delivery) -> None:
        """Store where a delivery stands; a token it no longer has is erased."""
        ...

    def page_of(self, user_id: str, *, before: DeliveryId | None, limit: int) -> Sequence[Delivery]:
        """Return a user's deliveries, newest first, without tokens.

        Args:
            user_id: Whose.
            before: Only older ones than this; None begins with the newest.
            limit: How many at most.
        """
        ...


class NotificationsUnit(MessagingUnit, Protocol):
    """One unit of work of this service."""

    @property
    def recipients(self) -> Recipients: ...
    @property
    def deliveries(self) -> Deliveries: ...


@dataclass(frozen=True, slots=True)
class RenderedMail:
    """A mail ready to be sent.

    Args:
        to_address: One address.
        message_id: For the header of that name; the same for every repeat, so that a receiver
            can tell.
        text: The body without markup.
        html: The body with markup.
    """

    to_address: str
    message_id: str
    subject: str
    text: str = field(repr=False)
    html: str = field(repr=False)


class Renderer(Protocol):
    def subject(self, delivery: Delivery) -> str:
        """Return the subject line alone, which never holds a token."""
        ...

    def render(self, delivery: Delivery, *, token: str | None) -> RenderedMail:
        """Write the mail in HTML and text.

        Args:
            delivery: What it is about.
            token: In clear, where the template needs one.
        """
        ...


class Mailer(Protocol):
    def send(self, mail: RenderedMail) -> Outcome:
        """Hand one mail to the server, within a bounded time. Never raises."""
        ...


class UnreadableToken(Exception):
    """No key at hand decrypts the token."""


class MailTokens(Protocol):
    def decrypt(self, ciphertext: str) -> str:
        """Return the token in clear.

        Raises:
            UnreadableToken: no key at hand decrypts it.
        """
        ...
