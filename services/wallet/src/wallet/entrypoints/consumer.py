"""The door for events: each type with what the wallet does about it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from octoco.clock import Clock
from octoco.context import context_of
from octoco.events import Event
from wallet.bootstrap import Wallet
from wallet.domain.limits import Limits
from wallet.messages import inbound
from wallet.use_cases.accept_payout import accept_payout
from wallet.use_cases.book_chargeback import book_chargeback, reverse_chargeback
from wallet.use_cases.book_refund import book_refund
from wallet.use_cases.cancel_withdrawal import cancel_withdrawal, note_cancel_refused
from wallet.use_cases.close_deposit import close_deposit
from wallet.use_cases.credit_deposit import credit_deposit, credit_deposits
from wallet.use_cases.fail_withdrawal import fail_withdrawal
from wallet.use_cases.freeze_user import freeze_user, unfreeze_user
from wallet.use_cases.open_checkout import open_checkout
from wallet.use_cases.ports import WalletUnit
from wallet.use_cases.record_attempt_failure import record_attempt_failure
from wallet.use_cases.register_user import note_email_verified, register_user
from wallet.use_cases.settle_withdrawal import settle_withdrawal, settle_withdrawals
from wallet.use_cases.track_bank_account import (
    track_removed_bank_account,
    track_verified_bank_account,
)

Handler = Callable[[WalletUnit, Event], None]
BatchHandler = Callable[[WalletUnit, Sequence[Event]], None]


def subscriptions(wallet: Wallet) -> Mapping[str, Handler]:
    """Return the handler of every event type that the wallet listens to."""
    return handlers(clock=wallet.clock, limits=wallet.settings.limits)


def handlers(*, clock: Clock, limits: Limits) -> Mapping[str, Handler]:
    """Return the handlers, each of which reads the event and calls its use case.

    Args:
        clock: Says when the event is handled.
        limits: Name the currencies that new users get ledger accounts in.
    """
    currencies = {*limits.deposits.currencies, *limits.withdrawals.currencies}

    def timeless(message: type[Any]) -> Handler:
        def handle(unit: WalletUnit, event: Event) -> None:
            USE_CASES[message](unit, message.from_data(event.data))

        return handle

    def timed(message: type[Any], **known: object) -> Handler:
        def handle(unit: WalletUnit, event: Event) -> None:
            now: datetime = clock.now()
            USE_CASES[message](unit, message.from_data(event.data), **known, at=now)

        return handle

    return {
        **{message.TYPE: timeless(message) for message in _TIMELESS},
        **{message.TYPE: timed(message) for message in _TIMED},
        inbound.UserRegistered.TYPE: timed(inbound.UserRegistered, currencies=currencies),
    }


def batch_subscriptions(wallet: Wallet) -> Mapping[str, BatchHandler]:
    """Return the batch handlers of the event types that come in floods."""
    return batch_handlers(clock=wallet.clock)


def batch_handlers(*, clock: Clock) -> Mapping[str, BatchHandler]:
    """Return the handlers of many events at once; each does what the single one does for each.

    Args:
        clock: Says when the events are handled.
    """

    def together(message: type[Any], use_case: Callable[..., object]) -> BatchHandler:
        def handle(unit: WalletUnit, events: Sequence[Event]) -> None:
            use_case(
                unit,
                [message.from_data(event.data) for event in events],
                contexts=[context_of(event) for event in events],
                at=clock.now(),
            )

        return handle

    return {
        message.TYPE: together(message, use_case) for message, use_case in BATCH_USE_CASES.items()
    }


BATCH_USE_CASES: Final[Mapping[type[Any], Callable[..., object]]] = {
    inbound.DepositPaid: credit_deposits,
    inbound.PayoutSucceeded: settle_withdrawals,
}
# What is known of a bank account is as old as the news says, whenever it is heard.
_TIMELESS: Final[Mapping[type[Any], Callable[..., object]]] = {
    inbound.BankAccountVerified: track_verified_bank_account,
}
_TIMED: Final[Mapping[type[Any], Callable[..., object]]] = {
    inbound.UserRegistered: register_user,
    inbound.EmailVerified: note_email_verified,
    inbound.UserFrozen: freeze_user,
    inbound.UserUnfrozen: unfreeze_user,
    inbound.BankAccountRemoved: track_removed_bank_account,
    inbound.CheckoutOpened: open_checkout,
    inbound.CheckoutAttemptFailed: record_attempt_failure,
    inbound.CheckoutClosed: close_deposit,
    inbound.DepositPaid: credit_deposit,
    inbound.RefundSucceeded: book_refund,
    inbound.ChargebackOpened: book_chargeback,
    inbound.ChargebackReversed: reverse_chargeback,
    inbound.PayoutAccepted: accept_payout,
    inbound.PayoutSucceeded: settle_withdrawal,
    inbound.PayoutFailed: fail_withdrawal,
    inbound.PayoutCancelled: cancel_withdrawal,
    inbound.PayoutCancelRefused: note_cancel_refused,
}
USE_CASES: Final[Mapping[type[Any], Callable[..., object]]] = {**_TIMELESS, **_TIMED}
