-- The users' transactions, and the few facts the wallet keeps about others.

CREATE TABLE users (
    user_id text PRIMARY KEY,
    first_seen_at timestamptz NOT NULL,
    registered_at timestamptz,
    email_verified_at timestamptz,
    -- The last news of each kind, by the instants of accounts; the later one holds.
    frozen_at timestamptz,
    unfrozen_at timestamptz
);
COMMENT ON TABLE users IS
    'Which users exist, and whether they are frozen. Under this row''s lock limits are counted.';

CREATE TABLE bank_accounts (
    bank_account_id text PRIMARY KEY,
    user_id text NOT NULL,
    masked_number text,
    bank_name text,
    verified_at timestamptz,
    removed_at timestamptz
);
COMMENT ON TABLE bank_accounts IS
    'Which bank accounts are verified and whose; a removed one never comes back.';

CREATE TABLE transactions (
    id text PRIMARY KEY,
    user_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('deposit', 'withdrawal')),
    status text NOT NULL CHECK (status IN (
        'pending', 'review', 'processing', 'completed', 'failed', 'cancelled', 'expired',
        'refunded', 'partially_refunded', 'reversed'
    )),
    amount numeric NOT NULL CHECK (amount > 0),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    checkout_url text,
    checkout_expires_at timestamptz,
    bank_account_id text CHECK ((bank_account_id IS NOT NULL) = (kind = 'withdrawal')),
    -- Revio's purchase or payout that carried the money.
    provider_id text,
    reason_code text,
    cancel_requested_at timestamptz,
    saga_step text,
    saga_step_at timestamptz NOT NULL,
    saga_step_due_at timestamptz,
    -- Of the request that began it: what moves it on later continues its trace.
    correlation_id text,
    traceparent text,
    CHECK ((saga_step IS NULL) = (saga_step_due_at IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX transactions_of_user ON transactions (user_id, id DESC);
CREATE INDEX transactions_of_user_by_kind ON transactions (user_id, kind, id DESC);
COMMENT ON TABLE transactions IS
    'Deposits and withdrawals of users, with the step their saga is at. No index may hold a column
that changes: an update that touches an index makes everybody who reads that page run again.';

-- Where to look for sagas that wait. Units only ever add to it; who ended is taken out by a job.
CREATE TABLE open_sagas (
    user_id text NOT NULL,
    transaction_id text NOT NULL,
    kind text NOT NULL,
    -- A withdrawal comes into review when it is asked for, and never later.
    began_in_review boolean NOT NULL,
    PRIMARY KEY (user_id, transaction_id)
);
CREATE INDEX open_sagas_in_review ON open_sagas (transaction_id) WHERE began_in_review;
COMMENT ON TABLE open_sagas IS
    'Every transaction whose saga waits, and for some seconds those whose saga has ended.';

CREATE FUNCTION list_open_saga() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO open_sagas (user_id, transaction_id, kind, began_in_review)
    VALUES (NEW.user_id, NEW.id, NEW.kind, NEW.status = 'review')
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER transactions_that_wait_are_listed AFTER INSERT ON transactions
    FOR EACH ROW WHEN (NEW.saga_step IS NOT NULL) EXECUTE FUNCTION list_open_saga();
CREATE TRIGGER transactions_that_wait_again_are_listed AFTER UPDATE ON transactions
    FOR EACH ROW WHEN (OLD.saga_step IS NULL AND NEW.saga_step IS NOT NULL)
    EXECUTE FUNCTION list_open_saga();

-- What counts against the limits of one user. One row that is updated in place, not a row for each
-- transaction: reading among rows that others insert costs everybody's units a race. What is older
-- than a day is kept by the hour, under the instant of its last, so that the row stays small; what
-- is older than 30 days counts no more.
CREATE TABLE counted_transactions (
    user_id text NOT NULL,
    kind text NOT NULL,
    currency text NOT NULL,
    ats timestamptz[] NOT NULL,
    amounts numeric[] NOT NULL,
    counts integer[] NOT NULL,
    PRIMARY KEY (user_id, kind, currency),
    CHECK (cardinality(ats) = cardinality(amounts) AND cardinality(ats) = cardinality(counts))
) WITH (fillfactor = 50);
COMMENT ON TABLE counted_transactions IS
    'By user, kind and currency: the transactions of 30 days that did not end without success.';

CREATE FUNCTION count_transaction(
    p_user_id text, p_kind text, p_currency text, p_at timestamptz, p_amount numeric,
    p_count integer, p_now timestamptz
) RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    INSERT INTO counted_transactions AS counted VALUES (
        p_user_id, p_kind, p_currency, ARRAY[p_at], ARRAY[p_amount], ARRAY[p_count])
    ON CONFLICT (user_id, kind, currency) DO UPDATE SET (ats, amounts, counts) = (
        SELECT coalesce(array_agg(at ORDER BY at), '{}'),
               coalesce(array_agg(amount ORDER BY at), '{}'),
               coalesce(array_agg(count ORDER BY at), '{}')
        FROM (
            SELECT max(at) AS at, sum(amount) AS amount, sum(count)::integer AS count
            FROM (
                SELECT * FROM unnest(counted.ats, counted.amounts, counted.counts)
                UNION ALL SELECT p_at, p_amount, p_count
            ) AS one (at, amount, count)
            WHERE at > p_now - interval '30 days'
            GROUP BY CASE WHEN at > p_now - interval '1 day' THEN at
                          ELSE date_trunc('hour', at, 'UTC') END
            HAVING sum(count) > 0
        ) AS kept
    );
END $$;

CREATE FUNCTION keep_counts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = wallet, pg_temp AS $$
DECLARE
    v_counts boolean := NEW.status NOT IN ('failed', 'cancelled', 'expired');
BEGIN
    PERFORM count_transaction(
        NEW.user_id, NEW.kind, NEW.currency, NEW.created_at,
        CASE WHEN v_counts THEN NEW.amount ELSE -NEW.amount END,
        CASE WHEN v_counts THEN 1 ELSE -1 END, NEW.updated_at);
    RETURN NULL;
END $$;
CREATE TRIGGER transactions_are_counted AFTER INSERT ON transactions
    FOR EACH ROW WHEN (NEW.status NOT IN ('failed', 'cancelled', 'expired'))
    EXECUTE FUNCTION keep_counts();
CREATE TRIGGER transactions_that_end_are_counted AFTER UPDATE ON transactions
    FOR EACH ROW WHEN ((OLD.status IN ('failed', 'cancelled', 'expired'))
                       <> (NEW.status IN ('failed', 'cancelled', 'expired')))
    EXECUTE FUNCTION keep_counts();

-- For the service, which may read what is counted and not write it.
CREATE FUNCTION counted_since(
    p_user_id text, p_kind text, p_currency text, p_since timestamptz
) RETURNS TABLE (at timestamptz, amount numeric, count integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = wallet, pg_temp SET enable_seqscan = off
AS $$
    SELECT one.at, one.amount, one.count
    FROM counted_transactions,
         unnest(ats, amounts, counts) AS one (at, amount, count)
    WHERE user_id = p_user_id AND kind = p_kind AND currency = p_currency AND one.at > p_since
    ORDER BY one.at
$$;

CREATE TABLE transaction_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction_id text NOT NULL,
    status text NOT NULL,
    at timestamptz NOT NULL,
    cause text NOT NULL,
    detail text
);
CREATE INDEX transaction_events_of_transaction ON transaction_events (transaction_id, id);
COMMENT ON TABLE transaction_events IS 'The timeline of transactions, append-only.';

CREATE TABLE money_fact_answers (
    fact_key text PRIMARY KEY,
    amount numeric NOT NULL,
    currency text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN (
        'credited', 'suspended', 'settled', 'released', 'refunded', 'charged_back', 'reinstated',
        'refused'
    )),
    code text,
    transaction_id text,
    answered_at timestamptz NOT NULL
);
COMMENT ON TABLE money_fact_answers IS
    'What the wallet did with each fact about money; a repeat gets the same answer.';

CREATE TABLE operator_cases (
    id text PRIMARY KEY,
    kind text NOT NULL,
    subject text NOT NULL,
    transaction_id text,
    amount numeric,
    currency text,
    detail text NOT NULL,
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'closed')),
    opened_at timestamptz NOT NULL,
    closed_at timestamptz,
    closed_by text,
    closed_reason text,
    UNIQUE (kind, subject),
    CHECK (num_nulls(closed_at, closed_by, closed_reason) = CASE status WHEN 'open' THEN 3 ELSE 0 END)
);
CREATE INDEX operator_cases_of_subject ON operator_cases (subject) WHERE status = 'open';
COMMENT ON TABLE operator_cases IS 'What a person has to decide; opened once for kind and subject.';

CREATE TRIGGER transaction_events_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
    ON transaction_events FOR EACH STATEMENT EXECUTE FUNCTION forbid_change();
CREATE TRIGGER money_fact_answers_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
    ON money_fact_answers FOR EACH STATEMENT EXECUTE FUNCTION forbid_change();
CREATE TRIGGER transactions_are_never_removed BEFORE DELETE OR TRUNCATE ON transactions
    FOR EACH STATEMENT EXECUTE FUNCTION forbid_change();
CREATE TRIGGER transactions_keep_what_they_are BEFORE UPDATE ON transactions
    FOR EACH ROW WHEN (
        (OLD.id, OLD.user_id, OLD.kind, OLD.amount, OLD.currency, OLD.created_at)
        IS DISTINCT FROM
        (NEW.id, NEW.user_id, NEW.kind, NEW.amount, NEW.currency, NEW.created_at)
    ) EXECUTE FUNCTION forbid_change();

-- A case keeps what it was opened with, and is closed once.
CREATE TRIGGER operator_cases_are_closed_once BEFORE UPDATE ON operator_cases
    FOR EACH ROW WHEN (
        OLD.status = 'closed'
        OR (OLD.id, OLD.kind, OLD.subject, OLD.transaction_id, OLD.amount, OLD.currency,
            OLD.detail, OLD.opened_at)
           IS DISTINCT FROM
           (NEW.id, NEW.kind, NEW.subject, NEW.transaction_id, NEW.amount, NEW.currency,
            NEW.detail, NEW.opened_at)
    ) EXECUTE FUNCTION forbid_change();

GRANT SELECT, INSERT, UPDATE ON users, bank_accounts, transactions, operator_cases TO wallet;
GRANT SELECT, INSERT ON transaction_events, money_fact_answers TO wallet;
GRANT SELECT, INSERT, DELETE ON open_sagas TO wallet;
GRANT SELECT ON counted_transactions TO wallet;
REVOKE EXECUTE ON FUNCTION count_transaction FROM PUBLIC;
GRANT EXECUTE ON FUNCTION counted_since TO wallet;
