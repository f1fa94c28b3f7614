"""How much should lie at Revio: what came in, less what went out, back and into fees."""

import json
from collections.abc import Iterator
from decimal import Decimal

import pytest
from click.testing import CliRunner

from octoco.ids import new_id
from wallet.bootstrap import Wallet
from wallet.entrypoints.cli import main

from .driving import Driver, zar
from .fresh_wallets import FreshWallets


@pytest.fixture
def alone(fresh_wallets: FreshWallets) -> Iterator[Wallet]:
    with fresh_wallets.one() as wallet:
        yield wallet


def test_what_should_lie_at_revio_is_said_with_whose_it_is(
    alone: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver(alone)
    user_id = driver.new_user()
    deposit, purchase_id = driver.request_deposit(user_id, zar("250.00")), new_id("pur")
    driver.pay(deposit.id, zar("250.00"), purchase_id=purchase_id, fee="7.25")
    driver.pay(deposit.id, zar("250.00"), purchase_id=purchase_id, fee="7.50")
    bank_account_id = driver.new_bank_account(user_id)
    paid, held = (
        driver.request_withdrawal(user_id, zar(amount), bank_account_id=bank_account_id)
        for amount in ("100.00", "40.00")
    )
    driver.succeed_payout(paid.id, zar("100.00"), new_id("out"), fee="2.00")
    assert held.status.value == "pending"
    driver.pay(None, zar("30.00"), purchase_id=new_id("pur"))
    driver.refund(purchase_id, zar("120.00"), payment_id=new_id("pay"))
    url = alone.settings.database_url
    monkeypatch.setenv("DATABASE_URL", url)
    shown = CliRunner().invoke(main, ["ledger", "provider-balance", "--json"])
    assert shown.exit_code == 0, shown.output
    balance = {name: Decimal(text) for name, text in json.loads(shown.output)["ZAR"].items()}
    at_provider = balance.pop("at_provider")
    # 250.00 and 30.00 came in; 100.00 was paid out, 120.00 refunded, 9.50 taken as fees.
    assert at_provider == sum(balance.values()) == Decimal("50.50")
    assert (balance["held"], balance["suspense"]) == (Decimal("40.00"), Decimal("30.00"))
    assert (balance["available"], balance["receivable"]) == (Decimal(0), Decimal("-10.00"))
    assert balance["provider_fees"] == Decimal("-9.50")
    text = CliRunner().invoke(main, ["ledger", "provider-balance"])
    assert "should lie at Revio" in text.output
    assert "50.50" in text.output
