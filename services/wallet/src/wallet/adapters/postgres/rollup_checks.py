"""What must hold of the rollups that balances of system accounts are read from."""

from typing import Final

from wallet.adapters.postgres.ledger_checks import QueryCheck

ROLLUP_CHECKS: Final = (
    QueryCheck(
        "L10",
        "rollups are numbered without a gap, and each begins where the one before it ends",
        """
        SELECT number, expected, from_xid, from_id, expected_xid, expected_id FROM (
            SELECT number, row_number() OVER chain AS expected, from_xid, from_id,
                   lag(up_to_xid, 1, '0') OVER chain AS expected_xid,
                   lag(up_to_id, 1, 0::bigint) OVER chain AS expected_id
            FROM rollups WINDOW chain AS (ORDER BY number)
        ) r
        WHERE (number, from_xid, from_id) IS DISTINCT FROM (expected, expected_xid, expected_id)
        ORDER BY number LIMIT 1
        """,
    ),
    QueryCheck(
        "L10",
        "each rollup says how much it covers, and when that was booked",
        """
        SELECT number, entries, expected_entries, first_booked_at, expected_first, last_booked_at,
               expected_last
        FROM (
            SELECT r.number, r.entries, c.entries AS expected_entries, r.first_booked_at,
                   c.first_booked_at AS expected_first, r.last_booked_at,
                   max(c.last_booked_at) OVER (ORDER BY r.number) AS expected_last
            FROM rollups r
            CROSS JOIN LATERAL (
                SELECT count(*) AS entries, min(e.booked_at) AS first_booked_at,
                       max(e.booked_at) AS last_booked_at
                FROM transfers t JOIN entries e ON e.transfer_id = t.id
                WHERE (t.recorded_in, t.id) >= (r.from_xid, r.from_id)
                  AND (t.recorded_in, t.id) < (r.up_to_xid, r.up_to_id)
            ) c
        ) r
        WHERE (entries, first_booked_at, last_booked_at)
            IS DISTINCT FROM (expected_entries, expected_first, expected_last)
        ORDER BY number LIMIT 1
        """,
    ),
    QueryCheck(
        "L10",
        "each rollup holds the sum of the entries up to it",
        """
        WITH moved AS (
            SELECT r.number, c.currency, c.kind, c.change, c.entries
            FROM rollups r
            CROSS JOIN LATERAL (
                SELECT e.currency, a.kind, sum(e.amount) AS change, count(*) AS entries
                FROM transfers t
                JOIN entries e ON e.transfer_id = t.id
                JOIN ledger_accounts a ON a.id = e.ledger_account_id
                WHERE (t.recorded_in, t.id) >= (r.from_xid, r.from_id)
                  AND (t.recorded_in, t.id) < (r.up_to_xid, r.up_to_id)
                GROUP BY e.currency, a.kind
            ) c
        ), summed AS (
            SELECT number, currency, kind, sum(change) OVER chain AS balance,
                   sum(entries) OVER chain AS entries
            FROM moved WINDOW chain AS (PARTITION BY currency, kind ORDER BY number)
        )
        SELECT coalesce(b.rollup, s.number) AS rollup, coalesce(b.currency, s.currency) AS currency,
               coalesce(b.kind, s.kind) AS kind, b.balance, s.balance AS expected, b.entries,
               s.entries AS expected_entries
        FROM rollup_balances b
        FULL JOIN summed s
            ON s.number = b.rollup AND s.currency = b.currency AND s.kind = b.kind
        WHERE (b.balance, b.entries) IS DISTINCT FROM (s.balance, s.entries)
        ORDER BY 1, 2, 3 LIMIT 1
        """,
    ),
)
