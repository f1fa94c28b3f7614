"""Remember how to reach a user."""

from notifications.domain.recipients import Recipient
from notifications.messages.inbound import UserRegistered
from notifications.use_cases.ports import NotificationsUnit
from octoco.events import Event


def remember_recipient(unit: NotificationsUnit, event: Event) -> None:
    """Store the address and name of somebody who registered.

    Args:
        unit: Of the event's handling.
        event: `accounts.user.registered.v1`.
    """
    news = UserRegistered.from_data(event.data)
    unit.recipients.store(Recipient(news.user_id, news.email, news.full_name))
