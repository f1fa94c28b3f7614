-- The ledger's tables. Rules are numbered in docs/ledger.md.
--
-- The tables that every posting writes to carry next to no CHECK: PostgreSQL parses each CHECK anew
-- for each statement, which costs more than the row. Their rules are kept by types, unique keys and
-- by the triggers of 0001_ledger_guards.sql, whoever writes.

CREATE TYPE ledger_account_kind AS ENUM (
    'available', 'held', 'receivable',
    'provider_clearing', 'provider_fees', 'suspense', 'adjustments'
);
CREATE TYPE transfer_kind AS ENUM (
    'deposit', 'fee', 'fee_return', 'suspense', 'suspense_assignment', 'refund', 'chargeback',
    'adjustment', 'hold', 'settlement', 'release', 'reversal'
);

CREATE TABLE currencies (
    code text PRIMARY KEY CHECK (code ~ '^[A-Z]{3}$'),
    exponent smallint NOT NULL CHECK (exponent BETWEEN 0 AND 4),
    UNIQUE (code, exponent)
);
COMMENT ON TABLE currencies IS 'ISO 4217: how many decimals the smallest unit of a currency has.';

CREATE TABLE ledger_accounts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id text,
    currency text NOT NULL,
    exponent smallint NOT NULL,
    kind ledger_account_kind NOT NULL,
    -- Of a user's accounts only: a running balance of a system account would be the one row that
    -- every posting queues up behind.
    balance numeric,
    version bigint,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- When its last entry was booked: the next one is never booked earlier, whatever the clock says.
    moved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (currency, exponent) REFERENCES currencies (code, exponent),
    CONSTRAINT ledger_accounts_never_below_zero CHECK (balance >= 0)
) WITH (fillfactor = 60);
CREATE UNIQUE INDEX ledger_accounts_of_user ON ledger_accounts (user_id, currency, kind)
    WHERE user_id IS NOT NULL;
CREATE UNIQUE INDEX ledger_accounts_of_system ON ledger_accounts (currency, kind)
    WHERE user_id IS NULL;
COMMENT ON TABLE ledger_accounts IS
    'A user''s available, held and receivable money in one currency; the system''s own accounts.';

CREATE TABLE transfers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    business_key text NOT NULL UNIQUE,
    kind transfer_kind NOT NULL,
    user_id text,
    amount numeric NOT NULL CHECK (amount > 0),
    -- No foreign key: its lock on the currency's row would be taken by every posting there is.
    currency text NOT NULL,
    subject text NOT NULL,
    reverses bigint,
    effective_at timestamptz NOT NULL,
    -- Which database transaction wrote it: what is surely committed is cut at a snapshot's xmin.
    recorded_in xid8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE UNIQUE INDEX transfers_reverse_once ON transfers (reverses) WHERE reverses IS NOT NULL;
-- What was done later with the money of a purchase.
CREATE INDEX transfers_about_purchase ON transfers (subject)
    WHERE kind IN ('refund', 'chargeback', 'suspense_assignment');
COMMENT ON TABLE transfers IS 'Movements of money, append-only; each business key posts once.';
COMMENT ON COLUMN transfers.effective_at IS
    'When it became true outside; when it was booked is said by its entries.';
COMMENT ON COLUMN transfers.subject IS 'What it is about: a purchase, a payout or a transaction.';

-- No foreign key to transfers: its row lock costs most units a retry under SERIALIZABLE.
CREATE TABLE entries (
    transfer_id bigint NOT NULL,
    leg smallint NOT NULL,
    ledger_account_id bigint NOT NULL,
    currency text NOT NULL,
    amount numeric NOT NULL,
    version bigint,
    balance_after numeric,
    booked_at timestamptz NOT NULL,
    PRIMARY KEY (transfer_id, leg)
);
-- Not for system accounts: every posting there is would insert into the same page.
CREATE UNIQUE INDEX entries_of_ledger_account ON entries (ledger_account_id, version)
    WHERE version IS NOT NULL;
COMMENT ON TABLE entries IS 'Signed legs of transfers, append-only; they sum to zero per currency.';

CREATE TABLE holds (
    subject text PRIMARY KEY,
    user_id text NOT NULL,
    currency text NOT NULL,
    amount numeric NOT NULL CHECK (amount > 0),
    placed_by bigint NOT NULL UNIQUE,
    -- In no index: an end that touched one would make everybody who reads that page run again.
    -- That a transfer ends one hold alone follows from its business key, hold_end:<subject>.
    ended_by bigint,
    outcome text CHECK (outcome IN ('settled', 'released')),
    settled_amount numeric,
    CHECK ((ended_by IS NULL) = (outcome IS NULL)),
    CHECK ((settled_amount IS NOT NULL) = (outcome IS NOT DISTINCT FROM 'settled')),
    CHECK (settled_amount > 0 AND settled_amount <= amount)
) WITH (fillfactor = 70);
COMMENT ON TABLE holds IS 'Money set aside for one transaction until its saga ends the hold.';
