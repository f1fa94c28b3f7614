"""One user with money of two, no and three decimals: nothing is converted, and nothing mixed."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient

from octoco.ids import new_id
from octoco.money import CurrencyMismatch, Money
from wallet.bootstrap import build
from wallet.config import Settings
from wallet.domain.limits import Bounds, Limits
from wallet.entrypoints.http.app import application

from .driving import Driver
from .own_database import OwnDatabase, own_database

Headers = Callable[..., dict[str, str]]
THIS_MONTH = f"{datetime.now(UTC):%Y-%m}"


def moneys(**amounts: str) -> Mapping[str, Money]:
    return {currency: Money.parse(amount, currency) for currency, amount in amounts.items()}


LIMITS = Limits(
    deposits=Bounds(per_transaction=moneys(ZAR="1000.00", JPY="90000", KWD="50.000")),
    withdrawals=Bounds(
        per_transaction=moneys(ZAR="500.00", JPY="5000", KWD="20.000"),
        per_day=moneys(ZAR="600.00", JPY="6000", KWD="25.000"),
        review_above=moneys(KWD="15.000"),
    ),
)


@dataclass(frozen=True)
class Amounts:
    """The same story in one currency.

    Args:
        deposit: Paid in.
        fee: Taken for it.
        withdrawal: Asked for twice; one is paid out and one fails.
        payout_fee: Taken for the payout.
        refund: Given back of the deposit.
        available: What is left.
        nothing: Zero, as the API shows it.
        too_fine: Finer than the smallest unit.
        too_much: One smallest unit more than a withdrawal may be.
    """

    deposit: str
    fee: str
    withdrawal: str
    payout_fee: str
    refund: str
    available: str
    nothing: str
    too_fine: str
    too_much: str


STORIES = {
    "ZAR": Amounts("250.05", "7.25", "100.01", "5.00", "0.04", "150.00", "0.00", "1.001", "500.01"),
    "JPY": Amounts("2500", "73", "1001", "5", "4", "1495", "0", "1.5", "5001"),
    "KWD": Amounts(
        "25.005", "0.725", "10.001", "0.500", "0.004", "15.000", "0.000", "1.0001", "20.001"
    ),
}


@pytest.fixture(scope="module")
def own(settings: Settings, postgres_admin_url: str, token_keys: Any) -> Iterator[OwnDatabase]:
    offering = replace(settings, limits=LIMITS)
    with own_database(offering, admin_url=postgres_admin_url, token_keys=token_keys) as database:
        yield database


@pytest.fixture
def driver(own: OwnDatabase) -> Driver:
    return Driver(own.wallet)


@pytest.fixture(scope="module")
def client(own: OwnDatabase) -> FlaskClient:
    return application(own.wallet).test_client()


def posted(client: FlaskClient, path: str, body: Mapping[str, str], headers: Any) -> Any:
    return client.post(path, json=dict(body), headers=headers)


def play(
    driver: Driver, client: FlaskClient, headers: Headers, *, user_id: str, currency: str
) -> None:
    """Deposit, withdraw twice, and refund, through HTTP and the other services' events."""
    story = STORIES[currency]

    def money(amount: str) -> Money:
        return Money.parse(amount, currency)

    asked = posted(
        client,
        "/v1/deposits",
        {"amount": story.deposit, "currency": currency},
        headers(user_id),
    ).json
    assert (asked["amount"], asked["currency"]) == (story.deposit, currency)
    purchase_id = new_id("pur")
    driver.pay(asked["id"], money(story.deposit), purchase_id=purchase_id, fee=story.fee)
    bank_account_id = driver.new_bank_account(user_id)
    body = {"amount": story.withdrawal, "currency": currency, "bank_account_id": bank_account_id}
    paid, failed = (
        posted(client, "/v1/withdrawals", body, headers(user_id)).json for _ in range(2)
    )
    driver.succeed_payout(paid["id"], money(story.withdrawal), new_id("out"), fee=story.payout_fee)
    driver.fail_payout(failed["id"], money(story.withdrawal))
    driver.refund(purchase_id, money(story.refund), payment_id=new_id("pay"))
    requested = driver.scalar(
        "SELECT data ->> 'amount' FROM outbox WHERE aggregate_id = :id "
        "AND event_type = 'wallet.withdrawal.requested.v1'",
        id=paid["id"],
    )
    assert requested == story.withdrawal
    completed = driver.rows(
        "SELECT data FROM outbox WHERE aggregate_id = :id "
        "AND event_type = 'wallet.deposit.completed.v1'",
        id=asked["id"],
    )
    assert [(row.data["amount"], row.data["available"]) for row in completed] == [
        (story.deposit, story.deposit)
    ]


def test_each_currency_is_a_world_of_its_own(
    driver: Driver, client: FlaskClient, headers: Headers
) -> None:
    user_id = driver.new_user()
    for currency in STORIES:
        play(driver, client, headers, user_id=user_id, currency=currency)
    balances: Any = client.get("/v1/balance", headers=headers(user_id)).json
    assert balances["balances"] == [
        {
            "currency": currency,
            "available": story.available,
            "held": story.nothing,
            "owed": story.nothing,
        }
        for currency, story in sorted(STORIES.items())
    ]
    fees = {"ZAR": "-12.25", "JPY": "-78", "KWD": "-1.225"}
    system = driver.wallet.units.read(lambda unit: unit.books.kinds_as_of(at=None, currency=None))
    assert {
        line.balance.currency: line.balance.amount_text
        for line in system
        if line.kind == "provider_fees"
    } == fees
    for currency, story in STORIES.items():
        statement: Any = client.get(
            f"/v1/statements/{THIS_MONTH}?currency={currency}", headers=headers(user_id)
        ).json
        assert statement["closing"] == {
            "available": story.available,
            "held": story.nothing,
            "owed": story.nothing,
        }
        assert [one["kind"] for one in statement["movements"]] == [
            "deposit",
            "hold",
            "hold",
            "settlement",
            "release",
            "refund",
        ]
        assert statement["movements"][0]["change"]["available"] == story.deposit
        alone: Any = client.get(f"/v1/balance?currency={currency}", headers=headers(user_id)).json
        assert alone["balances"] == [
            one for one in balances["balances"] if one["currency"] == currency
        ]
    driver.wallet.contracts.check_outbound(
        "wallet.deposit.completed.v1",
        driver.scalar(
            "SELECT data FROM outbox WHERE event_type = 'wallet.deposit.completed.v1' LIMIT 1"
        ),
    )


@pytest.mark.parametrize("currency", STORIES)
def test_limits_are_those_of_the_currency(
    driver: Driver, client: FlaskClient, headers: Headers, currency: str
) -> None:
    story = STORIES[currency]
    user_id = driver.new_user()
    bank_account_id = driver.new_bank_account(user_id)
    body = {"currency": currency, "bank_account_id": bank_account_id}
    too_fine = posted(
        client, "/v1/withdrawals", {**body, "amount": story.too_fine}, headers(user_id)
    )
    assert (too_fine.status_code, too_fine.json["code"]) == (422, "invalid_amount")
    too_much = posted(
        client, "/v1/withdrawals", {**body, "amount": story.too_much}, headers(user_id)
    )
    assert (too_much.status_code, too_much.json["code"]) == (422, "limit_exceeded")
    limit = LIMITS.withdrawals.per_transaction[currency]
    assert limit is not None
    assert too_much.json["limit"] == limit.amount_text


def test_what_one_currency_has_counted_leaves_another_its_limits(
    driver: Driver, client: FlaskClient, headers: Headers
) -> None:
    user_id = driver.new_user()
    bank_account_id = driver.new_bank_account(user_id)
    for currency, amount in (("ZAR", "1000.00"), ("JPY", "20000"), ("KWD", "50.000")):
        money = Money.parse(amount, currency)
        driver.pay(driver.request_deposit(user_id, money).id, money, purchase_id=new_id("pur"))

    def withdraw(amount: str, currency: str) -> Any:
        body = {"amount": amount, "currency": currency, "bank_account_id": bank_account_id}
        return posted(client, "/v1/withdrawals", body, headers(user_id))

    assert withdraw("500.00", "ZAR").status_code == 201
    assert withdraw("100.01", "ZAR").json["code"] == "limit_exceeded"
    assert withdraw("5000", "JPY").status_code == 201
    assert withdraw("1001", "JPY").json["code"] == "limit_exceeded"
    waiting = withdraw("20.000", "KWD")
    assert (waiting.status_code, waiting.json["status"]) == (201, "review")
    assert withdraw("5.000", "KWD").json["status"] == "pending"
    assert withdraw("0.001", "KWD").json["code"] == "limit_exceeded"


@pytest.mark.parametrize("paid", ["JPY", "KWD"])
def test_money_of_another_currency_than_was_asked_for_goes_to_suspense(
    driver: Driver, paid: str
) -> None:
    user_id = driver.new_user()
    asked = driver.request_deposit(user_id, Money.parse("5", "ZAR"))
    purchase_id = new_id("pur")
    driver.pay(asked.id, Money.parse("5", paid), purchase_id=purchase_id)
    assert driver.answer(f"purchase:{purchase_id}") == ("suspended", "currency_mismatch")
    assert driver.status(asked.id) == "review"
    for balance in driver.wallet.units.read(lambda unit: unit.ledger.balances(user_id=user_id)):
        assert balance.available.is_zero
    kind, currency = driver.rows(
        "SELECT kind::text AS kind, currency FROM transfers WHERE subject = :id", id=purchase_id
    )[0]
    assert (kind, currency) == ("suspense", paid)


def test_a_payout_in_another_currency_settles_nothing(driver: Driver) -> None:
    user_id = driver.user_with("100.00")
    bank_account_id = driver.new_bank_account(user_id)
    withdrawal = driver.request_withdrawal(
        user_id, Money.parse("50", "ZAR"), bank_account_id=bank_account_id
    )
    payout_id = new_id("out")
    driver.succeed_payout(withdrawal.id, Money.parse("50", "JPY"), payout_id)
    assert driver.answer(f"payout:{payout_id}")[0] == "refused"
    assert driver.balance(user_id).held == Money.parse("50.00", "ZAR")


def test_amounts_of_two_currencies_are_never_added() -> None:
    with pytest.raises(CurrencyMismatch):
        Money.parse("1", "ZAR") + Money.parse("1", "JPY")
    with pytest.raises(CurrencyMismatch):
        sum([Money.parse("1", "KWD")], start=Money.zero("JPY"))


def test_a_currency_that_is_offered_later_is_opened_at_its_first_use(
    own: OwnDatabase, settings: Settings, token_keys: Any
) -> None:
    rand_only = Limits(
        deposits=Bounds(per_transaction=moneys(ZAR="1000.00")),
        withdrawals=Bounds(per_transaction=moneys(ZAR="500.00")),
    )
    before = build(
        replace(settings, database_url=own.service_url, limits=rand_only), token_keys=token_keys
    )
    user_id = Driver(before).new_user()
    before.database.dispose()
    driver = Driver(own.wallet)
    held = "SELECT currency FROM ledger_accounts WHERE user_id = :id GROUP BY 1 ORDER BY 1"
    assert [row.currency for row in driver.rows(held, id=user_id)] == ["ZAR"]
    yen = Money.parse("900", "JPY")
    driver.pay(driver.request_deposit(user_id, yen).id, yen, purchase_id=new_id("pur"))
    assert driver.balance(user_id, "JPY").available == yen
    assert [row.currency for row in driver.rows(held, id=user_id)] == ["JPY", "ZAR"]


def test_balances_beyond_any_one_amount_are_read_shown_and_announced(
    own: OwnDatabase, settings: Settings, token_keys: Any, headers: Headers
) -> None:
    boundless = Limits(
        deposits=Bounds(per_transaction={"ZAR": None}), withdrawals=Bounds(per_transaction={})
    )
    wallet = build(
        replace(settings, database_url=own.service_url, limits=boundless), token_keys=token_keys
    )
    driver = Driver(wallet)
    user_id = driver.new_user()
    largest = Money.parse("999999999999.99", "ZAR")
    for _ in range(11):
        last = driver.request_deposit(user_id, largest)
        driver.pay(last.id, largest, purchase_id=new_id("pur"))
    sum_of_all = "10999999999999.89"
    assert driver.balance(user_id).available.amount_text == sum_of_all
    client = application(wallet).test_client()
    shown: Any = client.get("/v1/balance?currency=ZAR", headers=headers(user_id)).json
    assert shown["balances"][0]["available"] == sum_of_all
    statement: Any = client.get(
        f"/v1/statements/{THIS_MONTH}?currency=ZAR", headers=headers(user_id)
    ).json
    assert statement["closing"]["available"] == sum_of_all
    announced = driver.scalar(
        "SELECT data FROM outbox WHERE aggregate_id = :id "
        "AND event_type = 'wallet.deposit.completed.v1'",
        id=last.id,
    )
    assert announced["available"] == sum_of_all
    wallet.contracts.check_outbound("wallet.deposit.completed.v1", announced)
    wallet.database.dispose()
