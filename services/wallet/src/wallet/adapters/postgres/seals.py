"""The chain of seals on the kernel's two functions; it writes nothing by itself."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy.exc import DBAPIError

from octoco.database import Database
from wallet.domain.seals import Seal, SealBacklog, SealChainBroken

BACKLOG_COUNTED_MAX: Final = 100_000

COLUMNS: Final = """
    number, from_xid::text AS from_xid, from_id, up_to_xid::text AS up_to_xid, up_to_id,
    transfers, entries, content_hash, previous_hash, hash, sealed_at, key_id, signature
"""
_CUT_GOES_BACK: Final = "WL040"

_PREPARE: Final = f"SELECT {COLUMNS} FROM prepare_seal()"
_SIGN: Final = f"SELECT {COLUMNS} FROM sign_seal(:number, :key_id, :signature)"
_FIND: Final = f"SELECT {COLUMNS} FROM ledger_seals WHERE number = :number"
_SIGNED_AFTER: Final = f"""
    SELECT {COLUMNS} FROM ledger_seals WHERE number > :number AND signature IS NOT NULL
    ORDER BY number LIMIT :limit
"""
_BACKLOG: Final = """
    WITH last AS (
        SELECT up_to_xid, up_to_id FROM ledger_seals
        UNION ALL SELECT '0', 0 ORDER BY 1 DESC, 2 DESC LIMIT 1
    ), waiting AS (
        SELECT id FROM transfers
        WHERE (recorded_in, id) >= ((SELECT up_to_xid FROM last), (SELECT up_to_id FROM last))
        ORDER BY recorded_in, id LIMIT :limit
    )
    SELECT count(*) AS transfers,
           (SELECT min(e.booked_at) FROM entries e
            WHERE e.transfer_id = (SELECT id FROM waiting LIMIT 1)) AS oldest_booked_at
    FROM waiting
"""


class PostgresSeals:
    """See `wallet.use_cases.seal_ports.Seals`.

    Every call is one READ COMMITTED statement: the functions must see what was committed last, and
    a reader under SERIALIZABLE would cost the postings retries.

    Args:
        database: Of the wallet, as the service's own role.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def prepare(self) -> Seal | None:
        try:
            rows = self._database.statement(_PREPARE, {})
        except DBAPIError as error:
            original: Any = error.orig
            if original.pgcode != _CUT_GOES_BACK:
                raise
            raise SealChainBroken(
                "The database numbers its transactions below what is sealed: it was restored into "
                "another cluster. See docs/how-to/verify-the-ledger.md."
            ) from error
        return seal_of(rows[0]) if rows else None

    def sign(self, *, number: int, key_id: str, signature: bytes) -> Seal:
        (row,) = self._database.statement(
            _SIGN, {"number": number, "key_id": key_id, "signature": signature}
        )
        return seal_of(row)

    def find(self, number: int) -> Seal | None:
        rows = self._database.statement(_FIND, {"number": number})
        return seal_of(rows[0]) if rows else None

    def signed_after(self, number: int, *, limit: int) -> Sequence[Seal]:
        rows = self._database.statement(_SIGNED_AFTER, {"number": number, "limit": limit})
        return [seal_of(row) for row in rows]

    def backlog(self) -> SealBacklog:
        (row,) = self._database.statement(_BACKLOG, {"limit": BACKLOG_COUNTED_MAX})
        return SealBacklog(row.transfers, row.oldest_booked_at)


def seal_of(row: Any) -> Seal:
    """Return the seal that a row of `COLUMNS` holds."""
    return Seal(
        number=row.number,
        from_xid=int(row.from_xid),
        from_id=row.from_id,
        up_to_xid=int(row.up_to_xid),
        up_to_id=row.up_to_id,
        transfers=row.transfers,
        entries=row.entries,
        content_hash=bytes(row.content_hash),
        previous_hash=bytes(row.previous_hash),
        hash=bytes(row.hash),
        sealed_at=row.sealed_at,
        key_id=row.key_id,
        signature=None if row.signature is None else bytes(row.signature),
    )
