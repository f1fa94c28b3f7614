"""What plain SQL may try against the ledger, each by name, with what PostgreSQL has to answer."""

from typing import Final

# ruff: noqa: ISC004 - a statement on many lines is one string here
DENIED: Final = "42501"
APPEND_ONLY: Final = "WL001"
GUARDED_TABLES: Final = (
    "transfers",
    "entries",
    "ledger_accounts",
    "holds",
    "currencies",
    "ledger_seals",
    "rollups",
    "rollup_balances",
    "adjustments",
)
# What the service may call: anything else of the schema is the owner's alone.
ENTRY: Final = (
    "INSERT INTO entries (transfer_id, leg, ledger_account_id, currency, amount, version, "
    "balance_after, booked_at) VALUES "
)
NEXT: Final = "(SELECT version + 1 FROM ledger_accounts WHERE id = {own})"

# What is tried, and the SQLSTATE it is refused with.
CHECK_VIOLATION: Final = "23514"
AS_THE_SERVICE: Final[dict[str, tuple[str, str]]] = {
    **{
        f"{verb} {table}": (statement.format(table), DENIED)
        for table in GUARDED_TABLES
        for verb, statement in {
            "insert into": "INSERT INTO {0} DEFAULT VALUES",
            "delete from": "DELETE FROM {0}",
            "truncate": "TRUNCATE {0}",
            "lock rows of": "SELECT * FROM {0} FOR SHARE",
            "copy into": "COPY {0} FROM STDIN\n",
            "disable the triggers of": "ALTER TABLE {0} DISABLE TRIGGER ALL",
            "drop": "DROP TABLE {0} CASCADE",
            "add a column to": "ALTER TABLE {0} ADD COLUMN mine integer",
            "add a trigger to": "CREATE TRIGGER mine BEFORE INSERT ON {0} "
            "EXECUTE FUNCTION forbid_change()",
            "add a rule to": "CREATE RULE mine AS ON INSERT TO {0} DO INSTEAD NOTHING",
            "index": "CREATE INDEX ON {0} ((1))",
            "take over": "ALTER TABLE {0} OWNER TO wallet",
        }.items()
    },
    "change a balance": ("UPDATE ledger_accounts SET balance = 1000000", DENIED),
    "change an entry": ("UPDATE entries SET amount = 1", DENIED),
    "change a transfer": ("UPDATE transfers SET user_id = {user}", DENIED),
    "reopen a hold": ("UPDATE holds SET ended_by = NULL, outcome = NULL", DENIED),
    "change a seal": ("UPDATE ledger_seals SET hash = previous_hash", DENIED),
    "decide an adjustment by hand": ("UPDATE adjustments SET decision = 'approved'", DENIED),
    "make money finer": ("UPDATE currencies SET exponent = 4", DENIED),
    "merge into balances": (
        "MERGE INTO ledger_accounts a USING (SELECT 1) s ON true "
        "WHEN MATCHED THEN UPDATE SET balance = 1",
        DENIED,
    ),
    "write through a query": (
        "WITH w AS (UPDATE ledger_accounts SET balance = 1 RETURNING 1) SELECT * FROM w",
        DENIED,
    ),
    "date a decision back": (
        "INSERT INTO operator_decisions (id, at, operator_id, action, subject, reason, stored_at) "
        "VALUES ('dec_1', now(), 'usr_1', 'looked', 's', 'r', '2020-01-01')",
        DENIED,
    ),
    "decide for no reason": (
        "INSERT INTO operator_decisions (id, at, operator_id, action, subject, reason) "
        "VALUES ('dec_1', now(), 'usr_1', 'looked', 's', E' \n\t')",
        CHECK_VIOLATION,
    ),
    "store a fee that is no number": (
        "INSERT INTO fee_totals (subject, currency, totals, changed_at) "
        "VALUES ('pur_1', 'ZAR', ARRAY['NaN'::numeric], now())",
        CHECK_VIOLATION,
    ),
    "switch triggers off": ("SET session_replication_role = replica", DENIED),
    "become the owner": ("SET ROLE wallet_owner", DENIED),
    "become the owner from the start": ("SET SESSION AUTHORIZATION wallet_owner", DENIED),
    "be let into the owner's role": ("GRANT wallet_owner TO wallet", DENIED),
    "become a superuser": ("ALTER ROLE wallet SUPERUSER", DENIED),
    "give itself default privileges": (
        "ALTER DEFAULT PRIVILEGES FOR ROLE wallet_owner GRANT ALL ON TABLES TO wallet",
        DENIED,
    ),
    "shadow a table": ("CREATE TEMPORARY TABLE ledger_accounts (id bigint)", DENIED),
    "shadow a function of the kernel": (
        "CREATE FUNCTION wallet.book(text) RETURNS text LANGUAGE sql AS 'SELECT $1'",
        DENIED,
    ),
    "shadow a function in a temporary schema": (
        "CREATE FUNCTION pg_temp.round(numeric, integer) RETURNS numeric LANGUAGE sql "
        "AS 'SELECT $1'",
        DENIED,
    ),
    "shadow an operator": (
        "CREATE OPERATOR wallet.= (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq)",
        DENIED,
    ),
    "open a schema": ("CREATE SCHEMA mine", DENIED),
    "create in public": ("CREATE TABLE public.mine (id integer)", DENIED),
    "replace a function of the kernel": (
        "CREATE OR REPLACE FUNCTION wallet.refuse(p_state text, p_code text, p_facts jsonb) "
        "RETURNS void LANGUAGE sql AS 'SELECT'",
        DENIED,
    ),
    "give a function of the kernel another search path": (
        "ALTER FUNCTION post_transfer(text, text, text, numeric, text, text, timestamptz, jsonb) "
        "SET search_path = pg_temp",
        DENIED,
    ),
    "drop a function of the kernel": ("DROP FUNCTION apply_entries CASCADE", DENIED),
    "run code on the server": ("DO LANGUAGE plpython3u 'pass'", "42704"),
    "copy from a program": ("COPY currencies FROM PROGRAM 'true'\n", DENIED),
    "copy to a file of the server": ("COPY entries TO '/tmp/mine'", DENIED),
    "write a file of the server": ("SELECT pg_write_file('mine', '')", "42883"),
    "post an adjustment": (
        "SELECT post_transfer('k', 'adjustment', {user}, 1, 'ZAR', 's', now())",
        "WL016",
    ),
    "post a reversal": (
        "SELECT post_transfer('k', 'reversal', {user}, 1, 'ZAR', 's', now())",
        "WL016",
    ),
    "post a settlement apart from its hold": (
        "SELECT post_transfer('k', 'settlement', {user}, 1, 'ZAR', 's', now())",
        "WL016",
    ),
    "hold more than there is": (
        "SELECT place_hold('mine', {user}, 200.01, 'ZAR', now())",
        "WL014",
    ),
    "settle more than is held": ("SELECT settle_hold({open_hold}, 50.01, now())", "WL011"),
    "end a hold a second time": ("SELECT settle_hold({ended_hold}, 50, now())", "WL018"),
    "refund more than came in": (
        "SELECT post_transfer('refund:1', 'refund', NULL, 250.01, 'ZAR', {purchase}, now())",
        "WL022",
    ),
    "refund somebody else": (
        "SELECT post_transfer('refund:1', 'refund', 'usr_other', 1, 'ZAR', {purchase}, now())",
        "WL012",
    ),
    "charge back what never came in": (
        "SELECT post_transfer('chargeback:1', 'chargeback', NULL, 1, 'ZAR', 'none', now())",
        "WL023",
    ),
    "post a key again for another user": (
        "SELECT post_transfer('purchase:' || {purchase}, 'suspense', NULL, 250, 'ZAR', "
        "{purchase}, now())",
        "WL012",
    ),
    "book a key twice in one batch": (
        """SELECT * FROM post_transfers(jsonb_build_array(f, f)) FROM (SELECT jsonb_build_object(
        'business_key', 'twice', 'kind', 'fee', 'amount', 1, 'currency', 'ZAR', 'subject', 's',
        'effective_at', now()) AS f) AS one""".replace("SELECT * FROM", "SELECT"),
        "WL012",
    ),
    "adjust with the same person twice": (
        "SELECT request_adjustment('adj_01ARZ3NDEKTSV4RRFFQ69G5FAV', {user}, 1, 'ZAR', 'r', "
        "'usr_01ARZ3NDEKTSV4RRFFQ69G5FAV'), "
        "decide_adjustment('adj_01ARZ3NDEKTSV4RRFFQ69G5FAV', 'usr_01ARZ3NDEKTSV4RRFFQ69G5FAV', "
        "true, 'r')",
        "WL031",
    ),
}

AS_THE_OWNER: Final[dict[str, tuple[str, str]]] = {
    **{
        f"{verb} {table}": (statement.format(table), APPEND_ONLY)
        for table in GUARDED_TABLES
        for verb, statement in {
            "delete from": "DELETE FROM {0}",
            "truncate": "TRUNCATE {0} CASCADE",
        }.items()
    },
    "change an entry": ("UPDATE entries SET amount = amount", APPEND_ONLY),
    "change a transfer": ("UPDATE transfers SET user_id = {user}", APPEND_ONLY),
    "change a balance": (
        "UPDATE ledger_accounts SET balance = balance + 1 WHERE id = {own}",
        APPEND_ONLY,
    ),
    "change a currency": ("UPDATE currencies SET exponent = 3 WHERE code = 'ZAR'", APPEND_ONLY),
    "overwrite an entry by its key": (
        ENTRY + "({credit}, 1, {own}, 'ZAR', 1, 1, 1, now()) "
        "ON CONFLICT (transfer_id, leg) DO UPDATE SET amount = 1",
        APPEND_ONLY,
    ),
    "overwrite a balance by its key": (
        "INSERT INTO ledger_accounts (user_id, currency, exponent, kind, balance, version) "
        "VALUES ({user}, 'ZAR', 2, 'available', 0.00, 0) "
        "ON CONFLICT (user_id, currency, kind) WHERE user_id IS NOT NULL "
        "DO UPDATE SET balance = 1000000.00",
        APPEND_ONLY,
    ),
    "open an account with money in it": (
        "INSERT INTO ledger_accounts (user_id, currency, exponent, kind, balance, version) "
        "VALUES ('usr_x', 'ZAR', 2, 'available', 5.00, 0)",
        "WL003",
    ),
    "give a system account a balance": (
        "INSERT INTO ledger_accounts (currency, exponent, kind, balance, version) "
        "VALUES ('ZAR', 2, 'provider_clearing', 0.00, 0)",
        "WL003",
    ),
    "open a second account of a user": (
        "INSERT INTO ledger_accounts (user_id, currency, exponent, kind, balance, version) "
        "VALUES ({user}, 'ZAR', 2, 'available', 0.00, 0)",
        "23505",
    ),
    "copy in an entry of one leg": (
        "COPY entries FROM STDIN\n9000001\t1\t1\tAED\t1.00\t\\N\t\\N\t2026-01-01\n",
        "WL002",
    ),
    "book one leg": (ENTRY + f"(9000001, 3, {{own}}, 'ZAR', 1.00, {NEXT}, 201.00, now())", "WL002"),
    "book what does not sum to zero": (
        ENTRY + f"(9000001, 3, {{own}}, 'ZAR', 1.00, {NEXT}, 201.00, now()), "
        "(9000001, 1, {clearing}, 'ZAR', -1.01, NULL, NULL, now())",
        "WL002",
    ),
    "book what sums to zero over two transfers": (
        ENTRY + f"(9000001, 3, {{own}}, 'ZAR', 1.00, {NEXT}, 201.00, now()), "
        "(9000002, 1, {clearing}, 'ZAR', -1.00, NULL, NULL, now())",
        "WL002",
    ),
    "book in another currency than the account's": (
        ENTRY + f"(9000001, 3, {{own}}, 'JPY', 1, {NEXT}, 201.00, now()), "
        "(9000001, 1, {clearing}, 'JPY', -1, NULL, NULL, now())",
        "WL004",
    ),
    "book too fine an amount": (
        ENTRY + f"(9000001, 3, {{own}}, 'ZAR', 1.001, {NEXT}, 201.001, now()), "
        "(9000001, 1, {clearing}, 'ZAR', -1.001, NULL, NULL, now())",
        "WL004",
    ),
    "book more than there is available": (
        ENTRY + f"(9000001, 3, {{own}}, 'ZAR', -200.01, {NEXT}, -0.01, now()), "
        "(9000001, 1, {clearing}, 'ZAR', 200.01, NULL, NULL, now())",
        "23514",
    ),
    "book more than is held": (
        ENTRY + "(9000001, 4, {held}, 'ZAR', -50.01, "
        "(SELECT version + 1 FROM ledger_accounts WHERE id = {held}), -0.01, now()), "
        "(9000001, 1, {clearing}, 'ZAR', 50.01, NULL, NULL, now())",
        "23514",
    ),
    "book a receivable below zero": (
        ENTRY + "(9000001, 5, {owed}, 'ZAR', 1.00, "
        "(SELECT version + 1 FROM ledger_accounts WHERE id = {owed}), -1.00, now()), "
        "(9000001, 1, {clearing}, 'ZAR', -1.00, NULL, NULL, now())",
        "23514",
    ),
    "leave a gap in the versions": (
        ENTRY + "(9000001, 3, {own}, 'ZAR', 1.00, 900, 201.00, now()), "
        "(9000001, 1, {clearing}, 'ZAR', -1.00, NULL, NULL, now())",
        "WL004",
    ),
    "leave a gap between two entries of one batch": (
        ENTRY + f"(9000001, 3, {{own}}, 'ZAR', 1.00, {NEXT}, 201.00, now()), "
        "(9000001, 1, {clearing}, 'ZAR', -1.00, NULL, NULL, now()), "
        f"(9000002, 3, {{own}}, 'ZAR', 1.00, {NEXT} + 1, 202.00, now()), "
        "(9000002, 1, {clearing}, 'ZAR', -1.00, NULL, NULL, now()), "
        f"(9000003, 3, {{own}}, 'ZAR', 1.00, {NEXT} + 3, 203.00, now()), "
        "(9000003, 1, {clearing}, 'ZAR', -1.00, NULL, NULL, now())",
        "WL004",
    ),
    "dip below zero by the first entry of several": (
        ENTRY + f"(9000001, 3, {{own}}, 'ZAR', -300.00, {NEXT}, -100.00, now()), "
        "(9000001, 1, {clearing}, 'ZAR', 300.00, NULL, NULL, now()), "
        f"(9000002, 3, {{own}}, 'ZAR', 300.00, {NEXT} + 1, 200.00, now()), "
        "(9000002, 1, {clearing}, 'ZAR', -300.00, NULL, NULL, now())",
        "23514",
    ),
    "dip below zero by a later entry of several": (
        ENTRY + f"(9000001, 3, {{own}}, 'ZAR', 100.00, {NEXT}, 300.00, now()), "
        "(9000001, 1, {clearing}, 'ZAR', -100.00, NULL, NULL, now()), "
        f"(9000002, 3, {{own}}, 'ZAR', -400.00, {NEXT} + 1, -100.00, now()), "
        "(9000002, 1, {clearing}, 'ZAR', 400.00, NULL, NULL, now()), "
        f"(9000003, 3, {{own}}, 'ZAR', 400.00, {NEXT} + 2, 300.00, now()), "
        "(9000003, 1, {clearing}, 'ZAR', -400.00, NULL, NULL, now())",
        "WL004",
    ),
    "leave out a version between several entries": (
        ENTRY + f"(9000001, 3, {{own}}, 'ZAR', 100.00, {NEXT}, 300.00, now()), "
        "(9000001, 1, {clearing}, 'ZAR', -100.00, NULL, NULL, now()), "
        f"(9000002, 3, {{own}}, 'ZAR', 100.00, {NEXT} + 2, 400.00, now()), "
        "(9000002, 1, {clearing}, 'ZAR', -100.00, NULL, NULL, now())",
        "WL004",
    ),
    "change the balance by more than the amount in a later entry": (
        ENTRY + f"(9000001, 3, {{own}}, 'ZAR', 100.00, {NEXT}, 300.00, now()), "
        "(9000001, 1, {clearing}, 'ZAR', -100.00, NULL, NULL, now()), "
        f"(9000002, 3, {{own}}, 'ZAR', 100.00, {NEXT} + 1, 500.00, now()), "
        "(9000002, 1, {clearing}, 'ZAR', -100.00, NULL, NULL, now())",
        "WL004",
    ),
    "use a scale too fine in a later entry": (
        ENTRY + f"(9000001, 3, {{own}}, 'ZAR', 100.00, {NEXT}, 300.00, now()), "
        "(9000001, 1, {clearing}, 'ZAR', -100.00, NULL, NULL, now()), "
        f"(9000002, 3, {{own}}, 'ZAR', 0.001, {NEXT} + 1, 300.001, now()), "
        "(9000002, 1, {clearing}, 'ZAR', -0.001, NULL, NULL, now())",
        "WL004",
    ),
    "book into the past of an account": (
        ENTRY + f"(9000001, 3, {{own}}, 'ZAR', 1.00, {NEXT}, 201.00, now() - interval '1 day'), "
        "(9000001, 1, {clearing}, 'ZAR', -1.00, NULL, NULL, now())",
        "WL004",
    ),
    "post a business key a second time": (
        "INSERT INTO transfers (business_key, kind, amount, currency, subject, effective_at) "
        "SELECT business_key, 'fee', 1, 'ZAR', 's', now() FROM transfers LIMIT 1",
        "23505",
    ),
    "reverse a transfer a second time": (
        "INSERT INTO transfers (business_key, kind, amount, currency, subject, effective_at, "
        "reverses) VALUES ('other', 'reversal', 9, 'ZAR', 's', now(), {reversed})",
        "23505",
    ),
    "end a hold a second time": (
        "UPDATE holds SET outcome = 'settled', settled_amount = 50 WHERE subject = {ended_hold}",
        APPEND_ONLY,
    ),
    "make a hold smaller": ("UPDATE holds SET amount = 1 WHERE subject = {open_hold}", APPEND_ONLY),
    "place a hold a second time": (
        "INSERT INTO holds (subject, user_id, currency, amount, placed_by) "
        "VALUES ({open_hold}, {user}, 'ZAR', 50, 9000001)",
        "23505",
    ),
    "adjust without two people": (
        "INSERT INTO transfers (business_key, kind, user_id, amount, currency, subject, "
        "effective_at) VALUES ('adjustment:mine', 'adjustment', {user}, 1, 'ZAR', 'mine', now())",
        "WL033",
    ),
    "change a rollup": ("UPDATE rollup_balances SET balance = 0", APPEND_ONLY),
    "change a seal": ("UPDATE ledger_seals SET hash = previous_hash", APPEND_ONLY),
}
