-- What PostgreSQL refuses whoever writes. Codes of class WL are ours; the message is the code name.

CREATE FUNCTION refuse(p_state text, p_code text, p_facts jsonb DEFAULT '{}') RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = p_state, MESSAGE = p_code, DETAIL = p_facts::text;
END $$;

CREATE FUNCTION forbid_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'WL001', MESSAGE = 'append_only',
        DETAIL = jsonb_build_object('table', TG_TABLE_NAME, 'operation', TG_OP)::text;
END $$;

CREATE TRIGGER transfers_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON transfers
    FOR EACH STATEMENT EXECUTE FUNCTION forbid_change();
CREATE TRIGGER entries_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entries
    FOR EACH STATEMENT EXECUTE FUNCTION forbid_change();
CREATE TRIGGER ledger_accounts_are_never_removed BEFORE DELETE OR TRUNCATE ON ledger_accounts
    FOR EACH STATEMENT EXECUTE FUNCTION forbid_change();
CREATE TRIGGER holds_are_never_removed BEFORE DELETE OR TRUNCATE ON holds
    FOR EACH STATEMENT EXECUTE FUNCTION forbid_change();
CREATE TRIGGER currencies_are_never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON currencies
    FOR EACH STATEMENT EXECUTE FUNCTION forbid_change();

-- A ledger account opens empty, and has a running balance exactly if it is a user's.
CREATE FUNCTION check_opened_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.user_id IS NULL)
           <> (NEW.kind IN ('provider_clearing', 'provider_fees', 'suspense', 'adjustments'))
        OR (NEW.user_id IS NULL) <> (NEW.balance IS NULL)
        OR (NEW.user_id IS NULL) <> (NEW.version IS NULL)
        OR NEW.balance <> 0 OR scale(NEW.balance) <> NEW.exponent OR NEW.version <> 0
    THEN
        PERFORM refuse('WL003', 'ledger_account_does_not_open_empty');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ledger_accounts_open_empty BEFORE INSERT ON ledger_accounts
    FOR EACH ROW EXECUTE FUNCTION check_opened_account();

-- Balances move only from inside the trigger on entries, so none can move without its entry.
CREATE TRIGGER ledger_accounts_follow_entries BEFORE UPDATE ON ledger_accounts
    FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION forbid_change();

-- A hold ends once, and nothing about it but its end is ever written.
CREATE TRIGGER holds_end_once BEFORE UPDATE ON holds
    FOR EACH ROW WHEN (
        OLD.ended_by IS NOT NULL
        OR (OLD.subject, OLD.user_id, OLD.currency, OLD.amount, OLD.placed_by)
           IS DISTINCT FROM (NEW.subject, NEW.user_id, NEW.currency, NEW.amount, NEW.placed_by)
    ) EXECUTE FUNCTION forbid_change();

-- A receivable is what the user owes: its balance grows when the signed entry is negative.
CREATE FUNCTION balance_change(p_kind ledger_account_kind, p_amount numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN p_kind = 'receivable' THEN -p_amount ELSE p_amount END;

-- Checks the entries of one INSERT as a whole and moves the balances they touch. Rows reach this
-- trigger together, so it must find each transfer balanced per currency, which takes two legs or
-- more because none is zero (L1). Each entry must have its ledger account's currency and scale
-- (L2) and go on from where the account stands: version, balance and time (L4).
--
-- The first statement moves each ledger account by its next entry, which nearly always is its only
-- one. What is left are further entries of the same accounts, which must follow one another.
CREATE FUNCTION apply_entries() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_first bigint;
    v_last bigint;
    v_is_one_currency boolean;
    v_sum numeric;
    v_running bigint;
    v_moved bigint;
    v_fixed_fit boolean;
BEGIN
    WITH moved AS (
        UPDATE ledger_accounts a
        SET balance = e.balance_after, version = e.version, moved_at = e.booked_at
        FROM new_entries e
        WHERE a.id = e.ledger_account_id AND e.version IS NOT NULL
          AND e.version = a.version + 1
          AND e.balance_after = a.balance + balance_change(a.kind, e.amount)
          AND e.booked_at >= a.moved_at
          AND a.currency = e.currency AND a.exponent = scale(e.amount) AND e.amount <> 0
        RETURNING 1
    )
    SELECT min(e.transfer_id), max(e.transfer_id), min(e.currency) = max(e.currency),
           sum(e.amount), count(e.version), (SELECT count(*) FROM moved),
           bool_and(e.version IS NOT NULL OR coalesce((
               SELECT a.version IS NULL AND e.balance_after IS NULL AND e.amount <> 0
                   AND a.currency = e.currency AND a.exponent = scale(e.amount)
               FROM ledger_accounts a WHERE a.id = e.ledger_account_id), false))
    INTO v_first, v_last, v_is_one_currency, v_sum, v_running, v_moved, v_fixed_fit
    FROM new_entries e;
    IF v_sum <> 0 OR v_first <> v_last OR NOT v_is_one_currency THEN
        IF EXISTS (
            SELECT FROM new_entries GROUP BY transfer_id, currency HAVING sum(amount) <> 0
        ) THEN
            PERFORM refuse('WL002', 'unbalanced_transfer');
        END IF;
    END IF;
    IF v_moved < v_running THEN
        WITH chained AS (
            SELECT e.ledger_account_id, e.version, e.balance_after, e.booked_at,
                   balance_change(a.kind, e.amount) AS change,
                   a.currency = e.currency AND a.exponent = scale(e.amount) AND e.amount <> 0
                       AS fits,
                   lag(e.version, 1, a.version) OVER accounts AS version_before,
                   lag(e.balance_after, 1, a.balance) OVER accounts AS balance_before,
                   lag(e.booked_at, 1, a.moved_at) OVER accounts AS booked_before
            FROM (
                SELECT n.*, count(*) OVER (PARTITION BY n.ledger_account_id) AS entries
                FROM new_entries n WHERE n.version IS NOT NULL
            ) AS e JOIN ledger_accounts a ON a.id = e.ledger_account_id
            WHERE e.entries > 1 AND e.version > a.version
            WINDOW accounts AS (PARTITION BY e.ledger_account_id ORDER BY e.version)
        ), followed AS (
            SELECT ledger_account_id, count(*) AS entries, sum(change) AS change,
                   max(version) AS version, max(booked_at) AS booked_at
            FROM chained
            GROUP BY ledger_account_id
            HAVING bool_and(fits AND version = version_before + 1
                            AND balance_after = balance_before + change
                            AND booked_at >= booked_before
                            AND balance_after >= 0)
        ), applied AS (
            UPDATE ledger_accounts a
            SET balance = a.balance + m.change, version = m.version, moved_at = m.booked_at
            FROM followed m WHERE a.id = m.ledger_account_id
            RETURNING m.entries
        )
        SELECT v_moved + coalesce(sum(entries), 0) INTO v_moved FROM applied;
    END IF;
    IF v_moved <> v_running OR v_fixed_fit IS FALSE THEN
        PERFORM refuse('WL004', 'entry_does_not_fit_account',
                       jsonb_build_object('transfer_id', v_first));
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER entries_are_applied AFTER INSERT ON entries
    REFERENCING NEW TABLE AS new_entries
    FOR EACH STATEMENT EXECUTE FUNCTION apply_entries();
