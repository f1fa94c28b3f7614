"""The tools an operator has, and what they say about sound books."""

import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from octoco.ids import new_id
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
    # Whatever else the tests of this session have left in these books is looked at as well.
    done = run("ledger", "verify", "--without-signatures", "--without-heads")
    assert done.exit_code == 0, done.output
    assert "the ledger is verified" in done.output


def test_overdue_sagas_are_listed(run: Run, story: str, driver: Driver) -> None:
    rows = driver.rows("SELECT id FROM transactions WHERE user_id = :user_id", user_id=story)
    assert rows
    listed = json.loads(run("sagas", "--json").stdout)
    assert run("sagas").output.splitlines()[-1] == f"{len(listed)} overdue"
    # Other tests leave sagas behind that are overdue; those of this story are not.
    assert {row.id for row in rows}.isdisjoint(saga["transaction_id"] for saga in listed)


def test_a_database_that_is_away_is_said_in_a_line(settings: Settings) -> None:
    environment = {
        "DATABASE_URL": "postgresql://wallet@127.0.0.1:1/nowhere",
        "AMQP_URL": settings.amqp_url,
        "JWKS_URL": settings.jwks_url,
    }
    said = CliRunner().invoke(main, ["sagas"], env=environment)
    assert said.exit_code == 2
    assert said.output == "cannot list sagas: The database is not available.\n"
