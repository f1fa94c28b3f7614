"""Postings that stand alone: each a unit of work of its own, in one round trip."""

import json
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy.exc import DBAPIError

from octoco.database import Database
from octoco.events import OutboundMessage
from octoco.money import Money
from octoco.outbox.postgres import OutboxRows
from wallet.adapters.postgres.ledger import refusal_of
from wallet.adapters.postgres.posting_batches import batch_booked, batch_parameters
from wallet.domain.ledger import Booked, Posting

# The composite itself would come as text to be taken apart; the row function runs once.
_POST: Final = """
    SELECT repeated, available
    FROM post_transfer(%(business_key)s, %(kind)s, %(user_id)s, %(amount)s, %(currency)s,
                       %(subject)s, %(effective_at)s, %(messages)s)
"""

_POST_ALL: Final = """
    SELECT repeated, available FROM post_transfers(%(postings)s, %(messages)s) ORDER BY place
"""
# A batch takes a fraction of this; whoever still waits then goes on without its turn.
TURN_SECONDS: Final = 1.0


class PostgresPostings:
    """See `wallet.use_cases.ports.Postings`.

    Args:
        database: Of the wallet.
        outbox_rows: Turns messages into the rows that the kernel stores.
        after_commit: Called after each posting that announced something.
    """

    def __init__(
        self, database: Database, *, outbox_rows: OutboxRows, after_commit: Callable[[], None]
    ) -> None:
        self._database = database
        self._outbox_rows = outbox_rows
        self._after_commit = after_commit

    def post(self, posting: Posting, *, announcing: Sequence[OutboundMessage] = ()) -> Booked:
        messages = [self._outbox_rows.row_of(message) for message in announcing]
        parameters = {
            "business_key": posting.business_key,
            "kind": posting.kind.value,
            "user_id": posting.user_id,
            "amount": posting.money.amount,
            "currency": posting.money.currency,
            "subject": posting.subject,
            "effective_at": posting.effective_at,
            "messages": json.dumps(messages) if messages else None,
        }
        try:
            ((repeated, available),) = self._database.call(
                _POST, parameters, contended_on=posting.user_id
            )
        except DBAPIError as error:
            raise refusal_of(error) or error from error
        if messages:
            self._after_commit()
        return Booked(
            repeated, None if available is None else Money(available, posting.money.currency)
        )

    def post_all(
        self,
        postings: Sequence[Posting],
        *,
        announcing: Sequence[OutboundMessage | None] = (),
    ) -> Sequence[Booked]:
        # All that needs no database is done before the turn, while another batch has it.
        parameters = batch_parameters(postings, announcing, prepare=self._outbox_rows.row_of)
        with self._database.turn("batch", wait_seconds=TURN_SECONDS):
            try:
                rows = self._database.call(_POST_ALL, parameters, contended_on="batch")
            except DBAPIError as error:
                raise refusal_of(error) or error from error
        if parameters["messages"] is not None:
            self._after_commit()
        return batch_booked(rows, postings)
