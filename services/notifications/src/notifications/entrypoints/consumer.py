"""Events in: which handler takes which."""

from collections.abc import Callable, Mapping
from typing import Final

from notifications.adapters.postgres.unit import PostgresNotificationsUnit
from notifications.bootstrap import Notifications
from notifications.messages.inbound import EmailVerificationRequested, UserRegistered
from notifications.use_cases.plan_verification import plan_verification
from notifications.use_cases.remember_recipient import remember_recipient
from notifications.use_cases.tell_user import TELLING, tell_user
from octoco.clock import Clock
from octoco.events import Event
from octoco.messaging.handling import Handler

# A user is told by what TELLING makes of the event.
USE_CASES: Final[Mapping[str, Callable[..., object]]] = {
    UserRegistered.TYPE: remember_recipient,
    EmailVerificationRequested.TYPE: plan_verification,
    **TELLING,
}


def subscriptions(notifications: Notifications) -> Mapping[str, Handler[PostgresNotificationsUnit]]:
    """Return a handler for each event type that notifications listens to."""
    clock = notifications.clock
    return {
        UserRegistered.TYPE: remember_recipient,
        EmailVerificationRequested.TYPE: lambda unit, event: plan_verification(unit, clock, event),
        **dict.fromkeys(TELLING, _telling(clock)),
    }


def _telling(clock: Clock) -> Handler[PostgresNotificationsUnit]:
    def handle(unit: PostgresNotificationsUnit, event: Event) -> None:
        tell_user(unit, clock, event)

    return handle
