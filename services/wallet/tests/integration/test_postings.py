"""A posting that stands alone: the whole unit of work in one round trip."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from octoco.ids import new_id
from octoco.money import Money
from octoco.telemetry.metrics import UNIT_RETRIES
from wallet.bootstrap import Wallet
from wallet.domain.errors import BusinessKeyReused, LedgerAccountNotFound
from wallet.domain.ledger import Posting, PostingKind
from wallet.messages.outbound import DepositCompleted

from .driving import Driver, zar

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def deposit(user_id: str, money: Money, *, purchase_id: str) -> Posting:
    return Posting(
        business_key=f"purchase:{purchase_id}",
        kind=PostingKind.DEPOSIT,
        user_id=user_id,
        money=money,
        subject=purchase_id,
        effective_at=NOW,
    )


def news_of(user_id: str, money: Money) -> DepositCompleted:
    return DepositCompleted(
        transaction_id=new_id("txn"),
        user_id=user_id,
        money=money,
        available=money,
        completed_at=NOW,
    )


@pytest.fixture
def bare_driver(bare_wallet: Wallet) -> Driver:
    return Driver(bare_wallet)


@pytest.fixture
def user_id(bare_driver: Driver) -> str:
    return bare_driver.new_user()


def test_it_moves_the_money_and_stores_the_message_together(
    bare_driver: Driver, user_id: str
) -> None:
    message = news_of(user_id, zar("12.50"))
    posting = deposit(user_id, zar("12.50"), purchase_id=new_id("pur"))
    booked = bare_driver.wallet.postings.post(posting, announcing=[message])
    assert (booked.repeated, booked.available) == (False, zar("12.50"))
    assert bare_driver.announced(message.aggregate_id) == [DepositCompleted.TYPE]


def test_fifty_at_once_with_one_key_move_it_once_and_announce_it_once(
    bare_driver: Driver, user_id: str
) -> None:
    posting = deposit(user_id, zar("12.50"), purchase_id=new_id("pur"))
    message = news_of(user_id, zar("12.50"))
    with ThreadPoolExecutor(10) as pool:
        booked = list(
            pool.map(
                lambda _: bare_driver.wallet.postings.post(posting, announcing=[message]),
                range(50),
            )
        )
    assert sorted(one.repeated for one in booked) == [False] + [True] * 49
    assert bare_driver.balance(user_id).available == zar("12.50")
    assert len(bare_driver.announced(message.aggregate_id)) == 1


def test_what_the_kernel_refuses_is_refused_and_announces_nothing(
    bare_driver: Driver, user_id: str
) -> None:
    postings = bare_driver.wallet.postings
    purchase_id = new_id("pur")
    postings.post(deposit(user_id, zar("12.50"), purchase_id=purchase_id))
    message = news_of(user_id, zar("99.00"))
    with pytest.raises(BusinessKeyReused):
        postings.post(deposit(user_id, zar("99.00"), purchase_id=purchase_id), announcing=[message])
    with pytest.raises(LedgerAccountNotFound):
        postings.post(
            deposit("usr_nobody", zar("1.00"), purchase_id=new_id("pur")), announcing=[message]
        )
    assert bare_driver.announced(message.aggregate_id) == []
    assert bare_driver.balance(user_id).available == zar("12.50")


def test_many_are_booked_together_each_with_its_message_and_a_repeat_moves_nothing(
    bare_driver: Driver, user_id: str
) -> None:
    postings = [
        deposit(user_id, zar(amount), purchase_id=new_id("pur")) for amount in ("1.00", "2.00")
    ]
    messages = [news_of(user_id, posting.money) for posting in postings]
    first = bare_driver.wallet.postings.post_all(postings, announcing=messages)
    assert [(one.repeated, one.available) for one in first] == [
        (False, zar("1.00")),
        (False, zar("3.00")),
    ]
    more = [*postings, deposit(user_id, zar("4.00"), purchase_id=new_id("pur"))]
    news = news_of(user_id, zar("4.00"))
    again = bare_driver.wallet.postings.post_all(more, announcing=[*messages, news])
    assert [one.repeated for one in again] == [True, True, False]
    assert bare_driver.balance(user_id).available == zar("7.00")
    for message in (*messages, news):
        assert bare_driver.announced(message.aggregate_id) == [DepositCompleted.TYPE]


def test_one_that_is_refused_takes_all_of_its_batch_with_it(
    bare_driver: Driver, user_id: str
) -> None:
    postings = [
        deposit(user_id, zar("1.00"), purchase_id=new_id("pur")),
        deposit("usr_nobody", zar("1.00"), purchase_id=new_id("pur")),
    ]
    messages = [news_of(user_id, zar("1.00")) for _ in postings]
    with pytest.raises(LedgerAccountNotFound):
        bare_driver.wallet.postings.post_all(postings, announcing=messages)
    assert bare_driver.balance(user_id).available == zar("0.00")
    assert not any(bare_driver.announced(message.aggregate_id) for message in messages)


def test_writers_of_batches_take_turns_and_none_runs_again(
    bare_driver: Driver, user_id: str
) -> None:
    def retries() -> float:
        samples = [sample for metric in UNIT_RETRIES.collect() for sample in metric.samples]
        return sum(sample.value for sample in samples if sample.name.endswith("_total"))

    def write(_: int) -> None:
        bare_driver.wallet.postings.post_all(
            [deposit(user_id, zar("0.01"), purchase_id=new_id("pur")) for _ in range(50)]
        )

    before = retries()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(12)))
    assert retries() == before
    assert bare_driver.balance(user_id).available == zar("6.00")
