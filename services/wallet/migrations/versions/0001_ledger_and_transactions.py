"""The ledger with its kernel, the users' transactions, and the tables of the messaging.

Works with: nothing before it; the first migration of the schema.
"""

from pathlib import Path

from alembic import op

from octoco.database.tables import messaging_tables_v1

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SQL_DIR = Path(__file__).parents[1] / "sql"

# ISO 4217 in November 2026, the codes in circulation, by decimals of the smallest unit.
_CURRENCIES = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF",
    2: (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD "
        "CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD "
        "GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL "
        "MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN "
        "PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP "
        "SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VES WST XCD YER ZAR ZMW"
    ),
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}


def upgrade() -> None:
    _run(messaging_tables_v1("wallet"))
    _run((_SQL_DIR / "0001_ledger_tables.sql").read_text(encoding="utf-8"))
    for exponent, codes in _CURRENCIES.items():
        values = ", ".join(f"('{code}', {exponent})" for code in codes.split())
        _run(f"INSERT INTO currencies (code, exponent) VALUES {values}")
    _run(
        """
        INSERT INTO ledger_accounts (currency, exponent, kind)
        SELECT code, exponent, kind FROM currencies,
            unnest(ARRAY['provider_clearing', 'provider_fees', 'suspense', 'adjustments']
                ::ledger_account_kind[]) AS kind
        ORDER BY code, kind
        """
    )
    for name in ("guards", "kernel", "batch"):
        _run((_SQL_DIR / f"0001_ledger_{name}.sql").read_text(encoding="utf-8"))
    _run((_SQL_DIR / "0001_transactions.sql").read_text(encoding="utf-8"))
    _run((_SQL_DIR / "0001_operator_decisions.sql").read_text(encoding="utf-8"))
    _run((_SQL_DIR / "0001_fee_totals.sql").read_text(encoding="utf-8"))
    _run((_SQL_DIR / "0001_ledger_functions.sql").read_text(encoding="utf-8"))
    _run((_SQL_DIR / "0001_ledger_purchases.sql").read_text(encoding="utf-8"))
    _run((_SQL_DIR / "0001_ledger_adjustments.sql").read_text(encoding="utf-8"))
    _run((_SQL_DIR / "0001_ledger_seals.sql").read_text(encoding="utf-8"))
    _run((_SQL_DIR / "0001_ledger_reading.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    raise NotImplementedError("A ledger is not taken down by a migration.")


def _run(sql: str) -> None:
    # The scripts hold per cent signs and colons, which are no parameters.
    op.get_bind().exec_driver_sql(sql, execution_options={"no_parameters": True})
