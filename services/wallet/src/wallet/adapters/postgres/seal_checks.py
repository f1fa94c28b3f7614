"""What must hold of the seals, and of what is kept of them outside of the database."""

from collections.abc import Iterable, Iterator
from typing import Final, Protocol

import sqlalchemy

from wallet.adapters.postgres.ledger_checks import Check, QueryCheck
from wallet.adapters.postgres.seals import COLUMNS, seal_of
from wallet.domain.seals import FORM, Seal, SealHead

_SEALS_AT_ONCE: Final = 1000
_NO_SEAL: Final = "decode(repeat('00', 32), 'hex')"

# The text that is hashed is the one of prepare_seal() in 0001_ledger_seals.sql.
SEAL_CHECKS: Final = (
    QueryCheck(
        "S1",
        "seals are numbered without a gap",
        """
        SELECT number, expected FROM (
            SELECT number, row_number() OVER (ORDER BY number) AS expected FROM ledger_seals
        ) s
        WHERE number <> expected ORDER BY number LIMIT 1
        """,
    ),
    QueryCheck(
        "S1",
        "each seal begins where the one before it ends",
        """
        SELECT number, from_xid, from_id, expected_xid, expected_id FROM (
            SELECT number, from_xid, from_id,
                   lag(up_to_xid, 1, '0') OVER chain AS expected_xid,
                   lag(up_to_id, 1, 0::bigint) OVER chain AS expected_id
            FROM ledger_seals WINDOW chain AS (ORDER BY number)
        ) s
        WHERE (from_xid, from_id) <> (expected_xid, expected_id) ORDER BY number LIMIT 1
        """,
    ),
    QueryCheck(
        "S1",
        "each seal holds the hash of the one before it",
        f"""
        SELECT number, encode(previous_hash, 'hex') AS previous_hash,
               encode(expected, 'hex') AS expected
        FROM (
            SELECT number, previous_hash,
                   lag(hash, 1, {_NO_SEAL}) OVER (ORDER BY number) AS expected
            FROM ledger_seals
        ) s
        WHERE previous_hash <> expected ORDER BY number LIMIT 1
        """,
    ),
    QueryCheck(
        "S1",
        "the hash of each seal is that of what it says",
        f"""
        SELECT number, encode(hash, 'hex') AS hash, encode(expected, 'hex') AS expected FROM (
            SELECT number, hash, sha256(convert_to(concat_ws('|', '{FORM}', number,
                from_xid, from_id, up_to_xid, up_to_id, transfers, entries,
                encode(content_hash, 'hex'), encode(previous_hash, 'hex'),
                to_char(sealed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')),
                'UTF8')) AS expected
            FROM ledger_seals
        ) s
        WHERE hash <> expected ORDER BY number LIMIT 1
        """,
    ),
    QueryCheck(
        "S1",
        "seals do not run backwards in time",
        """
        SELECT number, sealed_at, sealed_before FROM (
            SELECT number, sealed_at, lag(sealed_at) OVER (ORDER BY number) AS sealed_before
            FROM ledger_seals
        ) s
        WHERE sealed_at < sealed_before ORDER BY number LIMIT 1
        """,
    ),
    QueryCheck(
        "S2",
        "seals count every transfer below the last cut",
        """
        SELECT s.number AS last_seal, s.sealed, t.transfers FROM (
            SELECT max(number) AS number, sum(transfers) AS sealed FROM ledger_seals
        ) s, LATERAL (
            SELECT count(*) AS transfers FROM transfers
            WHERE (recorded_in, id) < (
                SELECT up_to_xid, up_to_id FROM ledger_seals ORDER BY number DESC LIMIT 1)
        ) t
        WHERE s.sealed <> t.transfers
        """,
    ),
    QueryCheck(
        "S2",
        "each seal covers what it sealed, unchanged",
        """
        SELECT s.number, s.sealed_at, s.transfers AS sealed_transfers,
               s.entries AS sealed_entries, f.transfers, f.entries, f.first_transfer_id,
               f.last_transfer_id, f.first_business_key, s.from_xid, s.up_to_xid
        FROM ledger_seals s
        CROSS JOIN LATERAL (
            SELECT count(*) AS transfers, coalesce(sum(legs.count), 0) AS entries,
                   min(t.id) AS first_transfer_id, max(t.id) AS last_transfer_id,
                   (array_agg(t.business_key ORDER BY t.recorded_in, t.id))[1]
                       AS first_business_key,
                   sha256(convert_to(string_agg(
                       ROW(t.id, t.business_key, t.kind, t.user_id, t.amount, t.currency,
                           t.subject, t.reverses, t.effective_at, t.recorded_in)::text
                       || E'\\n' || legs.lines,
                       E'\\n' ORDER BY t.recorded_in, t.id), 'UTF8')) AS content_hash
            FROM transfers t
            CROSS JOIN LATERAL (
                SELECT count(*) AS count, coalesce(string_agg(
                    ROW(e.leg, e.ledger_account_id, e.currency, e.amount, e.version,
                        e.balance_after, e.booked_at)::text, E'\\n' ORDER BY e.leg), '') AS lines
                FROM entries e WHERE e.transfer_id = t.id
            ) legs
            WHERE (t.recorded_in, t.id) >= (s.from_xid, s.from_id)
              AND (t.recorded_in, t.id) < (s.up_to_xid, s.up_to_id)
        ) f
        WHERE (s.transfers, s.entries, s.content_hash)
            IS DISTINCT FROM (f.transfers, f.entries, f.content_hash)
        ORDER BY s.number LIMIT 1
        """,
    ),
    QueryCheck(
        "S3",
        "no seal but the last waits for its signature",
        """
        SELECT number, sealed_at FROM ledger_seals
        WHERE signature IS NULL AND number < (SELECT max(number) FROM ledger_seals)
        ORDER BY number LIMIT 1
        """,
    ),
)

SIGNATURES: Final = Check("S3", "each seal is signed by a key that is known")
KEPT_CHAIN: Final = Check("S4", "the seals kept outside are those in the database")
KEPT_WHOLE: Final = Check("S4", "each signed seal is kept outside")


class Signatures(Protocol):
    """Public keys, those that do not sign any more included."""

    def knows(self, key_id: str) -> bool: ...

    def holds(self, head: SealHead) -> bool: ...


def signed_seals(connection: sqlalchemy.Connection) -> Iterator[Seal]:
    """Yield the signed seals that a connection sees, lowest first, without holding them all."""
    rows = connection.exec_driver_sql(
        f"SELECT {COLUMNS} FROM ledger_seals WHERE signature IS NOT NULL ORDER BY number",
        execution_options={"stream_results": True, "yield_per": _SEALS_AT_ONCE},
    )
    return (seal_of(row) for row in rows)


def first_unsound_signature(
    seals: Iterable[Seal], signatures: Signatures
) -> dict[str, object] | None:
    """Return the first seal whose signature is not one of the known keys over its hash."""
    for seal in seals:
        if not signatures.holds(seal.head):
            known = signatures.knows(seal.head.key_id)
            return {
                "number": seal.number,
                "sealed_at": seal.sealed_at,
                "key_id": seal.key_id,
                "why": "the signature does not fit" if known else "the key is not known",
            }
    return None


def first_head_of_another_chain(
    seals: Iterable[Seal], kept: Iterable[SealHead]
) -> dict[str, object] | None:
    """Return the first head kept outside that is not a seal of this chain.

    Args:
        seals: Signed, lowest first.
        kept: Read before the seals were, so that none of them can be newer; in their order.
    """
    left = iter(seals)
    seal = next(left, None)
    for head in kept:
        while seal is not None and seal.number < head.number:
            seal = next(left, None)
        if seal is None or seal.number != head.number or seal.hash != head.hash:
            # A line that is there twice is no other chain.
            found = seal.hash.hex() if seal is not None and seal.number == head.number else None
            return {"number": head.number, "kept_hash": head.hash.hex(), "found_hash": found}
    return None


def first_seal_not_kept(
    seals: Iterable[Seal], kept: Iterable[SealHead]
) -> dict[str, object] | None:
    """Return the first signed seal that should be kept outside by now and is not.

    The last one may be under way, and what comes before the first one kept may be archived.

    Args:
        seals: Signed, lowest first.
        kept: Read after the seals were; in their order.
    """
    heads = iter(kept)
    head = next(heads, None)
    first_number = 1 if head is None else head.number
    waiting: Seal | None = None
    for seal in seals:
        if waiting is not None:
            return {"number": waiting.number, "sealed_at": waiting.sealed_at}
        if seal.number < first_number:
            continue
        while head is not None and head.number < seal.number:
            head = next(heads, None)
        if head is None or head.number != seal.number:
            waiting = seal
    return None
