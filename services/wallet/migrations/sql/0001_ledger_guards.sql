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

-- Balances move only from inside the trigger on entries, so none can move without its entry.
CREATE TRIGGER ledger_accounts_follow_entries BEFORE UPDATE ON ledger_accounts
    FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION forbid_change();
CREATE TRIGGER ledger_accounts_open_empty BEFORE INSERT ON ledger_accounts
    FOR EACH ROW WHEN (NEW.balance <> 0 OR NEW.version <> 0) EXECUTE FUNCTION forbid_change();

-- A hold ends once, and nothing about it but its end is ever written.
CREATE TRIGGER holds_end_once BEFORE UPDATE ON holds
    FOR EACH ROW WHEN (
        OLD.ended_by IS NOT NULL
        OR (OLD.subject, OLD.user_id, OLD.currency, OLD.amount, OLD.placed_by)
           IS DISTINCT FROM (NEW.subject, NEW.user_id, NEW.currency, NEW.amount, NEW.placed_by)
    ) EXECUTE FUNCTION forbid_change();

-- Checks the entries of one INSERT as a whole and moves the balances they touch. Rows reach this
-- trigger together, so it must find each transfer balanced per currency, which takes two legs or
-- more because none is zero (L1); in its ledger accounts' currency and scale (L2); and continuing
-- each account's versions and balances without a gap (L4).
CREATE FUNCTION apply_entries() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_fits boolean;
    v_continues boolean;
    v_accounts bigint;
    v_moved bigint;
BEGIN
    IF EXISTS (SELECT FROM new_entries GROUP BY transfer_id, currency HAVING sum(amount) <> 0) THEN
        PERFORM refuse('WL002', 'unbalanced_transfer');
    END IF;

    SELECT bool_and(a.currency IS NOT DISTINCT FROM e.currency
                    AND scale(e.amount) = a.exponent
                    AND (a.version IS NULL) = (e.version IS NULL)),
           bool_and(e.version IS NULL OR (
                    e.version = a.version + e.place
                    AND e.balance_after = a.balance + a.sign * e.amount_so_far
                    AND e.booked_at >= greatest(a.moved_at, e.booked_before))),
           count(DISTINCT e.ledger_account_id) FILTER (WHERE e.version IS NOT NULL)
    INTO v_fits, v_continues, v_accounts
    FROM (
        SELECT ledger_account_id, currency, amount, version, balance_after, booked_at,
               row_number() OVER by_version AS place, sum(amount) OVER by_version AS amount_so_far,
               lag(booked_at) OVER by_version AS booked_before
        FROM new_entries
        WINDOW by_version AS (PARTITION BY ledger_account_id ORDER BY version)
    ) e
    LEFT JOIN ledger_accounts a ON a.id = e.ledger_account_id;
    IF NOT v_fits THEN
        PERFORM refuse('WL004', 'entry_does_not_fit_account');
    END IF;
    IF NOT v_continues THEN
        PERFORM refuse('WL005', 'entry_does_not_continue_account');
    END IF;

    -- A balance that moved since it was read above is not written over.
    UPDATE ledger_accounts a
    SET balance = e.balance_after, version = e.version, moved_at = e.booked_at
    FROM (
        SELECT DISTINCT ON (ledger_account_id) ledger_account_id, version, balance_after, booked_at,
               min(version) OVER (PARTITION BY ledger_account_id) AS first_version
        FROM new_entries WHERE version IS NOT NULL
        ORDER BY ledger_account_id, version DESC
    ) e
    WHERE a.id = e.ledger_account_id AND a.version = e.first_version - 1;
    GET DIAGNOSTICS v_moved = ROW_COUNT;
    IF v_moved <> v_accounts THEN
        PERFORM refuse('WL005', 'entry_does_not_continue_account');
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER entries_are_applied AFTER INSERT ON entries
    REFERENCING NEW TABLE AS new_entries
    FOR EACH STATEMENT EXECUTE FUNCTION apply_entries();
