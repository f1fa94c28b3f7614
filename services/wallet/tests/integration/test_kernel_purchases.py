"""What the kernel must keep right about the money of one purchase, whatever came before."""

from collections.abc import Iterator

import pytest

from octoco.ids import new_id
from octoco.money import Money
from wallet.bootstrap import Wallet
from wallet.domain.errors import ExceedsPurchase
from wallet.domain.ledger import Posting, PostingKind

from .driving import Driver, zar
from .fresh_wallets import FreshWallets


@pytest.fixture
def alone(fresh_wallets: FreshWallets) -> Iterator[Wallet]:
    with fresh_wallets.one() as wallet:
        yield wallet


def post(
    wallet: Wallet,
    key: str,
    kind: PostingKind,
    money: Money,
    *,
    about: str,
    user: str | None = None,
) -> None:
    posting = Posting(
        business_key=key,
        kind=kind,
        user_id=user,
        money=money,
        subject=about,
        effective_at=wallet.clock.now(),
    )
    wallet.units.run(lambda unit: unit.ledger.post(posting))


def test_money_in_suspense_is_assigned_only_once_no_chargeback_stands(alone: Wallet) -> None:
    driver = Driver(alone)
    user_id, purchase = driver.new_user(), new_id("pur")
    driver.pay(None, zar("100.00"), purchase_id=purchase)
    post(alone, "chargeback:c", PostingKind.CHARGEBACK, zar("40.00"), about=purchase)

    def assign(money: Money) -> None:
        key = f"suspense_end:{purchase}"
        kind = PostingKind.SUSPENSE_ASSIGNMENT
        post(alone, key, kind, money, about=purchase, user=user_id)

    with pytest.raises(ExceedsPurchase):
        assign(zar("60.00"))
    now = alone.clock.now()
    alone.units.run(lambda unit: unit.ledger.reverse(business_key="chargeback:c", effective_at=now))
    assign(zar("100.00"))
    post(alone, "refund:r", PostingKind.REFUND, zar("40.00"), about=purchase)
    assert driver.balance(user_id).available == zar("60.00")


def test_a_refunded_purchase_is_not_reversed_whatever_its_subject_says(alone: Wallet) -> None:
    driver = Driver(alone)
    user_id = driver.user_with("1.00")
    post(alone, "purchase:one", PostingKind.DEPOSIT, zar("100.00"), about="another", user=user_id)
    post(alone, "refund:r", PostingKind.REFUND, zar("40.00"), about="one")
    now = alone.clock.now()
    with pytest.raises(ExceedsPurchase):
        alone.units.run(
            lambda unit: unit.ledger.reverse(business_key="purchase:one", effective_at=now)
        )
    assert driver.balance(user_id).available == zar("61.00")
