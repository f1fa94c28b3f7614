"""The door for events: each type with what the gateway does about it."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from octoco.events import Event
from octoco.messaging.handling import Handler
from payments_gateway.adapters.postgres.unit import GatewayUnit
from payments_gateway.bootstrap import Gateway
from payments_gateway.messages import inbound
from payments_gateway.use_cases.cancel_payout import cancel_payout
from payments_gateway.use_cases.record_fact_answer import record_fact_answer
from payments_gateway.use_cases.remember_user import remember_email, remember_user
from payments_gateway.use_cases.request_checkout import (
    request_checkout,
    request_checkout_cancellation,
)
from payments_gateway.use_cases.request_payout import request_payout

# What is known of a user is as old as the news says, whenever it is heard.
_TIMELESS: Final[Mapping[type[Any], Callable[..., object]]] = {
    inbound.UserRegistered: remember_user,
    inbound.EmailVerified: remember_email,
}
_TIMED: Final[Mapping[type[Any], Callable[..., object]]] = {
    inbound.DepositRequested: request_checkout,
    inbound.DepositCancelRequested: request_checkout_cancellation,
    inbound.WithdrawalRequested: request_payout,
    inbound.WithdrawalCancelRequested: cancel_payout,
    inbound.MoneyFactAnswered: record_fact_answer,
}
USE_CASES: Final[Mapping[type[Any], Callable[..., object]]] = {**_TIMELESS, **_TIMED}


def subscriptions(gateway: Gateway) -> Mapping[str, Handler[GatewayUnit]]:
    """Return the handler of every event type that the gateway listens to."""
    clock = gateway.clock

    def timeless(message: type[Any]) -> Handler[GatewayUnit]:
        def handle(unit: GatewayUnit, event: Event) -> None:
            USE_CASES[message](unit, message.from_data(event.data))

        return handle

    def timed(message: type[Any]) -> Handler[GatewayUnit]:
        def handle(unit: GatewayUnit, event: Event) -> None:
            now: datetime = clock.now()
            USE_CASES[message](unit, message.from_data(event.data), now=now)

        return handle

    return {
        message.TYPE: timed(message) if message in _TIMED else timeless(message)
        for message in USE_CASES
    }
