"""Bank accounts: format, masking, keeping and removing."""

import pytest

from octoco.ids import new_id
from payments_gateway.domain.bank_accounts import BankAccountDetails, bank_account_details
from payments_gateway.domain.errors import (
    BankAccountNotFound,
    InvalidBankAccount,
    TooManyBankAccounts,
)
from payments_gateway.use_cases.remove_bank_account import remove_bank_account, require_kept_by

from .world import World


def details(**changes: str) -> BankAccountDetails:
    return bank_account_details(
        **{
            "account_holder": "Thandi Nkosi",
            "bank_name": "First Bank",
            "branch_code": "250655",
            "account_number": "62000000001",
            "account_type": "cheque",
            **changes,
        }
    )


def test_a_number_is_normalised_and_masked() -> None:
    made = details(account_number=" 6200-0000 001", branch_code="250 655")
    assert made.account_number.reveal() == "62000000001"
    assert made.branch_code == "250655"
    assert made.masked_number == "****0001"
    assert "62000000001" not in repr(made)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("account_holder", " "),
        ("account_holder", "x" * 129),
        ("bank_name", ""),
        ("branch_code", "25065"),
        ("branch_code", "2506555"),
        ("branch_code", "25065x"),
        ("branch_code", "000000"),
        ("account_number", "123456"),
        ("account_number", "123456789012"),
        ("account_number", "62000O00001"),
        ("account_number", "0000000000"),
        ("account_number", "٦٢٠٠٠٠٠٠٠٠١"),
        ("account_type", "gold"),
    ],
)
def test_what_is_no_bank_account_is_refused_without_repeating_it(field: str, text: str) -> None:
    with pytest.raises(InvalidBankAccount) as refused:
        details(**{field: text})
    assert refused.value.field == field
    assert text.strip() == "" or text not in refused.value.message


def test_an_added_account_is_announced_masked(world: World) -> None:
    bank_account = world.add_bank_account()
    (said,) = world.said("payments.bank_account.verified.v1")
    assert said["bank_account_id"] == bank_account.bank_account_id
    assert said["masked_number"] == "****0001"
    assert "62000000001" not in str(said)


def test_a_user_keeps_a_bounded_number_of_accounts(world: World) -> None:
    for _ in range(world.policy.bank_accounts_max):
        world.add_bank_account()
    with pytest.raises(TooManyBankAccounts):
        world.add_bank_account()


def test_a_removed_account_is_gone_for_its_user_and_announced_once(world: World) -> None:
    bank_account_id = world.add_bank_account().bank_account_id
    remove(world, bank_account_id)
    with pytest.raises(BankAccountNotFound):
        remove(world, bank_account_id)
    assert world.unit.bank_accounts.kept_by(world.user_id) == []
    assert len(world.said("payments.bank_account.removed.v1")) == 1


def remove(world: World, bank_account_id: str) -> None:
    remove_bank_account(
        world.unit,
        user_id=world.user_id,
        bank_account_id=bank_account_id,
        now=world.clock.now(),
    )


def test_another_users_account_looks_like_none(world: World) -> None:
    bank_account = world.add_bank_account()
    with pytest.raises(BankAccountNotFound):
        require_kept_by(bank_account, user_id=new_id("usr"))
