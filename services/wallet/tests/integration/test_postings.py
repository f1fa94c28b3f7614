"""A posting that stands alone: the whole unit of work in one round trip."""

from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from octoco.ids import new_id
from octoco.money import Money
from octoco.telemetry.metrics import UNIT_RETRIES
from octoco.testing import eventually
from wallet.bootstrap import Wallet
from wallet.domain.errors import BusinessKeyReused, LedgerAccountNotFound
from wallet.domain.ledger import Posting, PostingKind
from wallet.messages.outbound import DepositCompleted
from wallet.use_cases.ports import WalletUnit

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


@pytest.mark.parametrize("moved", ["held", "receivable"])
def test_a_batch_that_waited_for_another_reads_again_what_that_one_moved(
    bare_driver: Driver, user_id: str, moved: str
) -> None:
    first, second = (
        _settlements(bare_driver, user_id) if moved == "held" else _credits(bare_driver, user_id)
    )
    units = bare_driver.wallet.units
    with ThreadPoolExecutor(1) as pool:

        def work(unit: WalletUnit) -> Future[object]:
            unit.ledger.post_all([first])
            waiting = pool.submit(
                units.run, lambda other: other.ledger.post_all([second]), contended_on=user_id
            )
            eventually(
                lambda: (
                    bare_driver.scalar(
                        "SELECT count(*) FROM pg_stat_activity "
                        "WHERE wait_event_type = 'Lock' AND datname = current_database()"
                    )
                    or waiting.done()
                ),
                what="the second batch waits for the first",
            )
            return waiting

        waiting = units.run(work)
    waiting.result()
    balance = bare_driver.balance(user_id)
    assert (balance.held, balance.receivable) == (zar("0.00"), zar("0.00"))


def _hold(driver: Driver, user_id: str, money: Money, *, transaction_id: str) -> None:
    driver.wallet.units.run(
        lambda unit: unit.ledger.place_hold(
            transaction_id=transaction_id, user_id=user_id, money=money, effective_at=NOW
        )
    )


def _settlements(driver: Driver, user_id: str) -> list[Posting]:
    driver.wallet.postings.post(deposit(user_id, zar("10.00"), purchase_id=new_id("pur")))
    made = []
    for _ in range(2):
        transaction_id = new_id("txn")
        _hold(driver, user_id, zar("5.00"), transaction_id=transaction_id)
        made.append(
            Posting(
                business_key=f"hold_end:{transaction_id}",
                kind=PostingKind.SETTLEMENT,
                user_id=user_id,
                money=zar("5.00"),
                subject=transaction_id,
                effective_at=NOW,
            )
        )
    return made


def _credits(driver: Driver, user_id: str) -> list[Posting]:
    """Two that each only repay what the user owes after a chargeback of spent money."""
    purchase_id = new_id("pur")
    driver.wallet.postings.post(deposit(user_id, zar("10.00"), purchase_id=purchase_id))
    transaction_id = new_id("txn")
    _hold(driver, user_id, zar("10.00"), transaction_id=transaction_id)
    driver.wallet.units.run(
        lambda unit: unit.ledger.settle_hold(
            transaction_id=transaction_id, money=zar("10.00"), effective_at=NOW
        )
    )
    driver.wallet.postings.post(
        Posting(
            business_key=f"chargeback:{purchase_id}",
            kind=PostingKind.CHARGEBACK,
            user_id=user_id,
            money=zar("10.00"),
            subject=purchase_id,
            effective_at=NOW,
        )
    )
    return [deposit(user_id, zar("5.00"), purchase_id=new_id("pur")) for _ in range(2)]
