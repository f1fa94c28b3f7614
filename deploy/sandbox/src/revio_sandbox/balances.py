"""The company's balances: what payers paid in, and the float that payouts draw on."""

from revio_sandbox.objects import Document
from revio_sandbox.unit import Unit


def available_for_payouts(unit: Unit, currency: str) -> int:
    """Return what payouts in `currency` may still draw, in minor units."""
    balance, _ = _sum(unit, "payout", currency)
    pending, _ = _sum(unit, "payout_pending", currency)
    return unit.settings.payout_balance + balance - pending


def set_payout_balance(unit: Unit, currency: str, amount: int) -> None:
    """Make the payout balance of `currency` be `amount` minor units, whatever it was."""
    present, _ = _sum(unit, "payout", currency)
    unit.connection.execute(
        "INSERT INTO balance_moves (balance, currency, amount, fee, object_id)"
        " VALUES ('payout', ?, ?, 0, 'control')",
        (currency, amount - present - unit.settings.payout_balance),
    )


def balance_by_currency(unit: Unit, *, only: str = "") -> dict[str, Document]:
    """Return the balances of every currency that has any, and of ZAR.

    Source: revio-api, section 7.
    """
    rows = unit.connection.execute("SELECT DISTINCT currency FROM balance_moves")
    currencies = sorted({"ZAR", *(str(row["currency"]) for row in rows)})
    return {one: _balance(unit, one) for one in currencies if only in ("", one)}


def _balance(unit: Unit, currency: str) -> Document:
    gross, fees = _sum(unit, "ecommerce", currency)
    payouts, payout_fees = _sum(unit, "payout", currency)
    pending, _ = _sum(unit, "payout_pending", currency)
    payout_balance = unit.settings.payout_balance + payouts
    return {
        "gross_balance": gross,
        "balance": gross - fees,
        "available_balance": gross - fees,
        "reserved": 0,
        "pending_outgoing": 0,
        "fee_sell": fees,
        "payout_gross_balance": payout_balance,
        "payout_balance": payout_balance,
        "available_payout_balance": payout_balance - pending,
        "pending_payouts": pending,
        "payout_overdraft": 0,
        "payout_fee_sell": payout_fees,
    }


def _sum(unit: Unit, balance: str, currency: str) -> tuple[int, int]:
    row = unit.connection.execute(
        "SELECT coalesce(sum(amount), 0) AS amount, coalesce(sum(fee), 0) AS fee"
        " FROM balance_moves WHERE balance = ? AND currency = ?",
        (balance, currency),
    ).fetchone()
    return int(row["amount"]), int(row["fee"])
