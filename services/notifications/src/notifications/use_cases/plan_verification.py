"""Plan the mail with a proof of address."""

from notifications.domain.deliveries import (
    SEND_EMAIL,
    Delivery,
    DeliveryId,
    EncryptedToken,
    Template,
)
from notifications.domain.recipients import DEFAULT_LOCALE
from notifications.messages.inbound import EmailVerificationRequested
from notifications.use_cases.ports import NotificationsUnit
from octoco.clock import Clock
from octoco.events import Event
from octoco.ids import new_id


def plan_verification(unit: NotificationsUnit, clock: Clock, event: Event) -> None:
    """Plan the verification mail that accounts asks for.

    It goes to the address that the message names, so it waits for nothing else. The token stays
    encrypted until it is sent.

    Args:
        unit: Of the event's handling.
        clock: For the delivery's age.
        event: `accounts.user.email_verification_requested.v1`.
    """
    request = EmailVerificationRequested.from_data(event.data)
    delivery = Delivery(
        id=DeliveryId(new_id("dlv")),
        message_id=event.id,
        template=Template.EMAIL_VERIFICATION,
        user_id=request.user_id,
        to_address=request.email,
        locale=DEFAULT_LOCALE,
        facts={},
        created_at=clock.now(),
        token=EncryptedToken(request.token_encrypted, request.expires_at),
    )
    if unit.deliveries.add(delivery):
        unit.intents.add(kind=SEND_EMAIL, subject_id=delivery.id)
