"""What operators decide is kept for ever, whoever would have it otherwise."""

import psycopg2
import pytest
from psycopg2 import extensions

from octoco.ids import new_id
from wallet.bootstrap import Wallet
from wallet.domain.errors import ReasonMissing
from wallet.domain.operator_decisions import DecisionAction, OperatorDecision
from wallet.use_cases.ports import WalletUnit


def decision(wallet: Wallet, *, subject: str, reason: str = "checked") -> OperatorDecision:
    return OperatorDecision.made(
        operator_id="usr_operator",
        action=DecisionAction.WITHDRAWAL_APPROVED,
        subject=subject,
        reason=reason,
        at=wallet.clock.now(),
        details={"amount": "1.00"},
    )


def test_a_decision_is_kept_as_it_was_made(wallet: Wallet) -> None:
    subject = new_id("txn")
    made = [decision(wallet, subject=subject) for _ in range(2)]

    def keep(unit: WalletUnit) -> None:
        for one in made:
            unit.operator_decisions.add(one)

    wallet.units.run(keep)
    assert wallet.units.read(lambda unit: unit.operator_decisions.of_subject(subject)) == made


@pytest.mark.parametrize("reason", ["", "   ", "x" * 1001])
def test_a_decision_needs_a_reason(wallet: Wallet, reason: str) -> None:
    with pytest.raises(ReasonMissing):
        decision(wallet, subject="txn_1", reason=reason)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE operator_decisions SET reason = 'other'",
        "DELETE FROM operator_decisions",
        "TRUNCATE operator_decisions",
    ],
)
def test_nobody_changes_a_decision(
    wallet: Wallet,
    service_connection: extensions.connection,
    owner_connection: extensions.connection,
    statement: str,
) -> None:
    wallet.units.run(
        lambda unit: unit.operator_decisions.add(decision(wallet, subject=new_id("txn")))
    )
    for connection, state in ((service_connection, "42501"), (owner_connection, "WL001")):
        with connection.cursor() as cursor, pytest.raises(psycopg2.Error) as refused:
            cursor.execute(statement)
        assert refused.value.pgcode == state
        connection.rollback()
