"""The gateway's first tables: checkouts, payouts, bank accounts, webhooks, money facts, cases."""

from alembic import op

from octoco.database.tables import messaging_tables_v1

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE known_users (
    user_id text PRIMARY KEY,
    email text NOT NULL,
    full_name text NOT NULL,
    as_of timestamptz NOT NULL
);
COMMENT ON TABLE known_users IS 'Name and e-mail from accounts: the provider requires them.';

CREATE TABLE checkouts (
    transaction_id text PRIMARY KEY,
    user_id text NOT NULL,
    amount numeric(16, 4) NOT NULL CHECK (amount > 0),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    status text NOT NULL
        CHECK (status IN ('requested', 'open', 'paid', 'expired', 'cancelled', 'failed')),
    purchase_id text UNIQUE,
    cancel_requested_at timestamptz,
    expires_at timestamptz,
    reason_code text,
    created_at timestamptz NOT NULL,
    correlation_id text,
    traceparent text,
    CHECK (status <> 'open' OR purchase_id IS NOT NULL)
);
COMMENT ON TABLE checkouts IS 'One row for each deposit that the wallet asked for.';
COMMENT ON COLUMN checkouts.traceparent IS 'Of the work that asked: what moves it on continues it.';

CREATE TABLE purchases (
    purchase_id text PRIMARY KEY,
    transaction_id text REFERENCES checkouts (transaction_id),
    state text NOT NULL,
    provider_status text NOT NULL,
    attempts_failed integer NOT NULL DEFAULT 0 CHECK (attempts_failed >= 0),
    expires_at timestamptz,
    seen_at timestamptz NOT NULL
);
CREATE INDEX purchases_transaction ON purchases (transaction_id);
COMMENT ON TABLE purchases IS 'Every purchase at the provider that we have heard of.';
COMMENT ON COLUMN purchases.transaction_id IS 'NULL: it matches nothing of ours.';

CREATE TABLE bank_accounts (
    bank_account_id text PRIMARY KEY,
    user_id text NOT NULL,
    account_holder text NOT NULL,
    bank_name text NOT NULL,
    branch_code text NOT NULL CHECK (branch_code ~ '^[0-9]{6}$'),
    account_type text NOT NULL,
    account_number_encrypted text NOT NULL,
    created_at timestamptz NOT NULL,
    verified_at timestamptz,
    removed_at timestamptz
);
CREATE INDEX bank_accounts_user ON bank_accounts (user_id, created_at);
COMMENT ON TABLE bank_accounts IS 'Immutable but for its marks; removed ones stay.';

CREATE TABLE payouts (
    transaction_id text PRIMARY KEY,
    user_id text NOT NULL,
    bank_account_id text NOT NULL,
    amount numeric(16, 4) NOT NULL CHECK (amount > 0),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    status text NOT NULL
        CHECK (status IN ('requested', 'created', 'executing', 'accepted', 'succeeded', 'failed',
                          'cancelled')),
    payout_id text UNIQUE,
    execution_url_encrypted text,
    float_confirmed_at timestamptz,
    execution_begun_at timestamptz,
    execution_answer text,
    settled_at timestamptz,
    reason_code text,
    created_at timestamptz NOT NULL,
    correlation_id text,
    traceparent text,
    CHECK (status NOT IN ('executing', 'accepted', 'succeeded') OR execution_begun_at IS NOT NULL),
    CHECK (status <> 'cancelled' OR execution_begun_at IS NULL)
);
COMMENT ON TABLE payouts IS 'One row for each withdrawal that the wallet asked for.';
COMMENT ON COLUMN payouts.payout_id IS 'The only payout that may ever be executed for it.';

CREATE FUNCTION keep_what_execution_rests_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.execution_begun_at IS NOT NULL
            AND NEW.execution_begun_at IS DISTINCT FROM OLD.execution_begun_at THEN
        RAISE EXCEPTION 'the mark that execution has begun is for ever';
    END IF;
    IF OLD.payout_id IS NOT NULL AND NEW.payout_id IS DISTINCT FROM OLD.payout_id THEN
        RAISE EXCEPTION 'a withdrawal keeps the payout it has';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_what_execution_rests_on BEFORE UPDATE ON payouts
    FOR EACH ROW EXECUTE FUNCTION keep_what_execution_rests_on();

CREATE TABLE tombstones (
    transaction_id text PRIMARY KEY,
    buried_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE tombstones IS 'Transactions cancelled before their request arrived.';

CREATE TABLE money_facts (
    fact_key text PRIMARY KEY,
    type text NOT NULL,
    data jsonb NOT NULL,
    transaction_id text,
    created_at timestamptz NOT NULL,
    told_count integer NOT NULL DEFAULT 1 CHECK (told_count > 0),
    answered_at timestamptz,
    outcome text,
    code text
);
CREATE INDEX money_facts_unanswered ON money_facts (created_at) WHERE answered_at IS NULL;
CREATE INDEX money_facts_gone_back ON money_facts ((data ->> 'purchase_id'))
    WHERE type IN ('payments.refund.succeeded.v1', 'payments.chargeback.opened.v1');
COMMENT ON TABLE money_facts IS 'What happened to money, told to the wallet until it answers.';

CREATE TABLE cases (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    subject_id text NOT NULL,
    transaction_id text,
    amount numeric(16, 4),
    currency text,
    evidence jsonb NOT NULL,
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'closed')),
    opened_at timestamptz NOT NULL,
    UNIQUE (kind, subject_id),
    CHECK ((amount IS NULL) = (currency IS NULL))
);
CREATE INDEX cases_open ON cases (id) WHERE status = 'open';
COMMENT ON TABLE cases IS 'What a person has to look at.';

CREATE TABLE webhook_deliveries (
    delivery_id text PRIMARY KEY,
    body_sha256 text NOT NULL UNIQUE,
    body bytea NOT NULL,
    signature text NOT NULL,
    event_type text,
    object text,
    object_id text,
    purchase_id text,
    claims text,
    went_back_amount numeric(16, 4),
    went_back_currency text,
    went_back_at timestamptz,
    received_at timestamptz NOT NULL,
    finished_at timestamptz,
    outcome text,
    CHECK ((went_back_amount IS NULL) = (went_back_currency IS NULL))
);
CREATE INDEX webhook_deliveries_object ON webhook_deliveries (object_id, received_at);
COMMENT ON TABLE webhook_deliveries IS 'Authentic deliveries as they came; unique by their bytes.';

CREATE FUNCTION keep_webhooks_for_a_month() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a delivery is kept until it is finished, and for a month';
END $$;
CREATE TRIGGER keep_webhooks_for_a_month BEFORE DELETE ON webhook_deliveries FOR EACH ROW
    WHEN (OLD.finished_at IS NULL OR OLD.received_at > clock_timestamp() - interval '29 days')
    EXECUTE FUNCTION keep_webhooks_for_a_month();

CREATE SEQUENCE refused_webhooks_number;
CREATE TABLE refused_webhooks (
    slot integer PRIMARY KEY,
    code text NOT NULL,
    body bytea NOT NULL,
    signature text NOT NULL,
    received_at timestamptz NOT NULL
);
COMMENT ON TABLE refused_webhooks IS 'The last deliveries that nobody of ours signed: a ring.';

CREATE TABLE webhook_registrations (
    webhook_id text PRIMARY KEY,
    callback_url text NOT NULL,
    public_key_pem text NOT NULL,
    read_at timestamptz NOT NULL
);
COMMENT ON TABLE webhook_registrations IS 'Our webhooks at the provider, with their keys.';

CREATE TABLE webhook_key_readings (
    single_row boolean PRIMARY KEY DEFAULT true CHECK (single_row),
    claimed_at timestamptz NOT NULL
);
INSERT INTO webhook_key_readings (claimed_at) VALUES ('-infinity');
COMMENT ON TABLE webhook_key_readings IS 'When keys were last read because a signature did not fit.';
"""

GRANTS = """
GRANT SELECT, INSERT, UPDATE ON known_users, checkouts, purchases, payouts TO payments_gateway;
GRANT SELECT, INSERT, UPDATE (verified_at, removed_at) ON bank_accounts TO payments_gateway;
GRANT SELECT, INSERT ON tombstones TO payments_gateway;
GRANT SELECT, INSERT, UPDATE (told_count, answered_at, outcome, code) ON money_facts
    TO payments_gateway;
GRANT SELECT, INSERT, UPDATE (status) ON cases TO payments_gateway;
GRANT SELECT, INSERT, UPDATE (finished_at, outcome), DELETE ON webhook_deliveries
    TO payments_gateway;
GRANT SELECT, INSERT, UPDATE ON refused_webhooks TO payments_gateway;
GRANT USAGE ON SEQUENCE refused_webhooks_number TO payments_gateway;
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_registrations TO payments_gateway;
GRANT SELECT, UPDATE ON webhook_key_readings TO payments_gateway;
"""


def upgrade() -> None:
    op.execute(messaging_tables_v1("payments_gateway"))
    op.execute(TABLES)
    op.execute(GRANTS)
