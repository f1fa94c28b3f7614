"""Four eyes in the database: every way around them that plain SQL offers, tried and refused."""

from collections.abc import Iterator

import psycopg2
import pytest
from psycopg2 import extensions

from octoco.ids import new_id
from octoco.testing.provisions import ProvisionedSchema

from .driving import Driver, zar
from .test_kernel_refuses import refused

ALICE = new_id("usr")
BOB = new_id("usr")
REQUEST = "SELECT id FROM request_adjustment(%s, %s, %s, 'ZAR', 'A voucher.', %s)"
DECIDE = "SELECT decision FROM decide_adjustment(%s, %s, %s, 'Checked.')"
BOOK = """
    SELECT book(%s, 'adjustment', %s, %s, 'ZAR', %s, now(), NULL, %s, false, 0,
                'adjustments', %s, NULL, NULL)
"""


@pytest.fixture
def user_id(driver: Driver) -> str:
    return driver.user_with("250.00")


@pytest.fixture
def service(schema: ProvisionedSchema) -> Iterator[extensions.connection]:
    """The service's role, each statement in a transaction of its own."""
    connection = psycopg2.connect(schema.service_url)
    connection.autocommit = True
    yield connection
    connection.close()


def run(connection: extensions.connection, sql: str, *parameters: object) -> object:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        row = cursor.fetchone()
    assert row is not None
    return row[0]


def asked(connection: extensions.connection, user_id: str, amount: str = "25.00") -> str:
    adjustment_id = new_id("adj")
    run(connection, REQUEST, adjustment_id, user_id, amount, ALICE)
    return adjustment_id


def test_two_people_move_money_once(
    service: extensions.connection, driver: Driver, user_id: str
) -> None:
    for amount, available in (("25.00", "275.00"), ("-75.00", "200.00")):
        adjustment_id = asked(service, user_id, amount)
        assert run(service, DECIDE, adjustment_id, BOB, True) == "approved"
        assert run(service, DECIDE, adjustment_id, BOB, True) == "approved"
        assert driver.balance(user_id).available == zar(available)
    booked = "SELECT count(*) FROM transfers WHERE kind = 'adjustment' AND user_id = :user_id"
    assert driver.scalar(booked, user_id=user_id) == 2


def test_one_person_is_not_two(service: extensions.connection, user_id: str) -> None:
    adjustment_id = asked(service, user_id)
    assert refused(service, DECIDE, adjustment_id, ALICE, True) == "WL031"
    assert refused(service, DECIDE, adjustment_id, ALICE, False) == "WL031"
    # Nor by another spelling of the same name.
    for spelling in (ALICE.lower(), f" {ALICE}", f"{ALICE} ", "", None):
        assert refused(service, DECIDE, adjustment_id, spelling, True) in {"23514", "23502"}
    assert refused(service, REQUEST, new_id("adj"), user_id, "1.00", ALICE.lower()) == "23514"


def test_nobody_asks_for_or_decides_their_own(
    service: extensions.connection, owner_connection: extensions.connection, user_id: str
) -> None:
    assert refused(service, REQUEST, new_id("adj"), user_id, "1.00", user_id) == "WL036"
    adjustment_id = asked(service, user_id)
    for approve in (True, False):
        assert refused(service, DECIDE, adjustment_id, user_id, approve) == "WL036"
    # Nor may the owner write it by hand.
    insert = """
        INSERT INTO adjustments (id, user_id, currency, amount, reason, requested_by)
        VALUES (%s, %s, 'ZAR', 1, 'r', %s)
    """
    assert refused(owner_connection, insert, new_id("adj"), user_id, user_id) == "23514"
    decide = """
        UPDATE adjustments SET decision = 'refused', decided_by = %s, decided_at = now(),
               decision_reason = 'r' WHERE id = %s
    """
    assert refused(owner_connection, decide, user_id, adjustment_id) == "23514"


def test_a_decision_is_made_once(service: extensions.connection, user_id: str) -> None:
    adjustment_id = asked(service, user_id)
    assert run(service, DECIDE, adjustment_id, BOB, False) == "refused"
    for operator, approve in ((BOB, True), (new_id("usr"), True), (new_id("usr"), False)):
        assert refused(service, DECIDE, adjustment_id, operator, approve) == "WL032"
    assert refused(service, DECIDE, new_id("adj"), BOB, True) == "WL030"
    assert refused(service, DECIDE, asked(service, user_id), BOB, None) == "WL001"


def test_a_debit_of_more_than_there_is_leaves_the_request_open(
    service: extensions.connection, driver: Driver, user_id: str
) -> None:
    adjustment_id = asked(service, user_id, "-250.01")
    assert refused(service, DECIDE, adjustment_id, BOB, True) == "WL014"
    open_ones = "SELECT count(*) FROM adjustments WHERE id = :id AND decision IS NULL"
    assert driver.scalar(open_ones, id=adjustment_id) == 1
    assert run(service, DECIDE, adjustment_id, BOB, False) == "refused"


@pytest.mark.parametrize(
    ("amount", "state"),
    [("0", "WL011"), ("NaN", "WL011"), ("-Infinity", "WL011"), ("0.001", "WL011"), (None, "WL011")],
)
def test_a_request_names_an_amount_that_can_be_booked(
    service: extensions.connection, user_id: str, amount: str | None, state: str
) -> None:
    assert refused(service, REQUEST, new_id("adj"), user_id, amount, ALICE) == state


def test_a_request_names_a_user_and_a_reason(service: extensions.connection, user_id: str) -> None:
    assert refused(service, REQUEST, new_id("adj"), new_id("usr"), "1.00", ALICE) == "WL013"
    blank = REQUEST.replace("A voucher.", "  ")
    assert refused(service, blank, new_id("adj"), user_id, "1.00", ALICE) == "23514"
    adjustment_id = asked(service, user_id)
    assert run(service, REQUEST, adjustment_id, user_id, "25.00", ALICE) == adjustment_id
    assert refused(service, REQUEST, adjustment_id, user_id, "26.00", ALICE) == "WL012"


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO adjustments DEFAULT VALUES",
        "UPDATE adjustments SET amount = 1000",
        "UPDATE adjustments SET requested_by = 'usr_other'",
        "DELETE FROM adjustments",
        "TRUNCATE adjustments",
        "DROP TABLE adjustments",
        "SELECT * FROM adjustments FOR UPDATE",
        "ALTER TABLE adjustments DISABLE TRIGGER ALL",
        "ALTER TABLE transfers DISABLE TRIGGER transfers_adjust_only_what_was_decided",
        "SELECT check_adjustment_is_decided()",
        BOOK.replace("%s", "NULL"),
    ],
)
def test_the_service_can_only_ask_and_decide(
    service: extensions.connection, statement: str
) -> None:
    assert refused(service, statement) == "42501"


def test_the_service_cannot_post_or_reverse_an_adjustment(
    service: extensions.connection, user_id: str
) -> None:
    adjustment_id = asked(service, user_id)
    post = "SELECT post_transfer(%s, 'adjustment', %s, 25, 'ZAR', %s, now())"
    key = f"adjustment:{adjustment_id}"
    assert refused(service, post, key, user_id, adjustment_id) == "WL016"
    run(service, DECIDE, adjustment_id, BOB, True)
    assert refused(service, "SELECT reverse_transfer(%s, now())", key) == "WL021"


CHANGES = {
    "its amount": "UPDATE adjustments SET amount = amount * 10 WHERE id = %s",
    "its user": "UPDATE adjustments SET user_id = 'usr_other' WHERE id = %s",
    "its currency": "UPDATE adjustments SET currency = 'JPY' WHERE id = %s",
    "its reason": "UPDATE adjustments SET reason = 'Another.' WHERE id = %s",
    "who asked": f"UPDATE adjustments SET requested_by = '{BOB}' WHERE id = %s",
    "when": "UPDATE adjustments SET requested_at = now() WHERE id = %s",
    "nothing": "UPDATE adjustments SET amount = amount WHERE id = %s",
    "its transfer": "UPDATE adjustments SET transfer_id = 1 WHERE id = %s",
    "its being there": "DELETE FROM adjustments WHERE id = %s",
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("decision", ["open", "approved", "refused"])
def test_even_the_owner_cannot_change_an_adjustment(
    service: extensions.connection,
    owner_connection: extensions.connection,
    user_id: str,
    change: str,
    decision: str,
) -> None:
    adjustment_id = asked(service, user_id)
    if decision != "open":
        run(service, DECIDE, adjustment_id, BOB, decision == "approved")
    assert refused(owner_connection, CHANGES[change], adjustment_id) in {"WL001", "23514"}


def test_even_the_owner_cannot_take_a_decision_back(
    service: extensions.connection, owner_connection: extensions.connection, user_id: str
) -> None:
    adjustment_id = asked(service, user_id)
    run(service, DECIDE, adjustment_id, BOB, False)
    for change in (
        "decision = 'approved'",
        "decided_by = requested_by",
        "decision = NULL, decided_by = NULL, decided_at = NULL, decision_reason = NULL",
    ):
        sql = f"UPDATE adjustments SET {change} WHERE id = %s"
        assert refused(owner_connection, sql, adjustment_id) == "WL001"
    insert = f"""
        INSERT INTO adjustments (id, user_id, currency, amount, reason, requested_by, decision,
                                 decided_by, decided_at, decision_reason)
        VALUES ('{new_id("adj")}', '{user_id}', 'ZAR', 1, 'r', '{ALICE}', 'approved', '{BOB}',
                now(), 'r')
    """
    assert refused(owner_connection, insert) == "WL001"


def test_even_the_owner_cannot_decide_alone(
    service: extensions.connection, owner_connection: extensions.connection, user_id: str
) -> None:
    adjustment_id = asked(service, user_id)
    decide = """
        UPDATE adjustments SET decision = 'approved', decided_by = %s, decided_at = now(),
               decision_reason = 'r' WHERE id = %s
    """
    assert refused(owner_connection, decide, ALICE, adjustment_id) == "23514"
    assert refused(owner_connection, DECIDE, adjustment_id, ALICE, True) == "WL031"
    half = "UPDATE adjustments SET decided_by = %s WHERE id = %s"
    assert refused(owner_connection, half, BOB, adjustment_id) == "WL001"


def test_even_the_owner_cannot_book_what_was_not_decided(
    service: extensions.connection, owner_connection: extensions.connection, user_id: str
) -> None:
    adjustment_id = asked(service, user_id)
    key = f"adjustment:{adjustment_id}"
    unasked = new_id("adj")
    for name, about in (
        (key, adjustment_id),
        (f"adjustment:{unasked}", unasked),
        ("adjustment:", ""),
        ("purchase:x", adjustment_id),
    ):
        call = (name, user_id, "25.00", about, "25.00", "-25.00")
        assert refused(owner_connection, BOOK, *call) == "WL033"
    insert = """
        INSERT INTO transfers (business_key, kind, user_id, amount, currency, subject, effective_at)
        VALUES (%s, 'adjustment', %s, 25.00, 'ZAR', %s, now())
    """
    assert refused(owner_connection, insert, key, user_id, adjustment_id) == "WL033"


@pytest.mark.parametrize(
    ("moved", "state"),
    [
        (None, "WL034"),
        ((25, "-25.00", "25.00"), "WL034"),
        ((26, "26.00", "-26.00"), "WL033"),
    ],
    ids=["nothing", "the other way", "more"],
)
def test_even_the_owner_cannot_move_anything_but_what_was_approved(
    service: extensions.connection,
    owner_connection: extensions.connection,
    user_id: str,
    moved: tuple[int, str, str] | None,
    state: str,
) -> None:
    adjustment_id = asked(service, user_id)

    def decide_alone() -> None:
        with owner_connection.cursor() as cursor:
            cursor.execute(
                "UPDATE adjustments SET decision = 'approved', decided_by = %s, "
                "decided_at = now(), decision_reason = 'r' WHERE id = %s",
                (BOB, adjustment_id),
            )
            if moved is not None:
                amount, own, system = moved
                key = f"adjustment:{adjustment_id}"
                cursor.execute(BOOK, (key, user_id, amount, adjustment_id, own, system))
                cursor.execute(
                    "UPDATE adjustments SET transfer_id = "
                    "(SELECT id FROM transfers WHERE business_key = %s) WHERE id = %s",
                    (key, adjustment_id),
                )
        owner_connection.commit()

    with pytest.raises(psycopg2.Error) as caught:
        decide_alone()
    owner_connection.rollback()
    assert caught.value.pgcode == state


def test_even_the_owner_cannot_reverse_an_adjustment(
    service: extensions.connection, owner_connection: extensions.connection, user_id: str
) -> None:
    adjustment_id = asked(service, user_id)
    run(service, DECIDE, adjustment_id, BOB, True)
    insert = """
        INSERT INTO transfers (business_key, kind, user_id, amount, currency, subject, reverses,
                               effective_at)
        SELECT 'reversal:' || business_key, 'reversal', user_id, amount, currency, subject, id,
               now()
        FROM transfers WHERE business_key = %s
    """
    assert refused(owner_connection, insert, f"adjustment:{adjustment_id}") == "WL021"
