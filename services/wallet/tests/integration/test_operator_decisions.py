"""What operators decide is kept for ever, whoever would have it otherwise."""

import json
from typing import Final

import psycopg2
import pytest
from psycopg2 import extensions

from octoco.ids import new_id
from wallet.bootstrap import Wallet
from wallet.domain.errors import AssignmentNeedsTwoPeople, ReasonMissing
from wallet.domain.operator_decisions import DecisionAction, OperatorDecision
from wallet.use_cases.ports import WalletUnit

ALICE: Final = new_id("usr")
BOB: Final = new_id("usr")
USER: Final = new_id("usr")


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


def assignment(
    wallet: Wallet, subject: str, *, by: str, to: str | None, action: str = "suspense_assigned"
) -> OperatorDecision:
    return OperatorDecision.made(
        operator_id=by,
        action=DecisionAction(action),
        subject=subject,
        reason="checked",
        at=wallet.clock.now(),
        details={} if to is None else {"user_id": to, "transaction_id": None},
    )


@pytest.mark.parametrize(
    ("entered_by", "assigned_by", "assigned_to"),
    [
        (ALICE, ALICE, USER),
        (ALICE, BOB, ALICE),
        (ALICE, BOB, BOB),
        (ALICE, BOB, None),
        (None, BOB, BOB),
    ],
)
def test_the_database_lets_nobody_give_themselves_what_they_entered(
    wallet: Wallet,
    owner_connection: extensions.connection,
    entered_by: str | None,
    assigned_by: str,
    assigned_to: str | None,
) -> None:
    subject = new_id("pur")
    if entered_by is not None:
        entry = assignment(wallet, subject, by=entered_by, to=None, action="suspense_entered")
        wallet.units.run(lambda unit: unit.operator_decisions.add(entry))
    alone = assignment(wallet, subject, by=assigned_by, to=assigned_to)
    with pytest.raises(AssignmentNeedsTwoPeople):
        wallet.units.run(lambda unit: unit.operator_decisions.add(alone))
    # Not even its owner writes it by hand.
    insert = """
        INSERT INTO operator_decisions (id, at, operator_id, action, subject, reason, details)
        VALUES (%s, now(), %s, 'suspense_assigned', %s, 'r', %s::jsonb)
    """
    row = (alone.id, alone.operator_id, subject, json.dumps(alone.details))
    with owner_connection.cursor() as cursor, pytest.raises(psycopg2.Error) as refused:
        cursor.execute(insert, row)
    assert refused.value.pgcode == "WL035"
    owner_connection.rollback()


def test_the_database_lets_a_second_person_assign_to_a_third(wallet: Wallet) -> None:
    subject = new_id("pur")
    made = [
        assignment(wallet, subject, by=ALICE, to=None, action="suspense_entered"),
        assignment(wallet, subject, by=BOB, to=USER),
    ]

    def keep(unit: WalletUnit) -> None:
        for one in made:
            unit.operator_decisions.add(one)

    wallet.units.run(keep)
    assert wallet.units.read(lambda unit: unit.operator_decisions.of_subject(subject)) == made
