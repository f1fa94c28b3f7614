"""What must hold of the ledger, as queries for the first row that breaks each rule.

The rules are those of docs/ledger.md. Nothing here calls a function of the schema: what the
database's owner could replace vouches for nothing.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold: the rule it belongs to, and its name."""

    rule: str
    name: str


@dataclass(frozen=True, slots=True)
class QueryCheck(Check):
    """A check that is one query for the first row that breaks it."""

    query: str


# What each transfer gave to and took from every kind of account.
_MOVED: Final = """
    SELECT t.id, t.business_key, t.kind, t.user_id, t.amount,
           coalesce(sum(e.amount) FILTER (WHERE a.kind IN ('available', 'receivable')), 0) AS own,
           coalesce(sum(e.amount) FILTER (WHERE a.kind = 'held'), 0) AS held,
           coalesce(sum(e.amount) FILTER (WHERE a.kind = 'provider_clearing'), 0) AS clearing,
           coalesce(sum(e.amount) FILTER (WHERE a.kind = 'provider_fees'), 0) AS fees,
           coalesce(sum(e.amount) FILTER (WHERE a.kind = 'suspense'), 0) AS suspense,
           coalesce(sum(e.amount) FILTER (WHERE a.kind = 'adjustments'), 0) AS adjustments
    FROM transfers t
    JOIN entries e ON e.transfer_id = t.id
    JOIN ledger_accounts a ON a.id = e.ledger_account_id
    GROUP BY t.id
"""

LEDGER_CHECKS: Final = (
    QueryCheck(
        "L1",
        "entries of each transfer sum to zero per currency",
        """
        SELECT transfer_id, currency, sum(amount) AS sum FROM entries
        GROUP BY transfer_id, currency HAVING sum(amount) <> 0 ORDER BY transfer_id LIMIT 1
        """,
    ),
    QueryCheck(
        "L1",
        "each transfer has two legs or more",
        """
        SELECT t.id AS transfer_id, t.business_key, count(e.leg) AS legs
        FROM transfers t LEFT JOIN entries e ON e.transfer_id = t.id
        GROUP BY t.id HAVING count(e.leg) < 2 ORDER BY t.id LIMIT 1
        """,
    ),
    QueryCheck(
        "L1",
        "each entry belongs to a transfer",
        """
        SELECT e.transfer_id, e.leg FROM entries e
        WHERE NOT EXISTS (SELECT FROM transfers t WHERE t.id = e.transfer_id)
        ORDER BY e.transfer_id, e.leg LIMIT 1
        """,
    ),
    QueryCheck(
        "L1",
        "each transfer moves the amount it names",
        """
        SELECT t.id AS transfer_id, t.business_key, t.amount, sum(e.amount) AS moved
        FROM transfers t
        JOIN entries e ON e.transfer_id = t.id AND e.amount > 0
        LEFT JOIN holds h ON h.ended_by = t.id AND h.outcome = 'settled'
        GROUP BY t.id, h.amount HAVING sum(e.amount) <> coalesce(h.amount, t.amount)
        ORDER BY t.id LIMIT 1
        """,
    ),
    QueryCheck(
        "L1",
        "each transfer moves between the accounts of its kind",
        f"""
        SELECT m.id AS transfer_id, m.business_key, m.kind, m.amount, m.own, m.held, m.clearing,
               m.fees, m.suspense, m.adjustments
        FROM ({_MOVED}) m LEFT JOIN holds h ON h.ended_by = m.id
        WHERE m.kind <> 'reversal'
          AND ARRAY[m.own, m.held, m.clearing, m.fees, m.suspense, m.adjustments]
            IS DISTINCT FROM CASE m.kind
                WHEN 'deposit' THEN ARRAY[m.amount, 0, -m.amount, 0, 0, 0]
                WHEN 'fee' THEN ARRAY[0, 0, m.amount, -m.amount, 0, 0]
                WHEN 'fee_return' THEN ARRAY[0, 0, -m.amount, m.amount, 0, 0]
                WHEN 'suspense' THEN ARRAY[0, 0, -m.amount, 0, m.amount, 0]
                WHEN 'suspense_assignment' THEN ARRAY[m.amount, 0, 0, 0, -m.amount, 0]
                WHEN 'hold' THEN ARRAY[-m.amount, m.amount, 0, 0, 0, 0]
                WHEN 'settlement' THEN ARRAY[h.amount - m.amount, -h.amount, m.amount, 0, 0, 0]
                WHEN 'release' THEN ARRAY[m.amount, -m.amount, 0, 0, 0, 0]
                WHEN 'adjustment' THEN
                    ARRAY[sign(m.own) * m.amount, 0, 0, 0, 0, -sign(m.own) * m.amount]
                -- A refund or a chargeback takes it from whoever has it.
                ELSE CASE WHEN m.user_id IS NULL
                    THEN ARRAY[0, 0, m.amount, 0, -m.amount, 0]
                    ELSE ARRAY[-m.amount, 0, m.amount, 0, 0, 0] END
            END
        ORDER BY m.id LIMIT 1
        """,
    ),
    QueryCheck(
        "L1",
        "each transfer moves money of no other user than its own",
        """
        SELECT t.id AS transfer_id, t.business_key, t.user_id, e.leg, a.user_id AS owner
        FROM entries e
        JOIN ledger_accounts a ON a.id = e.ledger_account_id
        JOIN transfers t ON t.id = e.transfer_id
        WHERE a.user_id <> coalesce(t.user_id, '') ORDER BY t.id, e.leg LIMIT 1
        """,
    ),
    QueryCheck(
        "L2",
        "entries have the currency and scale of their ledger account",
        """
        SELECT e.transfer_id, e.leg, e.currency, e.amount
        FROM entries e LEFT JOIN ledger_accounts a ON a.id = e.ledger_account_id
        LEFT JOIN transfers t ON t.id = e.transfer_id
        WHERE a.currency IS DISTINCT FROM e.currency
           OR t.currency IS DISTINCT FROM e.currency
           OR scale(e.amount) IS DISTINCT FROM a.exponent::integer
        ORDER BY e.transfer_id, e.leg LIMIT 1
        """,
    ),
    QueryCheck(
        "L3",
        "each business key has posted once",
        """
        SELECT business_key, min(id) AS transfer_id, count(*) AS times FROM transfers
        GROUP BY business_key HAVING count(*) > 1 ORDER BY 2 LIMIT 1
        """,
    ),
    QueryCheck(
        "L3",
        "each business key is that of its kind and subject",
        """
        SELECT t.id AS transfer_id, t.business_key, t.kind, t.subject
        FROM transfers t LEFT JOIN transfers o ON o.id = t.reverses
        WHERE NOT coalesce(CASE t.kind
            WHEN 'deposit' THEN t.business_key = 'purchase:' || t.subject
            WHEN 'suspense' THEN t.business_key = 'purchase:' || t.subject
            WHEN 'suspense_assignment' THEN t.business_key = 'suspense_end:' || t.subject
            WHEN 'fee' THEN starts_with(t.business_key, 'fee:' || t.subject || ':')
            WHEN 'fee_return' THEN starts_with(t.business_key, 'fee:' || t.subject || ':')
            WHEN 'refund' THEN starts_with(t.business_key, 'refund:')
            WHEN 'chargeback' THEN starts_with(t.business_key, 'chargeback:')
            WHEN 'hold' THEN t.business_key = 'hold:' || t.subject
            WHEN 'settlement' THEN t.business_key = 'hold_end:' || t.subject
            WHEN 'release' THEN t.business_key = 'hold_end:' || t.subject
            WHEN 'reversal' THEN t.business_key = 'reversal:' || o.business_key
            WHEN 'adjustment' THEN starts_with(t.business_key, 'adjustment:')
        END, false)
        ORDER BY t.id LIMIT 1
        """,
    ),
    QueryCheck(
        "L4",
        "versions of each ledger account have no gap",
        """
        SELECT ledger_account_id, version, expected FROM (
            SELECT ledger_account_id, version,
                   row_number() OVER (PARTITION BY ledger_account_id ORDER BY version) AS expected
            FROM entries WHERE version IS NOT NULL
        ) e
        WHERE version <> expected ORDER BY ledger_account_id, version LIMIT 1
        """,
    ),
    QueryCheck(
        "L4",
        "each balance_after is the sum of the entries up to it",
        """
        SELECT ledger_account_id, version, balance_after, expected FROM (
            SELECT e.ledger_account_id, e.version, e.balance_after,
                   CASE a.kind WHEN 'receivable' THEN -1 ELSE 1 END * sum(e.amount) OVER (
                       PARTITION BY e.ledger_account_id ORDER BY e.version) AS expected
            FROM entries e JOIN ledger_accounts a ON a.id = e.ledger_account_id
            WHERE e.version IS NOT NULL
        ) e
        WHERE balance_after IS DISTINCT FROM expected ORDER BY ledger_account_id, version LIMIT 1
        """,
    ),
    QueryCheck(
        "L4",
        "time does not run backwards along a ledger account",
        """
        SELECT ledger_account_id, version, booked_at, booked_before FROM (
            SELECT ledger_account_id, version, booked_at,
                   lag(booked_at) OVER (PARTITION BY ledger_account_id ORDER BY version)
                       AS booked_before
            FROM entries WHERE version IS NOT NULL
        ) e
        WHERE booked_at < booked_before ORDER BY ledger_account_id, version LIMIT 1
        """,
    ),
    QueryCheck(
        "L5",
        "each balance equals its entries",
        """
        SELECT a.id AS ledger_account_id, a.user_id, a.kind, a.balance, a.version,
               e.balance AS expected, e.version AS expected_version
        FROM ledger_accounts a
        LEFT JOIN (
            SELECT ledger_account_id, sum(amount) AS balance, count(*) AS version
            FROM entries GROUP BY ledger_account_id
        ) e ON e.ledger_account_id = a.id
        WHERE a.user_id IS NOT NULL
          AND (a.balance, a.version) IS DISTINCT FROM (
              CASE a.kind WHEN 'receivable' THEN -1 ELSE 1 END * coalesce(e.balance, 0),
              coalesce(e.version, 0))
        ORDER BY a.id LIMIT 1
        """,
    ),
    QueryCheck(
        "L5",
        "no balance is below zero",
        """
        SELECT id AS ledger_account_id, user_id, kind, balance FROM ledger_accounts
        WHERE balance < 0 ORDER BY id LIMIT 1
        """,
    ),
    QueryCheck(
        "L5",
        "no balance was ever below zero",
        """
        SELECT ledger_account_id, version, balance_after FROM entries
        WHERE balance_after < 0 ORDER BY ledger_account_id, version LIMIT 1
        """,
    ),
    QueryCheck(
        "L6",
        "held equals the open holds",
        """
        SELECT a.user_id, a.currency, a.balance, coalesce(h.amount, 0) AS expected
        FROM ledger_accounts a
        FULL JOIN (
            SELECT user_id, currency, sum(amount) AS amount FROM holds
            WHERE ended_by IS NULL GROUP BY user_id, currency
        ) h ON h.user_id = a.user_id AND h.currency = a.currency AND a.kind = 'held'
        WHERE coalesce(a.kind, 'held') = 'held'
          AND a.balance IS DISTINCT FROM coalesce(h.amount, 0)
        ORDER BY coalesce(a.user_id, h.user_id), a.id LIMIT 1
        """,
    ),
    QueryCheck(
        "L6",
        "open holds are those of open withdrawals",
        """
        SELECT coalesce(h.subject, t.id) AS transaction_id, t.status, h.amount AS held, t.amount
        FROM (SELECT * FROM holds WHERE ended_by IS NULL) h
        FULL JOIN (
            SELECT * FROM transactions
            WHERE kind = 'withdrawal' AND status IN ('review', 'pending', 'processing')
        ) t ON t.id = h.subject
        WHERE (t.amount, t.currency, t.user_id) IS DISTINCT FROM (h.amount, h.currency, h.user_id)
        ORDER BY 1 LIMIT 1
        """,
    ),
    QueryCheck(
        "L6",
        "each hold is placed and ended by its own transfers",
        """
        SELECT h.subject, h.placed_by, h.ended_by, h.outcome FROM holds h
        LEFT JOIN transfers p ON p.id = h.placed_by
        LEFT JOIN transfers e ON e.id = h.ended_by
        WHERE (p.business_key, p.kind, p.user_id, p.currency, p.amount) IS DISTINCT FROM
              ('hold:' || h.subject, 'hold', h.user_id, h.currency, h.amount)
           OR (h.ended_by IS NOT NULL
               AND (e.business_key, e.kind, e.user_id, e.currency, e.amount) IS DISTINCT FROM (
                   'hold_end:' || h.subject,
                   CASE h.outcome WHEN 'settled' THEN 'settlement'
                       ELSE 'release' END::transfer_kind,
                   h.user_id, h.currency, coalesce(h.settled_amount, h.amount)))
        ORDER BY h.subject LIMIT 1
        """,
    ),
    QueryCheck(
        "L6",
        "each transfer that places or ends a hold has its hold",
        """
        SELECT t.id AS transfer_id, t.business_key, t.kind FROM transfers t
        WHERE t.kind IN ('hold', 'settlement', 'release') AND NOT EXISTS (
            SELECT FROM holds h WHERE h.subject = t.subject
              AND CASE t.kind WHEN 'hold' THEN h.placed_by ELSE h.ended_by END = t.id)
        ORDER BY t.id LIMIT 1
        """,
    ),
    QueryCheck(
        "L7",
        "each reversal undoes one transfer, whole",
        """
        SELECT t.id AS transfer_id, t.business_key, t.reverses FROM transfers t
        LEFT JOIN transfers o ON o.id = t.reverses
        WHERE (t.kind = 'reversal') <> (t.reverses IS NOT NULL)
           OR t.kind = 'reversal'
              AND (o.kind IN ('hold', 'release', 'reversal')
                   OR (o.user_id, o.amount, o.currency, o.subject)
                      IS DISTINCT FROM (t.user_id, t.amount, t.currency, t.subject))
        ORDER BY t.id LIMIT 1
        """,
    ),
    QueryCheck(
        "L7",
        "each reversal is the opposite of what it undoes",
        """
        SELECT t.id AS transfer_id, t.business_key, t.reverses, left_over.kinds
        FROM transfers t
        CROSS JOIN LATERAL (
            SELECT string_agg(kind, ', ') AS kinds FROM (
                SELECT CASE WHEN a.user_id IS NULL THEN a.kind::text ELSE 'user' END AS kind
                FROM entries e JOIN ledger_accounts a ON a.id = e.ledger_account_id
                WHERE e.transfer_id IN (t.id, t.reverses)
                GROUP BY 1 HAVING sum(e.amount) <> 0
            ) k
        ) left_over
        WHERE t.kind = 'reversal' AND left_over.kinds IS NOT NULL ORDER BY t.id LIMIT 1
        """,
    ),
    QueryCheck(
        "L8",
        "each completed deposit was credited once, to its user",
        """
        SELECT x.id AS transaction_id, x.provider_id,
               coalesce(t.business_key, s.business_key) AS business_key,
               coalesce(t.user_id, s.user_id) AS user_id, coalesce(t.amount, s.amount) AS amount
        FROM transactions x
        LEFT JOIN transfers t
            ON t.business_key = 'purchase:' || x.provider_id AND t.kind = 'deposit'
        LEFT JOIN transfers s ON s.business_key = 'suspense_end:' || x.provider_id
        WHERE x.kind = 'deposit'
          AND x.status NOT IN ('pending', 'review', 'failed', 'cancelled', 'expired')
          AND (coalesce(t.user_id, s.user_id), coalesce(t.amount, s.amount),
               coalesce(t.currency, s.currency))
              IS DISTINCT FROM (x.user_id, x.amount, x.currency)
        ORDER BY x.id LIMIT 1
        """,
    ),
    QueryCheck(
        "L8",
        "each credit has its completed deposit",
        """
        SELECT t.id AS transfer_id, t.business_key, t.user_id, t.amount FROM transfers t
        WHERE t.kind = 'deposit' AND NOT EXISTS (
            SELECT FROM transactions x
            WHERE x.kind = 'deposit' AND x.user_id = t.user_id AND x.provider_id = t.subject
              AND x.status NOT IN ('pending', 'review', 'failed', 'cancelled', 'expired'))
        ORDER BY t.id LIMIT 1
        """,
    ),
    QueryCheck(
        "L12",
        "no more is taken back of a purchase than it brought in",
        """
        SELECT l.subject AS purchase_id, p.amount AS brought_in, l.taken
        FROM (
            SELECT subject, currency, sum(amount) AS taken FROM transfers t
            WHERE kind IN ('refund', 'chargeback')
              AND NOT EXISTS (SELECT FROM transfers r WHERE r.reverses = t.id)
            GROUP BY subject, currency
        ) l
        LEFT JOIN transfers p ON p.business_key = 'purchase:' || l.subject
        WHERE p.currency IS DISTINCT FROM l.currency OR l.taken > p.amount
           OR EXISTS (SELECT FROM transfers r WHERE r.reverses = p.id)
        ORDER BY l.subject LIMIT 1
        """,
    ),
    QueryCheck(
        "L8",
        "no more leaves suspense for a purchase than it brought there",
        """
        SELECT t.subject AS purchase_id, t.currency, sum(e.amount) AS left_in_suspense
        FROM transfers t
        JOIN entries e ON e.transfer_id = t.id
        JOIN ledger_accounts a ON a.id = e.ledger_account_id AND a.kind = 'suspense'
        GROUP BY t.subject, t.currency HAVING sum(e.amount) < 0 ORDER BY 1 LIMIT 1
        """,
    ),
    QueryCheck(
        "L8",
        "the fees booked are the last totals told",
        """
        SELECT coalesce(f.subject, b.subject) AS subject, b.booked,
               f.totals[cardinality(f.totals)] AS told
        FROM (
            SELECT subject, currency,
                   sum(CASE kind WHEN 'fee' THEN amount ELSE -amount END) AS booked
            FROM transfers WHERE kind IN ('fee', 'fee_return') GROUP BY subject, currency
        ) b
        FULL JOIN fee_totals f ON f.subject = b.subject AND f.currency = b.currency
        WHERE coalesce(b.booked, 0) <> coalesce(f.totals[cardinality(f.totals)], 0)
        ORDER BY 1 LIMIT 1
        """,
    ),
    QueryCheck(
        "L13",
        "each adjustment moved what one person asked for and another one approved",
        """
        SELECT coalesce(a.id, t.subject) AS adjustment_id, a.amount AS approved, t.moved
        FROM (SELECT * FROM adjustments WHERE decision = 'approved') a
        FULL JOIN (
            SELECT t.id, t.subject, t.user_id, t.currency, sum(e.amount) AS moved
            FROM transfers t
            JOIN entries e ON e.transfer_id = t.id
            JOIN ledger_accounts l ON l.id = e.ledger_account_id AND l.user_id = t.user_id
            WHERE t.kind = 'adjustment' GROUP BY t.id
        ) t ON t.id = a.transfer_id
        WHERE (a.id, a.user_id, a.currency, a.amount)
              IS DISTINCT FROM (t.subject, t.user_id, t.currency, t.moved)
           OR (a.decided_by = a.requested_by) IS NOT FALSE
        ORDER BY 1 LIMIT 1
        """,
    ),
    QueryCheck(
        "L10",
        "only the users' ledger accounts carry balances, and each kind has its owner",
        """
        SELECT id AS ledger_account_id, user_id, currency, kind, balance, version
        FROM ledger_accounts
        WHERE (user_id IS NULL) <> (balance IS NULL) OR (user_id IS NULL) <> (version IS NULL)
           OR (user_id IS NOT NULL) <> (kind IN ('available', 'held', 'receivable'))
           OR scale(balance) <> exponent
        ORDER BY id LIMIT 1
        """,
    ),
    QueryCheck(
        "L10",
        "only the entries of users' ledger accounts are numbered",
        """
        SELECT e.transfer_id, e.leg, e.ledger_account_id, e.version, e.balance_after
        FROM entries e JOIN ledger_accounts a ON a.id = e.ledger_account_id
        WHERE (a.user_id IS NULL) <> (e.version IS NULL)
           OR (e.version IS NULL) <> (e.balance_after IS NULL)
        ORDER BY e.transfer_id, e.leg LIMIT 1
        """,
    ),
)
