-- The ceiling: the work of one posting (business key, two legs, the user's balance and version, one
-- message in the outbox) in the fastest plpgsql we could write, with the columns and indexes that
-- the wallet's tables have and none of its guards: no trigger, no refusal, no check of a currency's
-- scale, no comparison on a repeat, no receivable. A faster one is welcome: it is the measure.

CREATE TYPE ledger_account_kind AS ENUM ('provider_clearing', 'available', 'held', 'receivable');
CREATE TYPE transfer_kind AS ENUM ('deposit', 'hold', 'settlement');

CREATE TABLE ledger_accounts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id text,
    currency text NOT NULL,
    kind ledger_account_kind NOT NULL,
    balance numeric CHECK (balance >= 0),
    version bigint
) WITH (fillfactor = 60);
CREATE UNIQUE INDEX ledger_accounts_of_user ON ledger_accounts (user_id, currency, kind)
    WHERE user_id IS NOT NULL;
CREATE UNIQUE INDEX ledger_accounts_of_system ON ledger_accounts (currency, kind)
    WHERE user_id IS NULL;

CREATE TABLE transfers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    business_key text NOT NULL UNIQUE,
    kind transfer_kind NOT NULL,
    user_id text,
    amount numeric NOT NULL,
    currency text NOT NULL,
    subject text NOT NULL,
    effective_at timestamptz NOT NULL
);

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
CREATE UNIQUE INDEX entries_of_ledger_account ON entries (ledger_account_id, version)
    WHERE version IS NOT NULL;

CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id text NOT NULL,
    event_type text NOT NULL,
    aggregate_id text NOT NULL,
    occurred_at timestamptz NOT NULL,
    data jsonb NOT NULL,
    correlation_id text NOT NULL,
    causation_id text,
    traceparent text,
    stored_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

INSERT INTO ledger_accounts (currency, kind) VALUES ('ZAR', 'provider_clearing');
INSERT INTO ledger_accounts (user_id, currency, kind, balance, version)
SELECT 'usr_' || lpad(i::text, 26, '0'), 'ZAR', kind, 0.00, 0
FROM generate_series(1, %(users)s) AS i,
     unnest(ARRAY['available', 'held', 'receivable']::ledger_account_kind[]) AS kind;

-- One posting. Separate short statements in plpgsql are quicker than one with CTEs (by 6 %%), and
-- so is a session whose plans are generic.
CREATE FUNCTION post(
    p_key text, p_user_id text, p_amount numeric, p_currency text, p_subject text,
    p_effective_at timestamptz, p_message jsonb
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_transfer_id bigint;
    v_system_id bigint;
    v_id bigint;
    v_balance numeric;
    v_version bigint;
    v_booked_at timestamptz;
BEGIN
    INSERT INTO transfers (business_key, kind, user_id, amount, currency, subject, effective_at)
    VALUES (p_key, 'deposit', p_user_id, p_amount, p_currency, p_subject, p_effective_at)
    ON CONFLICT DO NOTHING RETURNING id INTO v_transfer_id;
    IF NOT FOUND THEN
        SELECT id INTO v_transfer_id FROM transfers WHERE business_key = p_key;
        RETURN v_transfer_id;
    END IF;
    UPDATE ledger_accounts SET balance = balance + p_amount, version = version + 1
    WHERE user_id = p_user_id AND currency = p_currency AND kind = 'available'
    RETURNING id, balance, version INTO v_id, v_balance, v_version;
    SELECT id INTO v_system_id FROM ledger_accounts
    WHERE user_id IS NULL AND currency = p_currency AND kind = 'provider_clearing';
    v_booked_at := clock_timestamp();
    INSERT INTO entries
    VALUES (v_transfer_id, 1, v_system_id, p_currency, -p_amount, NULL, NULL, v_booked_at),
           (v_transfer_id, 2, v_id, p_currency, p_amount, v_version, v_balance, v_booked_at);
    INSERT INTO outbox (message_id, event_type, aggregate_id, occurred_at, data,
                        correlation_id, traceparent)
    VALUES (p_message ->> 'message_id', p_message ->> 'event_type', p_message ->> 'aggregate_id',
            (p_message ->> 'occurred_at')::timestamptz, p_message -> 'data',
            p_message ->> 'correlation_id', p_message ->> 'traceparent');
    RETURN v_transfer_id;
END $$;

-- Many postings by sets, in one statement over JSON.
CREATE FUNCTION post_many(p_postings jsonb, p_messages jsonb) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_count bigint;
    v_booked_at timestamptz := clock_timestamp();
BEGIN
    WITH posted AS (
        INSERT INTO transfers (business_key, kind, user_id, amount, currency, subject, effective_at)
        SELECT business_key, kind, user_id, amount, currency, subject, effective_at
        FROM jsonb_to_recordset(p_postings) AS p (
            business_key text, kind transfer_kind, user_id text, amount numeric, currency text,
            subject text, effective_at timestamptz)
        ON CONFLICT DO NOTHING
        RETURNING id, user_id, amount, currency
    ), placed AS (
        SELECT id, user_id, currency, amount, row_number() OVER earlier AS place,
               sum(amount) OVER earlier AS total
        FROM posted WINDOW earlier AS (PARTITION BY user_id, currency ORDER BY id)
    ), moved AS (
        UPDATE ledger_accounts a
        SET balance = a.balance + p.total, version = a.version + p.postings
        FROM (
            SELECT user_id, currency, sum(amount) AS total, count(*) AS postings
            FROM posted GROUP BY user_id, currency
        ) AS p
        WHERE a.user_id = p.user_id AND a.currency = p.currency AND a.kind = 'available'
        RETURNING a.id, a.user_id, a.currency, a.balance - p.total AS balance,
                  a.version - p.postings AS version
    ), written AS (
        INSERT INTO entries
        SELECT p.id, 1, s.id, p.currency, -p.amount, NULL, NULL, v_booked_at
        FROM posted p
        JOIN ledger_accounts s
            ON s.user_id IS NULL AND s.currency = p.currency AND s.kind = 'provider_clearing'
        UNION ALL
        SELECT p.id, 2, m.id, p.currency, p.amount, m.version + p.place, m.balance + p.total,
               v_booked_at
        FROM placed p JOIN moved m ON m.user_id = p.user_id AND m.currency = p.currency
    ), announced AS (
        INSERT INTO outbox (message_id, event_type, aggregate_id, occurred_at, data,
                            correlation_id, traceparent)
        SELECT message_id, event_type, aggregate_id, occurred_at, data, correlation_id, traceparent
        FROM jsonb_to_recordset(p_messages) AS m (
            message_id text, event_type text, aggregate_id text, occurred_at timestamptz,
            data jsonb, correlation_id text, traceparent text)
    )
    SELECT count(*) INTO v_count FROM posted;
    RETURN v_count;
END $$;

ANALYZE;
