"""What a superuser could do to the books by hand, and the checks that must name it."""

WHAT_IT_SEALED = "each seal covers what it sealed, unchanged"
"""Found by nothing but the seals where every figure was made to fit."""

# What is done, and the check that must name it. %(lonely)s has one deposit and nothing else.
TAMPERINGS = {
    "an amount of one leg is changed": (
        """
        UPDATE entries SET amount = amount + 1 WHERE (transfer_id, leg) = (
            SELECT transfer_id, leg FROM entries WHERE version IS NULL LIMIT 1)
        """,
        {"entries of each transfer sum to zero per currency", WHAT_IT_SEALED},
    ),
    "both legs are changed": (
        """
        UPDATE entries SET amount = amount * 2 WHERE transfer_id = (SELECT max(id) FROM transfers)
        """,
        {"each transfer moves the amount it names", "each balance equals its entries"},
    ),
    "an entry is deleted": (
        "DELETE FROM entries WHERE (transfer_id, leg) = (SELECT max(transfer_id), 1 FROM entries)",
        {"each transfer has two legs or more", WHAT_IT_SEALED},
    ),
    "an entry without a transfer is inserted": (
        """
        INSERT INTO entries SELECT 999999, leg, ledger_account_id, currency, amount, version,
            balance_after, booked_at FROM entries WHERE version IS NULL LIMIT 1
        """,
        {"each entry belongs to a transfer"},
    ),
    "a transfer is deleted": (
        "DELETE FROM transfers WHERE id = (SELECT max(id) FROM transfers)",
        {"each entry belongs to a transfer", "seals count every transfer below the last cut"},
    ),
    "a transfer is deleted with its entries": (
        """
        WITH gone AS (
            DELETE FROM transfers WHERE id = (
                SELECT min(id) FROM transfers WHERE user_id = %(user)s AND kind = 'deposit')
            RETURNING id
        )
        DELETE FROM entries WHERE transfer_id IN (SELECT id FROM gone)
        """,
        {
            "versions of each ledger account have no gap",
            "seals count every transfer below the last cut",
            WHAT_IT_SEALED,
        },
    ),
    "legs trade accounts": (
        """
        DROP INDEX entries_of_ledger_account;
        UPDATE entries e SET ledger_account_id = o.ledger_account_id, version = o.version,
            balance_after = o.balance_after
        FROM entries o
        WHERE o.transfer_id = e.transfer_id AND o.leg <> e.leg
          AND e.transfer_id = (SELECT max(id) FROM transfers)
        """,
        {"each transfer moves between the accounts of its kind", WHAT_IT_SEALED},
    ),
    "a transfer becomes one of another kind": (
        "UPDATE transfers SET kind = 'suspense' WHERE id = (SELECT max(id) FROM transfers)",
        {"each transfer moves between the accounts of its kind", WHAT_IT_SEALED},
    ),
    "a user is given the money of another": (
        """
        DROP INDEX ledger_accounts_of_user;
        UPDATE ledger_accounts a SET user_id = CASE a.user_id WHEN %(user)s
            THEN %(lonely)s ELSE %(user)s END
        WHERE a.user_id IN (%(user)s, %(lonely)s) AND currency = 'ZAR'
        """,
        {"each transfer moves money of no other user than its own"},
    ),
    "a transfer is put down to another user": (
        "UPDATE transfers SET user_id = %(lonely)s WHERE user_id = %(user)s",
        {"each transfer moves money of no other user than its own", WHAT_IT_SEALED},
    ),
    "the currency of entries is changed": (
        "UPDATE entries SET currency = 'USD' WHERE transfer_id = (SELECT max(id) FROM transfers)",
        {"entries have the currency and scale of their ledger account"},
    ),
    "a finer amount is booked than the currency has": (
        "UPDATE entries SET amount = round(amount, 3) WHERE currency = 'ZAR' AND version = 1",
        {"entries have the currency and scale of their ledger account", WHAT_IT_SEALED},
    ),
    "a business key posts twice": (
        """
        ALTER TABLE transfers DROP CONSTRAINT transfers_business_key_key;
        UPDATE transfers SET business_key = (
            SELECT business_key FROM transfers WHERE kind = 'deposit' ORDER BY id LIMIT 1)
        WHERE id = (SELECT max(id) FROM transfers WHERE kind = 'deposit')
        """,
        {"each business key has posted once", "each business key is that of its kind and subject"},
    ),
    "a business key is changed": (
        """
        UPDATE transfers SET business_key = business_key || 'x'
        WHERE id = (SELECT max(id) FROM transfers)
        """,
        {"each business key is that of its kind and subject", WHAT_IT_SEALED},
    ),
    "a subject is changed with its business key": (
        """
        UPDATE transfers SET subject = 'pur_x', business_key = 'purchase:pur_x'
        WHERE id = (SELECT max(id) FROM transfers)
        """,
        {"each completed deposit was credited once, to its user", WHAT_IT_SEALED},
    ),
    "a balance after is changed": (
        "UPDATE entries SET balance_after = balance_after + 1 WHERE version = 1",
        {"each balance_after is the sum of the entries up to it"},
    ),
    "a balance after is below zero": (
        "UPDATE entries SET balance_after = -1 WHERE version = 1",
        {"no balance was ever below zero"},
    ),
    "entries trade places in time": (
        "UPDATE entries SET booked_at = booked_at + interval '1 day' WHERE version = 1",
        {"time does not run backwards along a ledger account", WHAT_IT_SEALED},
    ),
    "the last entries are booked at another time": (
        """
        UPDATE entries SET booked_at = booked_at + interval '1 second'
        WHERE transfer_id = (SELECT max(id) FROM transfers)
        """,
        {WHAT_IT_SEALED},
    ),
    "a transfer is made effective on another day": (
        """
        UPDATE transfers SET effective_at = effective_at - interval '40 days'
        WHERE id = (SELECT min(id) FROM transfers)
        """,
        {WHAT_IT_SEALED},
    ),
    "a transfer moves to another database transaction": (
        """
        UPDATE transfers SET recorded_in = (SELECT max(recorded_in) FROM transfers)
        WHERE id = (SELECT min(id) FROM transfers)
        """,
        {WHAT_IT_SEALED},
    ),
    "a transfer moves above the last cut": (
        """
        UPDATE transfers SET recorded_in = pg_current_xact_id()
        WHERE id = (SELECT max(id) FROM transfers)
        """,
        {"seals count every transfer below the last cut", WHAT_IT_SEALED},
    ),
    "a balance is changed": (
        """
        UPDATE ledger_accounts SET balance = balance + 1
        WHERE user_id = %(user)s AND kind = 'available'
        """,
        {"each balance equals its entries"},
    ),
    "a balance is changed below zero": (
        """
        ALTER TABLE ledger_accounts DROP CONSTRAINT ledger_accounts_never_below_zero;
        UPDATE ledger_accounts SET balance = -1.00
        WHERE user_id = %(user)s AND kind = 'available' AND currency = 'ZAR'
        """,
        {"no balance is below zero", "each balance equals its entries"},
    ),
    "a system account is given a balance": (
        """
        UPDATE ledger_accounts SET balance = 0.00, version = 0
        WHERE user_id IS NULL AND kind = 'suspense' AND currency = 'ZAR'
        """,
        {"only the users' ledger accounts carry balances, and each kind has its owner"},
    ),
    "an entry of a system account is numbered": (
        """
        UPDATE entries SET version = 1, balance_after = 1
        WHERE version IS NULL AND transfer_id = (SELECT max(id) FROM transfers)
        """,
        {"only the entries of users' ledger accounts are numbered", WHAT_IT_SEALED},
    ),
    "a hold is removed": (
        "DELETE FROM holds WHERE ended_by IS NULL AND user_id = %(user)s",
        {
            "held equals the open holds",
            "open holds are those of open withdrawals",
            "each transfer that places or ends a hold has its hold",
        },
    ),
    "a hold is made larger": (
        "UPDATE holds SET amount = amount + 1 WHERE ended_by IS NULL AND user_id = %(user)s",
        {"held equals the open holds", "each hold is placed and ended by its own transfers"},
    ),
    "a hold is given to another user": (
        "UPDATE holds SET user_id = %(lonely)s WHERE ended_by IS NULL AND user_id = %(user)s",
        {"held equals the open holds", "each hold is placed and ended by its own transfers"},
    ),
    "the end of a hold is turned round": (
        """
        UPDATE holds SET outcome = 'released', settled_amount = NULL
        WHERE outcome = 'settled' AND user_id = %(user)s
        """,
        {"each hold is placed and ended by its own transfers"},
    ),
    "an ended hold is opened again": (
        """
        UPDATE holds SET outcome = NULL, settled_amount = NULL, ended_by = NULL
        WHERE outcome = 'settled' AND user_id = %(user)s
        """,
        {
            "held equals the open holds",
            "open holds are those of open withdrawals",
            "each transfer that places or ends a hold has its hold",
        },
    ),
    "a withdrawal is closed by hand": (
        """
        UPDATE transactions SET status = 'failed'
        WHERE status = 'processing' AND user_id = %(user)s
        """,
        {"open holds are those of open withdrawals"},
    ),
    "a transfer is made a reversal": (
        """
        UPDATE transfers SET kind = 'reversal', reverses = (SELECT min(id) FROM transfers)
        WHERE id = (SELECT max(id) FROM transfers)
        """,
        {
            "each reversal undoes one transfer, whole",
            "each reversal is the opposite of what it undoes",
            WHAT_IT_SEALED,
        },
    ),
    "a deposit is completed by hand": (
        """
        UPDATE transactions SET status = 'completed', provider_id = 'made_up'
        WHERE kind = 'deposit' AND user_id = %(user)s
        """,
        {"each completed deposit was credited once, to its user"},
    ),
    "a credited deposit is failed by hand": (
        "UPDATE transactions SET status = 'failed' WHERE kind = 'deposit' AND user_id = %(user)s",
        {"each credit has its completed deposit"},
    ),
    "a fee is told that was not booked": (
        "UPDATE fee_totals SET totals = totals || 9.00",
        {"the fees booked are the last totals told"},
    ),
    "more is taken back than a purchase brought in": (
        """
        INSERT INTO transfers (business_key, kind, user_id, amount, currency, subject, effective_at)
        SELECT 'refund:made-up', 'refund', user_id, amount + 1, currency, subject, effective_at
        FROM transfers WHERE user_id = %(lonely)s
        """,
        {"no more is taken back of a purchase than it brought in"},
    ),
    "an adjustment is approved by hand": (
        """
        INSERT INTO adjustments (id, user_id, currency, amount, reason, requested_by, decision,
                                 decided_by, decided_at, decision_reason)
        VALUES ('adj_' || repeat('0', 26), %(user)s, 'ZAR', 5, 'r', 'usr_' || repeat('0', 26),
                'approved', 'usr_' || repeat('1', 26), now(), 'r')
        """,
        {"each adjustment moved what one person asked for and another one approved"},
    ),
    "suspense pays out what it never had": (
        """
        UPDATE entries SET amount = -amount FROM ledger_accounts a
        WHERE a.id = ledger_account_id AND a.kind = 'suspense'
        """,
        {"no more leaves suspense for a purchase than it brought there"},
    ),
    "every figure of a deposit is changed so that all of them fit": (
        """
        UPDATE entries SET amount = amount * 10, balance_after = balance_after * 10
        WHERE transfer_id = (SELECT id FROM transfers WHERE user_id = %(lonely)s);
        UPDATE transfers SET amount = amount * 10 WHERE user_id = %(lonely)s;
        UPDATE ledger_accounts SET balance = balance * 10 WHERE user_id = %(lonely)s;
        UPDATE transactions SET amount = amount * 10 WHERE user_id = %(lonely)s
        """,
        {WHAT_IT_SEALED},
    ),
    "a deposit vanishes without a trace": (
        """
        DELETE FROM entries
        WHERE transfer_id = (SELECT id FROM transfers WHERE user_id = %(lonely)s);
        DELETE FROM transfers WHERE user_id = %(lonely)s;
        UPDATE ledger_accounts SET balance = 0.00, version = 0
        WHERE user_id = %(lonely)s AND kind = 'available';
        DELETE FROM transactions WHERE user_id = %(lonely)s
        """,
        {WHAT_IT_SEALED, "seals count every transfer below the last cut"},
    ),
    "a deposit is made up and dated back below the last cut": (
        """
        INSERT INTO transfers (business_key, kind, user_id, amount, currency, subject,
                               effective_at, recorded_in)
        SELECT 'purchase:made_up', 'deposit', user_id, 5.00, 'ZAR', 'made_up', effective_at,
               recorded_in
        FROM transfers WHERE user_id = %(lonely)s;
        INSERT INTO entries
        SELECT (SELECT max(id) FROM transfers), e.leg, e.ledger_account_id, 'ZAR',
               sign(e.amount) * 5.00, e.version + 1, e.balance_after + 5.00, e.booked_at
        FROM entries e WHERE transfer_id = (
            SELECT min(id) FROM transfers WHERE user_id = %(lonely)s);
        UPDATE ledger_accounts SET balance = balance + 5.00, version = 2
        WHERE user_id = %(lonely)s AND kind = 'available';
        INSERT INTO transactions (id, user_id, kind, status, amount, currency, created_at,
                                  updated_at, provider_id, saga_step_at)
        SELECT 'made_up', user_id, kind, status, 5.00, currency, created_at, updated_at, 'made_up',
               saga_step_at
        FROM transactions WHERE user_id = %(lonely)s
        """,
        {WHAT_IT_SEALED, "seals count every transfer below the last cut"},
    ),
    "a rollup is deleted": (
        "DELETE FROM rollups WHERE number = 1",
        {"rollups are numbered without a gap, and each begins where the one before it ends"},
    ),
    "a rollup is dated back": (
        "UPDATE rollups SET first_booked_at = first_booked_at - interval '1 day' WHERE number = 1",
        {"each rollup says how much it covers, and when that was booked"},
    ),
    "a rollup is given another balance": (
        """
        UPDATE rollup_balances SET balance = balance + 1
        WHERE kind = 'provider_clearing' AND currency = 'ZAR' AND rollup = (
            SELECT max(rollup) FROM rollup_balances
            WHERE kind = 'provider_clearing' AND currency = 'ZAR')
        """,
        {"each rollup holds the sum of the entries up to it"},
    ),
    "a seal is given another hash": (
        "UPDATE ledger_seals SET hash = sha256('other') WHERE number = 2",
        {
            "the hash of each seal is that of what it says",
            "each seal holds the hash of the one before it",
            "each seal is signed by a key that is known",
            "the seals kept outside are those in the database",
        },
    ),
    "a seal is given another content": (
        "UPDATE ledger_seals SET content_hash = sha256('other') WHERE number = 2",
        {"the hash of each seal is that of what it says", WHAT_IT_SEALED},
    ),
    "a seal is dated back": (
        "UPDATE ledger_seals SET sealed_at = sealed_at - interval '1 year' WHERE number = 2",
        {
            "the hash of each seal is that of what it says",
            "seals do not run backwards in time",
        },
    ),
    "the range of a seal is moved": (
        "UPDATE ledger_seals SET from_id = from_id + 1 WHERE number = 2",
        {"each seal begins where the one before it ends"},
    ),
    "a seal in the middle is deleted": (
        "DELETE FROM ledger_seals WHERE number = 2",
        {
            "seals are numbered without a gap",
            "each seal begins where the one before it ends",
            "each seal holds the hash of the one before it",
            "the seals kept outside are those in the database",
        },
    ),
    "a signature is taken away": (
        "UPDATE ledger_seals SET key_id = NULL, signature = NULL WHERE number = 2",
        {
            "no seal but the last waits for its signature",
            "the seals kept outside are those in the database",
        },
    ),
    "a seal names another key": (
        "UPDATE ledger_seals SET key_id = 'test-9' WHERE number = 2",
        {"each seal is signed by a key that is known"},
    ),
    "the last seals are deleted": (
        "DELETE FROM ledger_seals WHERE number > 1",
        {"the seals kept outside are those in the database"},
    ),
    "all seals are deleted": (
        "DELETE FROM ledger_seals",
        {"the seals kept outside are those in the database"},
    ),
}
# Whoever changes the books can make the rollups fit as well.
REWRITE_ROLLUPS = """
    DELETE FROM rollup_balances; DELETE FROM rollups; SELECT roll_up_system_accounts()
"""
ONLY_SEALS_FIND = {
    "the last entries are booked at another time",
    "a transfer is made effective on another day",
    "a transfer moves to another database transaction",
    "every figure of a deposit is changed so that all of them fit",
    "the last seals are deleted",
    "all seals are deleted",
    "a seal names another key",
}
