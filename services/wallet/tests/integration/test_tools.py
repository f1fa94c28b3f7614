"""The tools an operator has: what they say about sound books, and about books tampered with."""

import json
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy
from click.testing import CliRunner, Result
from psycopg2 import extensions
from sqlalchemy.engine import make_url

from octoco.ids import new_id
from octoco.testing.provisions import ProvisionedSchema
from wallet.adapters.postgres.ledger_audit import findings_on, trial_balance
from wallet.bootstrap import Wallet
from wallet.config import Settings
from wallet.entrypoints.cli import main

from .driving import Driver, zar

Run = Callable[..., Result]


@pytest.fixture
def run(settings: Settings) -> Run:
    environment = {
        "DATABASE_URL": settings.database_url,
        "AMQP_URL": settings.amqp_url,
        "JWKS_URL": settings.jwks_url,
    }

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(main, arguments, env=environment)

    return invoke


@pytest.fixture
def story(driver: Driver) -> str:
    """Books with one of everything; returns the user."""
    user_id = driver.user_with("250.00")
    bank_account_id = driver.new_bank_account(user_id)
    paid, failed, waiting = (
        driver.request_withdrawal(user_id, zar("20.00"), bank_account_id=bank_account_id)
        for _ in range(3)
    )
    driver.accept_payout(waiting.id, new_id("out"))
    driver.succeed_payout(paid.id, zar("20.00"), new_id("out"), fee="1.00")
    driver.fail_payout(failed.id, zar("20.00"))
    driver.pay(None, zar("3.00"), purchase_id=new_id("pur"), fee="0.10")
    return user_id


def test_sound_books_are_verified(run: Run, story: str) -> None:
    done = run("ledger", "verify")
    assert done.exit_code == 0, done.output
    assert "the ledger is verified" in done.output
    found = json.loads(run("ledger", "verify", "--json").stdout)
    assert found["verified"] is True
    assert all(check["holds"] for check in found["checks"])


def test_the_trial_balance_sums_to_zero(run: Run, wallet: Wallet, story: str) -> None:
    lines = json.loads(run("ledger", "trial-balance", "--json").stdout)
    assert {line["kind"] for line in lines} >= {"available", "provider_clearing", "suspense"}
    for currency in {line["currency"] for line in lines}:
        cents = [
            int(line["amount"].replace(".", "")) for line in lines if line["currency"] == currency
        ]
        assert sum(cents) == 0
    assert len(trial_balance(wallet.database)) == len(lines)
    assert "provider_clearing" in run("ledger", "trial-balance").output


def test_overdue_sagas_are_listed(run: Run, story: str) -> None:
    assert run("sagas").output.splitlines()[-1] == "0 overdue"
    assert json.loads(run("sagas", "--json").stdout) == []


TAMPERINGS = {
    "an amount is changed": (
        """
        UPDATE entries SET amount = amount + 1 WHERE (transfer_id, leg) = (
            SELECT transfer_id, leg FROM entries WHERE version IS NULL LIMIT 1)
        """,
        "entries of each transfer sum to zero per currency",
    ),
    "both sides of a transfer are changed": (
        """
        UPDATE entries SET amount = amount * 2
        WHERE transfer_id = (SELECT max(id) FROM transfers)
        """,
        "each transfer moves the amount it names",
    ),
    "a leg is deleted": (
        """
        DELETE FROM entries
        WHERE (transfer_id, leg) = (SELECT max(transfer_id), 1 FROM entries)
        """,
        "each transfer has two legs or more",
    ),
    "a transfer is deleted": (
        "DELETE FROM transfers WHERE id = (SELECT max(id) FROM transfers)",
        "each entry belongs to a transfer",
    ),
    "a transfer is deleted with its entries": (
        """
        WITH gone AS (
            DELETE FROM transfers WHERE id = (
                SELECT min(id) FROM transfers WHERE user_id = %(user)s AND kind = 'deposit')
            RETURNING id
        )
        DELETE FROM entries WHERE transfer_id IN (SELECT id FROM gone)
        """,
        "versions of each ledger account have no gap",
    ),
    "the currency is changed": (
        """
        UPDATE entries SET currency = 'USD'
        WHERE transfer_id = (SELECT max(id) FROM transfers)
        """,
        "entries have the currency and scale of their ledger account",
    ),
    "a balance after is changed": (
        "UPDATE entries SET balance_after = balance_after + 1 WHERE version = 1",
        "each balance_after is the sum of the entries up to it",
    ),
    "entries trade places in time": (
        "UPDATE entries SET booked_at = booked_at + interval '1 day' WHERE version = 1",
        "time does not run backwards along a ledger account",
    ),
    "a balance is changed": (
        """
        UPDATE ledger_accounts SET balance = balance + 1
        WHERE user_id = %(user)s AND kind = 'available'
        """,
        "each balance equals its entries",
    ),
    "a balance is changed below zero": (
        """
        ALTER TABLE ledger_accounts DROP CONSTRAINT ledger_accounts_never_below_zero;
        UPDATE ledger_accounts SET balance = -1.00
        WHERE user_id = %(user)s AND kind = 'available' AND currency = 'ZAR'
        """,
        "no balance is below zero",
    ),
    "a hold is removed": (
        "DELETE FROM holds WHERE ended_by IS NULL AND user_id = %(user)s",
        "held equals the open holds",
    ),
    "a withdrawal is closed by hand": (
        """
        UPDATE transactions SET status = 'failed'
        WHERE status = 'processing' AND user_id = %(user)s
        """,
        "open holds are those of open withdrawals",
    ),
    "the end of a hold is turned round": (
        """
        UPDATE holds SET outcome = 'released', settled_amount = NULL
        WHERE outcome = 'settled' AND user_id = %(user)s
        """,
        "each hold is placed and ended by its own transfers",
    ),
    "a deposit is completed by hand": (
        """
        UPDATE transactions SET status = 'completed', provider_id = 'made_up'
        WHERE kind = 'deposit' AND user_id = %(user)s
        """,
        "each completed deposit was credited once, to its user",
    ),
    "a credited deposit is failed by hand": (
        "UPDATE transactions SET status = 'failed' WHERE kind = 'deposit' AND user_id = %(user)s",
        "each credit has its completed deposit",
    ),
}


@pytest.fixture
def superuser(schema: ProvisionedSchema) -> Iterator[sqlalchemy.Connection]:
    """Tampers as a superuser could, with triggers off; what is not committed is taken back."""
    url = make_url(schema.owner_url).set(drivername="postgresql+psycopg2")
    admin = extensions.parse_dsn(schema.admin_url)
    engine = sqlalchemy.create_engine(
        url.set(username=admin["user"], password=admin.get("password"))
    )
    with engine.connect() as connection:
        connection.exec_driver_sql("SET search_path = wallet")
        connection.exec_driver_sql("SET session_replication_role = replica")
        connection.commit()
        yield connection
        connection.rollback()
    engine.dispose()


@pytest.mark.parametrize("what", list(TAMPERINGS))
def test_what_a_superuser_could_do_by_hand_is_found_and_named(
    superuser: sqlalchemy.Connection, story: str, what: str
) -> None:
    tampering, rule = TAMPERINGS[what]
    for statement in tampering.split(";"):
        superuser.exec_driver_sql(statement, {"user": story})
    findings = findings_on(superuser, on_check=lambda _: None)
    assert rule in {finding.check.name for finding in findings if not finding.holds}
    assert all(finding.row for finding in findings if not finding.holds)


def test_books_tampered_with_end_the_tool_with_1_and_the_row(
    superuser: sqlalchemy.Connection, story: str, run: Run
) -> None:
    change = "UPDATE ledger_accounts SET balance = balance {} 1 WHERE user_id = %(user)s"
    superuser.exec_driver_sql(change.format("+"), {"user": story})
    superuser.commit()
    try:
        done, as_json = run("ledger", "verify"), run("ledger", "verify", "--json")
    finally:
        superuser.exec_driver_sql(change.format("-"), {"user": story})
        superuser.commit()
    assert (done.exit_code, as_json.exit_code) == (1, 1)
    assert "BROKEN  L5  each balance equals its entries" in done.output
    assert story in done.output
    assert json.loads(as_json.stdout)["verified"] is False
    assert run("ledger", "verify").exit_code == 0
