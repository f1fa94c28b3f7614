"""Plan a mail: store the delivery and the intent to send it, in the unit that handles the event."""

from collections.abc import Mapping

from notifications.domain.deliveries import SEND_EMAIL, Delivery, DeliveryId, Template
from notifications.use_cases.ports import NotificationsUnit
from octoco.clock import Clock
from octoco.errors import TooEarly
from octoco.events import Event
from octoco.ids import new_id


def plan_delivery(
    unit: NotificationsUnit,
    clock: Clock,
    event: Event,
    *,
    template: Template,
    user_id: str,
    facts: Mapping[str, str],
) -> None:
    """Plan one mail to a known user.

    One message gets at most one mail of each template, whatever is delivered again.

    Args:
        unit: Of the event's handling.
        clock: For the delivery's age.
        event: What the mail is about.
        template: Which mail.
        user_id: To whom.
        facts: What it says; no secrets.

    Raises:
        TooEarly: the user is not known yet.
    """
    recipient = unit.recipients.find(user_id)
    if recipient is None:
        raise TooEarly(waits_for=f"accounts.user.registered.v1 of {user_id}")
    delivery = Delivery(
        id=DeliveryId(new_id("dlv")),
        message_id=event.id,
        template=template,
        user_id=user_id,
        to_address=recipient.email,
        locale=recipient.locale,
        facts={"full_name": recipient.full_name, **facts},
        created_at=clock.now(),
    )
    if unit.deliveries.add(delivery):
        unit.intents.add(kind=SEND_EMAIL, subject_id=delivery.id)
