"""The command that says how much should lie at Revio, to be held against what Revio shows."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import click

from octoco.money import Money
from wallet.entrypoints.ledger_reading import Instant, read_books
from wallet.use_cases.get_balance_as_of import TrialBalance, get_trial_balance

AT_PROVIDER: Final = "at_provider"
# Whose the money at the provider is; every other kind of account but the first is one of them.
_OWNERS: Final = (
    "available",
    "held",
    "receivable",
    "suspense",
    "adjustments",
    "provider_fees",
)
_WORDS: Final[Mapping[str, str]] = {
    AT_PROVIDER: "should lie at Revio",
    "available": "  users may spend",
    "held": "  held for withdrawals",
    "receivable": "  owed by users",
    "suspense": "  in suspense",
    "adjustments": "  given by hand, net",
    "provider_fees": "  taken by Revio as fees",
}


@click.command(
    name="provider-balance",
    help="Say how much should lie at Revio, in each currency, and whose it is.",
)
@click.option("--as-of", type=Instant(), help="What was booked until then; now if not given.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def print_provider_balance(*, as_of: datetime | None, as_json: bool) -> None:
    found = provider_balances(read_books(lambda unit: get_trial_balance(unit, at=as_of)))
    if as_json:
        shown = {
            currency: {name: money.amount_text for name, money in balance.items()}
            for currency, balance in found.items()
        }
        click.echo(json.dumps(shown, indent=2))
        return
    lines: Sequence[str] = [
        f"{currency}  {_WORDS[name]:<26} {money.amount_text:>24}"
        for currency, balance in found.items()
        for name, money in balance.items()
    ]
    click.echo("\n".join(lines) or "nothing was booked")


def provider_balances(books: TrialBalance) -> Mapping[str, Mapping[str, Money]]:
    """Turn the books around: what lies at the provider, and whose it is.

    Args:
        books: The sums of all kinds of account.

    Returns:
        For each currency the money that should lie at the provider, which is what
        `provider_clearing` lacks, and the sums of the other kinds of account, which add up to it.
    """
    found: dict[str, dict[str, Money]] = {}
    for line in books.lines:
        currency = line.balance.currency
        zero = Money.zero(currency)
        sums = found.setdefault(currency, {AT_PROVIDER: zero, **dict.fromkeys(_OWNERS, zero)})
        if line.kind == "provider_clearing":
            sums[AT_PROVIDER] = -line.balance
        else:
            sums[line.kind] = line.balance
    return found
