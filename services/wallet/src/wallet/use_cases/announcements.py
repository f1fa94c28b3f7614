"""Put what happened to a transaction, or to a fact about money, into the wallet's messages."""

from datetime import datetime
from typing import TypedDict

from octoco.money import Money
from wallet.domain.money_facts import MoneyFactAnswer
from wallet.domain.transactions import Transaction
from wallet.messages.outbound import (
    DepositCancelRequested,
    DepositCompleted,
    DepositFailed,
    DepositRequested,
    MoneyFactAnswered,
    WithdrawalCancelRequested,
    WithdrawalCompleted,
    WithdrawalFailed,
    WithdrawalRequested,
)


class _Money(TypedDict):
    transaction_id: str
    user_id: str
    money: Money


def deposit_requested(deposit: Transaction) -> DepositRequested:
    return DepositRequested(**_about(deposit), requested_at=deposit.created_at)


def deposit_cancel_requested(deposit: Transaction) -> DepositCancelRequested:
    return DepositCancelRequested(transaction_id=deposit.id, user_id=deposit.user_id)


def deposit_completed(deposit: Transaction, *, available: Money, at: datetime) -> DepositCompleted:
    return DepositCompleted(**_about(deposit), available=available, completed_at=at)


def deposit_failed(deposit: Transaction) -> DepositFailed:
    return DepositFailed(
        **_about(deposit), status=deposit.status.value, reason_code=_reason(deposit)
    )


def withdrawal_requested(withdrawal: Transaction) -> WithdrawalRequested:
    return WithdrawalRequested(
        **_about(withdrawal),
        bank_account_id=_bank_account(withdrawal),
        requested_at=withdrawal.created_at,
    )


def withdrawal_cancel_requested(withdrawal: Transaction) -> WithdrawalCancelRequested:
    return WithdrawalCancelRequested(transaction_id=withdrawal.id, user_id=withdrawal.user_id)


def withdrawal_completed(withdrawal: Transaction, *, at: datetime) -> WithdrawalCompleted:
    return WithdrawalCompleted(
        **_about(withdrawal), bank_account_id=_bank_account(withdrawal), completed_at=at
    )


def withdrawal_failed(withdrawal: Transaction) -> WithdrawalFailed:
    return WithdrawalFailed(
        **_about(withdrawal),
        bank_account_id=_bank_account(withdrawal),
        status=withdrawal.status.value,
        reason_code=_reason(withdrawal),
    )


def money_fact_answered(answer: MoneyFactAnswer) -> MoneyFactAnswered:
    return MoneyFactAnswered(
        fact_key=answer.fact_key,
        outcome=answer.outcome.value,
        code=answer.code,
        transaction_id=answer.transaction_id,
        answered_at=answer.answered_at,
    )


def _about(transaction: Transaction) -> _Money:
    return {
        "transaction_id": transaction.id,
        "user_id": transaction.user_id,
        "money": transaction.money,
    }


def _bank_account(withdrawal: Transaction) -> str:
    assert withdrawal.bank_account_id is not None
    return withdrawal.bank_account_id


def _reason(transaction: Transaction) -> str:
    assert transaction.reason_code is not None
    return transaction.reason_code
