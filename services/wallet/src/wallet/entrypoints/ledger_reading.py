"""`wallet ledger statement`, `balance` and `trial-balance`: the books as of any time."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import click

from octoco.clock import SystemClock
from octoco.errors import Refusal
from octoco.messaging.contracts import Contracts
from wallet.adapters.postgres.unit import PostgresWalletUnit
from wallet.domain.errors import UserNotKnownYet
from wallet.domain.ledger import Balance
from wallet.domain.statements import Movement, Period, Statement
from wallet.entrypoints.ledger_database import ledger_database
from wallet.use_cases.get_balance_as_of import (
    TrialBalance,
    get_balance_as_of,
    get_trial_balance,
)
from wallet.use_cases.get_statement import get_whole_statement

T = TypeVar("T")


class Instant(click.ParamType[datetime]):
    """An instant of RFC 3339, with its offset from UTC."""

    name = "instant"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        try:
            found = datetime.fromisoformat(str(value))
        except ValueError:
            found = None
        if found is None or found.tzinfo is None:
            self.fail(f"{value!r} is no instant such as 2026-11-22T12:00:00Z", param, ctx)
        return found.astimezone(UTC)


@click.command(
    name="statement",
    help="Show what moved a user's money in a month of UTC, or between two instants.\n\n"
    "Exit status: 1 if there is no such user, currency or period; 2 if it could not be read.",
)
@click.argument("user_id", metavar="USER")
@click.option("--currency", default="ZAR", show_default=True, help="ISO 4217 code.")
@click.option("--period", help="Year and month, such as 2026-11; the current one if not given.")
@click.option("--from", "begins_at", type=Instant(), help="Instead of --period; belongs to it.")
@click.option("--to", "ends_at", type=Instant(), help="With --from; belongs to what follows.")
@click.option("--json", "as_json", is_flag=True, help="Print the statement as JSON.")
def print_statement(
    *,
    user_id: str,
    currency: str,
    period: str | None,
    begins_at: datetime | None,
    ends_at: datetime | None,
    as_json: bool,
) -> None:
    now = datetime.now(UTC)
    if (begins_at is None) != (ends_at is None) or (period and begins_at):
        raise click.UsageError("Give --period, or --from and --to.")

    def work(unit: PostgresWalletUnit) -> Statement:
        asked = (
            Period.month(period or f"{now:%Y-%m}")
            if begins_at is None or ends_at is None
            else Period(begins_at, ends_at)
        )
        return get_whole_statement(unit, user_id=user_id, currency=currency, period=asked, at=now)

    found = read_books(work)
    click.echo(_statement_json(user_id, found) if as_json else _statement_text(user_id, found))


@click.command(
    name="balance",
    help="Show what a user had at an instant, by what was booked until then.\n\n"
    "Exit status: 1 if there is no such user.",
)
@click.argument("user_id", metavar="USER")
@click.option("--as-of", type=Instant(), help="What was booked until then; now if not given.")
@click.option("--json", "as_json", is_flag=True, help="Print the balances as JSON.")
def print_balance(*, user_id: str, as_of: datetime | None, as_json: bool) -> None:
    at = as_of or datetime.now(UTC)
    found = read_books(lambda unit: get_balance_as_of(unit, user_id=user_id, at=at))
    if as_json:
        balances = [{"currency": one.currency, **_amounts(one)} for one in found]
        shown = {"user_id": user_id, "as_of": at.isoformat(), "balances": balances}
        click.echo(json.dumps(shown, indent=2))
        return
    columns = "".join(f"{name:>18}" for name in ("available", "held", "owed"))
    lines = [f"{one.currency:<8}{_columns(one)}" for one in found]
    click.echo("\n".join([f"{user_id}  {at.isoformat()}", f"{'currency':<8}{columns}", *lines]))


@click.command(name="trial-balance", help="Sum all entries by currency and kind of account.")
@click.option("--as-of", type=Instant(), help="What was booked until then; now if not given.")
@click.option("--json", "as_json", is_flag=True, help="Print the lines as JSON.")
def print_trial_balance(*, as_of: datetime | None, as_json: bool) -> None:
    found = read_books(lambda unit: get_trial_balance(unit, at=as_of))
    click.echo(_trial_balance_json(found, as_of) if as_json else _trial_balance_text(found))
    if any(not imbalance.is_zero for imbalance in found.imbalances.values()):
        raise SystemExit(1)


def read_books(work: Callable[[PostgresWalletUnit], T]) -> T:
    """Run some reading on one snapshot of the ledger.

    Raises:
        ClickException: it was refused.
        SystemExit: with 2: the database is away, or does not let itself be read.
    """
    with ledger_database(failing="the ledger could not be read") as database:
        try:
            return database.read(
                lambda connection: work(
                    PostgresWalletUnit(connection, contracts=Contracts(), clock=SystemClock())
                )
            )
        except UserNotKnownYet as error:
            raise click.ClickException("The wallet knows no such user.") from error
        except Refusal as error:
            raise click.ClickException(error.message) from error


def _statement_json(user_id: str, found: Statement) -> str:
    return json.dumps(
        {
            "user_id": user_id,
            "currency": found.opening.currency,
            "begins_at": found.period.begins_at.isoformat(),
            "ends_at": found.period.ends_at.isoformat(),
            "provisional": found.provisional,
            "opening": _amounts(found.opening.balance),
            "movements": [
                {
                    "transfer_id": one.transfer_id,
                    "kind": one.kind,
                    "booked_at": one.booked_at.isoformat(),
                    "effective_at": one.effective_at.isoformat(),
                    "transaction_id": one.transaction_id,
                    "change": _amounts(one.change),
                    "balance": _amounts(one.after.balance),
                }
                for one in found.movements
            ],
            "closing": _amounts(found.closing.balance),
        },
        indent=2,
    )


def _statement_text(user_id: str, found: Statement) -> str:
    heading = f"{'booked at':<27} {'effective at':<27} {'kind':<20}"
    columns = "".join(f"{name:>18}" for name in ("available", "held", "owed"))
    times = f"{found.period.begins_at.isoformat()} to {found.period.ends_at.isoformat()}"
    lines = [
        f"{user_id}  {found.opening.currency}  {times}",
        f"{heading}{columns}  transaction",
        f"{'opening':<76}{_columns(found.opening.balance)}",
        *(_movement_line(one) for one in found.movements),
        f"{'closing':<76}{_columns(found.closing.balance)}",
        f"{len(found.movements)} movements"
        + ("; provisional: more may still come" if found.provisional else "; final"),
    ]
    return "\n".join(lines)


def _movement_line(one: Movement) -> str:
    times = f"{one.booked_at:%Y-%m-%dT%H:%M:%S.%fZ} {one.effective_at:%Y-%m-%dT%H:%M:%S.%fZ}"
    return f"{times} {one.kind:<20}{_columns(one.change)}  {one.transaction_id or ''}".rstrip()


def _columns(balance: Balance) -> str:
    return "".join(f"{amount:>18}" for amount in _amounts(balance).values())


def _amounts(balance: Balance) -> dict[str, str]:
    return {
        "available": balance.available.amount_text,
        "held": balance.held.amount_text,
        "owed": balance.receivable.amount_text,
    }


def _trial_balance_json(found: TrialBalance, as_of: datetime | None) -> str:
    return json.dumps(
        {
            "as_of": as_of and as_of.isoformat(),
            "provisional": found.provisional,
            "balanced": all(one.is_zero for one in found.imbalances.values()),
            "lines": [
                {
                    "currency": one.balance.currency,
                    "kind": one.kind,
                    "amount": one.balance.amount_text,
                    "entries": one.entries,
                }
                for one in found.lines
            ],
        },
        indent=2,
    )


def _trial_balance_text(found: TrialBalance) -> str:
    rows: Sequence[str] = [
        f"{one.balance.currency}  {one.kind:<18} {one.balance.amount_text:>24}"
        for one in found.lines
    ]
    sums = [
        f"{currency}  {'balanced' if imbalance.is_zero else 'BROKEN':<18} "
        f"{imbalance.amount_text:>24}"
        for currency, imbalance in found.imbalances.items()
    ]
    return "\n".join(
        [*rows, *sums, f"{len(rows)} kinds of account; `wallet ledger verify` checks them all"]
    )
