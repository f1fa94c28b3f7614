"""Statements through HTTP and on the command line, against the raw entries."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient

from octoco.ids import new_id
from octoco.testing import eventually
from wallet.adapters.postgres.rollups import roll_up
from wallet.config import Settings
from wallet.entrypoints.cli import main
from wallet.entrypoints.http.app import application

from .driving import Driver, zar
from .own_database import OwnDatabase, own_database

Headers = Callable[..., dict[str, str]]
THIS_MONTH = f"{datetime.now(UTC):%Y-%m}"
RAW = """
    SELECT e.transfer_id, a.kind::text AS account, e.amount, e.booked_at, t.kind::text AS kind
    FROM entries e JOIN ledger_accounts a ON a.id = e.ledger_account_id
    JOIN transfers t ON t.id = e.transfer_id
    WHERE a.user_id = :user_id AND a.currency = 'ZAR' ORDER BY e.booked_at, e.transfer_id
"""


@pytest.fixture(scope="module")
def own(settings: Settings, postgres_admin_url: str, token_keys: Any) -> Iterator[OwnDatabase]:
    with own_database(settings, admin_url=postgres_admin_url, token_keys=token_keys) as database:
        yield database


@pytest.fixture
def driver(own: OwnDatabase) -> Driver:
    return Driver(own.wallet)


@pytest.fixture(scope="module")
def client(own: OwnDatabase) -> FlaskClient:
    return application(own.wallet).test_client()


@pytest.fixture
def run(own: OwnDatabase) -> Callable[..., Result]:
    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(main, arguments, env={"DATABASE_URL": own.service_url})

    return invoke


def months_before(count: int) -> str:
    first = datetime.now(UTC).replace(day=1)
    for _ in range(count):
        first = (first - timedelta(days=1)).replace(day=1)
    return f"{first:%Y-%m}"


def grow_older(own: OwnDatabase) -> None:
    """Move all that is booked a month into the past, and forget what was rolled up of it."""
    superuser = own.connect(own.admin_url)
    with superuser.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("UPDATE entries SET booked_at = booked_at - interval '1 month'")
        cursor.execute("TRUNCATE rollups, rollup_balances")
    superuser.commit()
    superuser.close()


@pytest.fixture(scope="module")
def aged(own: OwnDatabase) -> tuple[str, list[str]]:
    """A user who moved money in each of three months; returns the user and their transactions."""
    driver = Driver(own.wallet)
    user_id = driver.new_user()
    bank_account_id = driver.new_bank_account(user_id)
    made: list[str] = []
    for month in range(3):
        for amount in ("100.00", "20.50"):
            deposit = driver.request_deposit(user_id, zar(amount))
            purchase_id = new_id("pur")
            driver.pay(deposit.id, zar(amount), purchase_id=purchase_id, fee="1.00")
            made.append(deposit.id)
        paid, failed = (
            driver.request_withdrawal(user_id, zar("30.00"), bank_account_id=bank_account_id)
            for _ in range(2)
        )
        driver.succeed_payout(paid.id, zar("30.00"), new_id("out"), fee="0.50")
        driver.fail_payout(failed.id, zar("30.00"))
        made += [paid.id, failed.id, paid.id, failed.id]
        if month == 1:
            driver.charge_back(purchase_id, zar("20.50"), chargeback_id=new_id("chb"))
            made.append(deposit.id)
        if month < 2:
            grow_older(own)
    return user_id, made


def statement_of(client: FlaskClient, headers: dict[str, str], period: str, **query: str) -> Any:
    asked = "&".join(f"{name}={value}" for name, value in {"currency": "ZAR", **query}.items())
    answer = client.get(f"/v1/statements/{period}?{asked}", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json


def whole(client: FlaskClient, headers: dict[str, str], period: str, *, limit: int) -> Any:
    """Return a statement put together from its pages."""
    page = statement_of(client, headers, period, limit=str(limit))
    found = page
    while page["next_cursor"] is not None:
        assert len(page["movements"]) == limit
        page = statement_of(client, headers, period, limit=str(limit), cursor=page["next_cursor"])
        assert (page["opening"], page["closing"]) == (found["opening"], found["closing"])
        found["movements"] += page["movements"]
    return found


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_a_statement_is_what_the_raw_entries_say(
    client: FlaskClient,
    driver: Driver,
    headers: Headers,
    aged: tuple[str, list[str]],
    limit: int,
) -> None:
    user_id, made = aged
    raw = driver.rows(RAW, user_id=user_id)
    transactions: list[str] = []
    for period in (months_before(2), months_before(1), THIS_MONTH):
        found = whole(client, headers(user_id), period, limit=limit)
        balances = {"available": Decimal(0), "held": Decimal(0), "owed": Decimal(0)}
        expected: dict[int, dict[str, Any]] = {}
        opening = None
        for row in raw:
            month = f"{row.booked_at:%Y-%m}"
            if month > period:
                break
            if month == period and opening is None:
                opening = dict(balances)
            is_owed = row.account == "receivable"
            account, change = ("owed", -row.amount) if is_owed else (row.account, row.amount)
            balances[account] += change
            if month == period:
                one = expected.setdefault(
                    row.transfer_id, {"kind": row.kind, "change": {}, "balance": {}}
                )
                one["change"][account] = change
                one["balance"] = dict(balances)
        assert _decimals(found["opening"]) == opening
        assert _decimals(found["closing"]) == balances
        assert [one["kind"] for one in found["movements"]] == [
            one["kind"] for one in expected.values()
        ]
        for shown, one in zip(found["movements"], expected.values(), strict=True):
            moved = {name: amount for name, amount in _decimals(shown["change"]).items() if amount}
            assert moved == one["change"]
            assert _decimals(shown["balance"]) == one["balance"]
        transactions += [one["transaction_id"] for one in found["movements"]]
    assert sorted(transactions) == sorted(made)


def _decimals(amounts: dict[str, str]) -> dict[str, Decimal]:
    return {name: Decimal(amount) for name, amount in amounts.items()}


def test_the_closing_of_a_month_is_the_opening_of_the_next(
    client: FlaskClient, headers: Headers, aged: tuple[str, list[str]]
) -> None:
    user_id, _ = aged
    months = [
        statement_of(client, headers(user_id), months_before(count)) for count in (3, 2, 1, 0)
    ]
    for before, after in pairwise(months):
        assert before["closing"] == after["opening"]
        assert before["ends_at"] == after["begins_at"]
    assert months[0]["opening"]["available"] == "0.00"
    assert months[0]["movements"] == []


def test_a_month_that_ended_is_final_once_who_was_writing_then_has_ended(
    own: OwnDatabase,
    driver: Driver,
    client: FlaskClient,
    headers: Headers,
    aged: tuple[str, list[str]],
) -> None:
    user_id, _ = aged
    last_month = months_before(1)
    assert statement_of(client, headers(user_id), last_month)["provisional"] is True
    writing = own.connect(own.service_url)
    with writing.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()")
    roll_up(driver.wallet.database, rollups_max=1)
    assert driver.scalar("SELECT count(*) FROM booking_marks") == 1
    assert statement_of(client, headers(user_id), last_month)["provisional"] is True
    writing.commit()
    writing.close()

    def is_final() -> bool:
        return statement_of(client, headers(user_id), last_month)["provisional"] is False

    eventually(is_final, within_seconds=60, what="the end of who was writing")
    assert statement_of(client, headers(user_id), THIS_MONTH)["provisional"] is True
    driver.user_with("1.00")
    roll_up(driver.wallet.database, rollups_max=5)
    assert driver.scalar("SELECT count(*) FROM booking_marks") in {1, 2}


@pytest.mark.parametrize(
    ("path", "status", "code", "field"),
    [
        ("2026-13?currency=ZAR", 422, "invalid_period", "period"),
        ("november?currency=ZAR", 422, "invalid_period", "period"),
        ("1066-10?currency=ZAR", 422, "invalid_period", "period"),
        ("9998-12?currency=ZAR", 404, "period_not_begun", "period"),
        ("2026-11?currency=QQQ", 422, "unknown_currency", "currency"),
        ("2026-11?currency=zar", 422, "invalid_request", "currency"),
        ("2026-11", 422, "invalid_request", "currency"),
        ("2026-11?currency=ZAR&limit=0", 422, "invalid_request", "limit"),
        ("2026-11?currency=ZAR&limit=101", 422, "invalid_request", "limit"),
        ("2026-11?currency=ZAR&page=2", 422, "invalid_request", "page"),
        ("2026-11?currency=ZAR&cursor=zzzz", 422, "invalid_cursor", "cursor"),
        ("2026-11?currency=ZAR&cursor=OTkuMC4w", 422, "invalid_cursor", "cursor"),
    ],
)
def test_a_statement_that_cannot_be_is_a_problem_with_its_field(
    client: FlaskClient,
    driver: Driver,
    headers: Headers,
    path: str,
    status: int,
    code: str,
    field: str,
) -> None:
    answer: Any = client.get(f"/v1/statements/{path}", headers=headers(driver.new_user()))
    assert answer.content_type == "application/problem+json"
    assert (answer.status_code, answer.json["code"]) == (status, code), answer.text
    assert answer.json["field"] == field


def test_a_statement_is_ones_own(
    client: FlaskClient, driver: Driver, headers: Headers, aged: tuple[str, list[str]]
) -> None:
    stranger = statement_of(client, headers(driver.new_user()), THIS_MONTH)
    assert stranger["movements"] == []
    assert stranger["closing"] == {"available": "0.00", "held": "0.00", "owed": "0.00"}
    nobody: Any = client.get(f"/v1/statements/{THIS_MONTH}?currency=ZAR")
    assert (nobody.status_code, nobody.json["code"]) == (401, "token_missing")
    unheard_of: Any = client.get(
        f"/v1/statements/{THIS_MONTH}?currency=ZAR", headers=headers(new_id("usr"))
    )
    assert (unheard_of.status_code, unheard_of.json["code"]) == (503, "user_not_known_yet")


def test_the_command_line_prints_the_same_statement(
    client: FlaskClient,
    headers: Headers,
    aged: tuple[str, list[str]],
    run: Callable[..., Result],
) -> None:
    user_id, _ = aged
    last_month = months_before(1)
    shown = statement_of(client, headers(user_id), last_month, limit="100")
    done = run("ledger", "statement", user_id, "--period", last_month, "--json")
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert printed["opening"] == shown["opening"]
    assert printed["closing"] == shown["closing"]
    for one, other in zip(printed["movements"], shown["movements"], strict=True):
        assert (one["change"], one["balance"]) == (other["change"], other["balance"])
        assert one["transaction_id"] == other["transaction_id"]
    between = json.loads(
        run(
            "ledger", "statement", user_id, "--json",
            "--from", shown["begins_at"], "--to", shown["ends_at"],
        ).stdout
    )  # fmt: skip
    assert between == printed
    text = run("ledger", "statement", user_id, "--period", last_month).output
    assert f"{len(shown['movements'])} movements" in text
    assert "opening" in text
    assert shown["closing"]["available"] in text


def test_the_command_line_prints_a_balance_as_of_any_instant(
    client: FlaskClient,
    headers: Headers,
    aged: tuple[str, list[str]],
    run: Callable[..., Result],
) -> None:
    user_id, _ = aged
    shown = statement_of(client, headers(user_id), months_before(1), limit="100")
    # The end of a statement's period belongs to the next one.
    last = datetime.fromisoformat(shown["ends_at"]) - timedelta(microseconds=1)
    done = run("ledger", "balance", user_id, "--as-of", last.isoformat(), "--json")
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert (printed["user_id"], printed["as_of"]) == (user_id, last.isoformat())
    balances = {one.pop("currency"): one for one in printed["balances"]}
    assert balances["ZAR"] == shown["closing"]
    now = json.loads(run("ledger", "balance", user_id, "--json").stdout)["balances"]
    zar_now = next(one for one in now if one["currency"] == "ZAR")
    text = run("ledger", "balance", user_id).output
    assert f"ZAR{zar_now['available']:>23}{zar_now['held']:>18}{zar_now['owed']:>18}" in text
    nobody = run("ledger", "balance", "usr_nobody")
    assert (nobody.exit_code, "no such user." in nobody.output) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["usr_nobody"], 1, "no such user."),
        (["{user}", "--period", "2026-13"], 1, "2026-11"),
        (["{user}", "--period", "9998-01"], 1, "not begun"),
        (["{user}", "--currency", "QQQ"], 1, "QQQ"),
        (["{user}", "--from", "2026-11-01"], 2, "--from"),
        (["{user}", "--from", "2026-11-01T00:00:00", "--to", "2026-12-01T00:00:00Z"], 2, "instant"),
        (["{user}", "--from", "2026-11-02T00:00:00Z", "--to", "2026-11-01T00:00:00Z"], 1, "ends"),
    ],
)
def test_a_statement_that_cannot_be_printed_says_why(
    driver: Driver, run: Callable[..., Result], arguments: list[str], status: int, said: str
) -> None:
    user_id = driver.new_user()
    done = run("ledger", "statement", *(word.format(user=user_id) for word in arguments))
    assert done.exit_code == status, done.output
    assert said in done.output


def test_the_trial_balance_of_any_time_sums_to_zero(
    driver: Driver, aged: tuple[str, list[str]], run: Callable[..., Result]
) -> None:
    now = json.loads(run("ledger", "trial-balance", "--json").stdout)
    assert now["balanced"] is True
    kinds = {line["kind"] for line in now["lines"]}
    assert kinds >= {"available", "provider_clearing", "provider_fees"}
    then = driver.scalar("SELECT booked_at FROM entries ORDER BY booked_at OFFSET 5 LIMIT 1")
    past = json.loads(run("ledger", "trial-balance", "--as-of", then.isoformat(), "--json").stdout)
    for books, at in ((now, datetime.now(UTC)), (past, then)):
        raw = driver.rows(
            """
            SELECT e.currency, a.kind::text AS kind, sum(e.amount)::text AS amount,
                   count(*) AS entries
            FROM entries e JOIN ledger_accounts a ON a.id = e.ledger_account_id
            WHERE e.booked_at <= :at GROUP BY e.currency, a.kind ORDER BY e.currency, a.kind
            """,
            at=at,
        )
        assert books["lines"] == [dict(row._mapping) for row in raw]
        assert sum(Decimal(line["amount"]) for line in books["lines"]) == 0
    assert "balanced" in run("ledger", "trial-balance").output
    assert run("ledger", "trial-balance", "--as-of", "yesterday").exit_code == 2


def test_books_that_do_not_balance_end_the_trial_balance_with_1(
    own: OwnDatabase, driver: Driver, run: Callable[..., Result]
) -> None:
    superuser = own.connect(own.admin_url)
    transfer_id = driver.scalar("SELECT max(transfer_id) FROM entries")
    change = "UPDATE entries SET amount = amount {} 1 WHERE transfer_id = %s AND leg = 1"
    with superuser.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica; TRUNCATE rollups, rollup_balances")
        cursor.execute(change.format("+"), (transfer_id,))
        superuser.commit()
        broken = run("ledger", "trial-balance")
        cursor.execute(change.format("-"), (transfer_id,))
        superuser.commit()
    superuser.close()
    assert broken.exit_code == 1
    assert "BROKEN" in broken.output
    assert run("ledger", "trial-balance").exit_code == 0
