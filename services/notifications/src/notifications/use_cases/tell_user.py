"""Tell a user what happened: which event makes which mail, and what the mail says."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from notifications.domain.deliveries import Template
from notifications.messages.inbound import (
    BankAccountVerified,
    DepositCompleted,
    DepositFailed,
    EmailVerified,
    WithdrawalCompleted,
    WithdrawalFailed,
)
from notifications.use_cases.plan_delivery import plan_delivery
from notifications.use_cases.ports import NotificationsUnit
from octoco.clock import Clock
from octoco.events import Event
from octoco.money import Money


@dataclass(frozen=True, slots=True)
class _Mail:
    template: Template
    user_id: str
    facts: Mapping[str, str]


def tell_user(unit: NotificationsUnit, clock: Clock, event: Event) -> None:
    """Plan the mail that an event calls for, if it calls for one.

    Args:
        unit: Of the event's handling.
        clock: For the delivery's age.
        event: One of the types in `TELLING`.

    Raises:
        TooEarly: the user is not known yet.
    """
    mail = TELLING[event.type](event.data)
    if mail is not None:
        plan_delivery(
            unit, clock, event, template=mail.template, user_id=mail.user_id, facts=mail.facts
        )


def _email_verified(data: Mapping[str, Any]) -> _Mail:
    """Welcome the user."""
    return _Mail(Template.WELCOME, EmailVerified.from_data(data).user_id, {})


def _deposit_completed(data: Mapping[str, Any]) -> _Mail:
    """Tell the user what came in, and what they may spend now."""
    news = DepositCompleted.from_data(data)
    facts = {**_amount(news.money), "available": news.available.amount_text}
    return _Mail(
        Template.DEPOSIT_COMPLETED,
        news.user_id,
        {**facts, "transaction_id": news.transaction_id},
    )


def _deposit_failed(data: Mapping[str, Any]) -> _Mail | None:
    """Tell the user that no money came in, unless they cancelled it themselves."""
    news = DepositFailed.from_data(data)
    if news.status == "cancelled":
        # They cancelled it themselves, and no money had moved: nothing to tell.
        return None
    facts = {"status": news.status, "reason_code": news.reason_code}
    return _Mail(
        Template.DEPOSIT_FAILED,
        news.user_id,
        {**_amount(news.money), **facts, "transaction_id": news.transaction_id},
    )


def _withdrawal_completed(data: Mapping[str, Any]) -> _Mail:
    """Tell the user what was paid out."""
    news = WithdrawalCompleted.from_data(data)
    return _Mail(
        Template.WITHDRAWAL_COMPLETED,
        news.user_id,
        {**_amount(news.money), "transaction_id": news.transaction_id},
    )


def _withdrawal_failed(data: Mapping[str, Any]) -> _Mail:
    """Tell the user that nothing was paid out and the money is back in their wallet."""
    news = WithdrawalFailed.from_data(data)
    cancelled = news.status == "cancelled"
    return _Mail(
        Template.WITHDRAWAL_CANCELLED if cancelled else Template.WITHDRAWAL_FAILED,
        news.user_id,
        {
            **_amount(news.money),
            "reason_code": news.reason_code,
            "transaction_id": news.transaction_id,
        },
    )


def _bank_account_verified(data: Mapping[str, Any]) -> _Mail:
    """Tell the user that a bank account may be paid out to, in case it is none of theirs."""
    news = BankAccountVerified.from_data(data)
    return _Mail(
        Template.BANK_ACCOUNT_VERIFIED,
        news.user_id,
        {"bank_name": news.bank_name, "masked_number": news.masked_number},
    )


def _amount(money: Money) -> dict[str, str]:
    return {"amount": money.amount_text, "currency": money.currency}


TELLING: Final[Mapping[str, Callable[[Mapping[str, Any]], _Mail | None]]] = {
    EmailVerified.TYPE: _email_verified,
    DepositCompleted.TYPE: _deposit_completed,
    DepositFailed.TYPE: _deposit_failed,
    WithdrawalCompleted.TYPE: _withdrawal_completed,
    WithdrawalFailed.TYPE: _withdrawal_failed,
    BankAccountVerified.TYPE: _bank_account_verified,
}
