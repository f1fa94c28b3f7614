"""The ledger port on the kernel's SQL functions: one call is one round trip."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy
from sqlalchemy.exc import DBAPIError

from octoco.errors import Refusal
from octoco.events import OutboundMessage
from octoco.money import InvalidAmount, Money, UnknownCurrency
from octoco.outbox.postgres import PostgresOutbox
from wallet.adapters.postgres.posting_batches import batch_booked, batch_parameters
from wallet.adapters.postgres.purchases import find_purchase, list_suspended
from wallet.domain.errors import (
    BusinessKeyReused,
    ExceedsPurchase,
    HoldAlreadyReleased,
    HoldAlreadySettled,
    HoldNotFound,
    InsufficientFunds,
    LedgerAccountNotFound,
    PurchaseNotBooked,
    TransferNotFound,
    TransferNotReversible,
)
from wallet.domain.ledger import (
    Balance,
    Booked,
    Posting,
    PurchaseMoney,
    SuspendedPurchase,
    Transfer,
)

# The kernel's SQLSTATEs that a caller can bring about; any other one is a bug.
_REFUSALS: Final[Mapping[str, tuple[type[Refusal], str]]] = {
    "WL010": (UnknownCurrency, "The ledger does not know this currency."),
    "WL011": (InvalidAmount, "The ledger cannot book this amount."),
    "WL012": (BusinessKeyReused, "This was booked before as something else."),
    "WL013": (LedgerAccountNotFound, "There are no ledger accounts in this currency."),
    "WL014": (InsufficientFunds, "Less is available than you asked for."),
    "WL017": (HoldNotFound, "Nothing is held for this transaction."),
    "WL018": (HoldAlreadyReleased, "The held money went back to its user."),
    "WL019": (HoldAlreadySettled, "The held money has gone out."),
    "WL020": (TransferNotFound, "There is no such transfer."),
    "WL021": (TransferNotReversible, "This transfer cannot be reversed."),
    "WL022": (ExceedsPurchase, "This is not what is left of the purchase."),
    "WL023": (PurchaseNotBooked, "Nothing is booked for this purchase."),
}

_OPEN_ACCOUNTS: Final = sqlalchemy.text("SELECT open_ledger_accounts(:user_id, :currency)")
_POST: Final = sqlalchemy.text(
    """
    SELECT repeated, currency, available
    FROM post_transfer(:business_key, :kind, :user_id, :amount, :currency, :subject,
                       :effective_at, CAST(:messages AS jsonb))
    """
)
_POST_ALL: Final = sqlalchemy.text(
    """
    SELECT repeated, available
    FROM post_transfers(CAST(:postings AS jsonb), CAST(:messages AS jsonb))
    ORDER BY place
    """
)
_PLACE_HOLD: Final = sqlalchemy.text(
    """
    SELECT repeated, currency, available
    FROM place_hold(:subject, :user_id, :amount, :currency, :effective_at,
                    CAST(:messages AS jsonb))
    """
)
_SETTLE_HOLD: Final = sqlalchemy.text(
    """
    SELECT repeated, currency, available
    FROM settle_hold(:subject, :amount, :effective_at, CAST(:messages AS jsonb))
    """
)
_RELEASE_HOLD: Final = sqlalchemy.text(
    """
    SELECT repeated, currency, available
    FROM release_hold(:subject, :effective_at, CAST(:messages AS jsonb))
    """
)
_REVERSE: Final = sqlalchemy.text(
    """
    SELECT repeated, currency, available
    FROM reverse_transfer(:business_key, :effective_at)
    """
)
_FIND_TRANSFER: Final = sqlalchemy.text(
    """
    SELECT business_key, kind, user_id, amount, currency, subject
    FROM transfers WHERE business_key = :business_key
    """
)
_BALANCES: Final = sqlalchemy.text(
    """
    SELECT currency,
           max(balance) FILTER (WHERE kind = 'available') AS available,
           max(balance) FILTER (WHERE kind = 'held') AS held,
           max(balance) FILTER (WHERE kind = 'receivable') AS receivable
    FROM ledger_accounts WHERE user_id = :user_id GROUP BY currency ORDER BY currency
    """
)


class PostgresLedger:
    """See `wallet.use_cases.ports.Ledger`.

    Args:
        connection: Open in the unit's database transaction.
        outbox: Turns messages into the rows that the kernel stores.
    """

    def __init__(self, connection: sqlalchemy.Connection, outbox: PostgresOutbox) -> None:
        self._connection = connection
        self._outbox = outbox

    def open_accounts(self, *, user_id: str, currency: str) -> None:
        self._call(_OPEN_ACCOUNTS, {"user_id": user_id, "currency": currency})

    def post(self, posting: Posting, *, announcing: Sequence[OutboundMessage] = ()) -> Booked:
        row = self._call(
            _POST,
            {
                "business_key": posting.business_key,
                "kind": posting.kind.value,
                "user_id": posting.user_id,
                "amount": posting.money.amount,
                "currency": posting.money.currency,
                "subject": posting.subject,
                "effective_at": posting.effective_at,
                "messages": self._rows(announcing),
            },
        )
        return _booked(row)

    def post_all(
        self,
        postings: Sequence[Posting],
        *,
        announcing: Sequence[OutboundMessage | None] = (),
    ) -> Sequence[Booked]:
        parameters = batch_parameters(postings, announcing, prepare=self._outbox.prepare)
        return batch_booked(self._execute(_POST_ALL, parameters).all(), postings)

    def place_hold(
        self,
        *,
        transaction_id: str,
        user_id: str,
        money: Money,
        effective_at: datetime,
        announcing: Sequence[OutboundMessage] = (),
    ) -> Booked:
        row = self._call(
            _PLACE_HOLD,
            {
                "subject": transaction_id,
                "user_id": user_id,
                "amount": money.amount,
                "currency": money.currency,
                "effective_at": effective_at,
                "messages": self._rows(announcing),
            },
        )
        return _booked(row)

    def settle_hold(
        self,
        *,
        transaction_id: str,
        money: Money,
        effective_at: datetime,
        announcing: Sequence[OutboundMessage] = (),
    ) -> Booked:
        row = self._call(
            _SETTLE_HOLD,
            {
                "subject": transaction_id,
                "amount": money.amount,
                "effective_at": effective_at,
                "messages": self._rows(announcing),
            },
        )
        return _booked(row)

    def release_hold(
        self,
        *,
        transaction_id: str,
        effective_at: datetime,
        announcing: Sequence[OutboundMessage] = (),
    ) -> Booked:
        row = self._call(
            _RELEASE_HOLD,
            {
                "subject": transaction_id,
                "effective_at": effective_at,
                "messages": self._rows(announcing),
            },
        )
        return _booked(row)

    def reverse(self, *, business_key: str, effective_at: datetime) -> Booked:
        row = self._call(_REVERSE, {"business_key": business_key, "effective_at": effective_at})
        return _booked(row)

    def purchase(self, purchase_id: str) -> PurchaseMoney | None:
        return find_purchase(self._connection, purchase_id)

    def in_suspense(self, *, after: int, limit: int) -> Sequence[SuspendedPurchase]:
        return list_suspended(self._connection, after=after, limit=limit)

    def find_transfer(self, business_key: str) -> Transfer | None:
        row = self._connection.execute(_FIND_TRANSFER, {"business_key": business_key}).one_or_none()
        if row is None:
            return None
        return Transfer(
            row.business_key, row.kind, row.user_id, Money(row.amount, row.currency), row.subject
        )

    def balances(self, *, user_id: str) -> Sequence[Balance]:
        rows = self._connection.execute(_BALANCES, {"user_id": user_id})
        return [_balance(row) for row in rows]

    def _rows(self, messages: Sequence[OutboundMessage]) -> str | None:
        if not messages:
            return None
        return json.dumps([self._outbox.prepare(message) for message in messages])

    def _call(self, statement: sqlalchemy.TextClause, parameters: Mapping[str, object]) -> Any:
        return self._execute(statement, parameters).one()

    def _execute(
        self, statement: sqlalchemy.TextClause, parameters: Mapping[str, object]
    ) -> sqlalchemy.CursorResult[Any]:
        try:
            return self._connection.execute(statement, parameters)
        except DBAPIError as error:
            raise refusal_of(error) or error from error


def refusal_of(error: DBAPIError) -> Refusal | None:
    """Return what the kernel refused in the wallet's own words, or None for any other error."""
    original: Any = error.orig
    found = _REFUSALS.get(original.pgcode)
    if found is None:
        return None
    kind, message = found
    refusal = kind(message)
    refusal.details = _facts(original)
    return refusal


def _facts(error: Any) -> dict[str, object]:
    # What the kernel adds is for the caller's logs; a user is shown what is theirs: the balance.
    facts = json.loads(error.diag.message_detail or "{}")
    return {name: value for name, value in facts.items() if name in {"available", "currency"}}


def _booked(row: Any) -> Booked:
    available = None if row.available is None else Money(row.available, row.currency)
    return Booked(row.repeated, available)


def _balance(row: Any) -> Balance:
    available, held, receivable = (
        Money(amount, row.currency) for amount in (row.available, row.held, row.receivable)
    )
    return Balance(available, held, receivable)
