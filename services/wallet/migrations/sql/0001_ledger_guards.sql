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
-- trigger together, so it must find each transfer complete (L1), in its ledger accounts' currency
-- and scale (L2), and continuing each account's versions and balances without a gap (L4).
CREATE FUNCTION apply_entries() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_accounts bigint;
    v_moved bigint;
BEGIN
    IF EXISTS (SELECT FROM new_entries GROUP BY transfer_id, currency HAVING sum(amount) <> 0) THEN
        PERFORM refuse('WL002', 'unbalanced_transfer');
    END IF;
    IF EXISTS (SELECT FROM new_entries GROUP BY transfer_id HAVING count(*) < 2) THEN
        PERFORM refuse('WL003', 'single_legged_transfer');
    END IF;
    IF EXISTS (
        SELECT FROM new_entries e LEFT JOIN ledger_accounts a ON a.id = e.ledger_account_id
        WHERE a.currency IS DISTINCT FROM e.currency
           OR scale(e.amount) IS DISTINCT FROM a.exponent::integer
           OR (a.version IS NULL) <> (e.version IS NULL)
    ) THEN
        PERFORM refuse('WL004', 'entry_does_not_fit_account');
    END IF;

    SELECT count(DISTINCT ledger_account_id) INTO v_accounts
    FROM new_entries WHERE version IS NOT NULL;
    UPDATE ledger_accounts a
    SET balance = a.balance + a.sign * s.amount, version = s.last_version
    FROM (
        SELECT ledger_account_id, sum(amount) AS amount, count(*) AS entry_count,
               min(version) AS first_version, max(version) AS last_version
        FROM new_entries WHERE version IS NOT NULL GROUP BY ledger_account_id
    ) s
    WHERE a.id = s.ledger_account_id
      AND s.first_version = a.version + 1
      AND s.last_version = a.version + s.entry_count;
    GET DIAGNOSTICS v_moved = ROW_COUNT;
    IF v_moved <> v_accounts THEN
        PERFORM refuse('WL005', 'version_gap');
    END IF;

    IF EXISTS (
        SELECT FROM (
            SELECT ledger_account_id, balance_after,
                   coalesce(sum(amount) OVER (
                       PARTITION BY ledger_account_id ORDER BY version DESC
                       ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS amount_later
            FROM new_entries WHERE version IS NOT NULL
        ) e
        JOIN ledger_accounts a ON a.id = e.ledger_account_id
        WHERE e.balance_after <> a.balance - a.sign * e.amount_later
    ) THEN
        PERFORM refuse('WL006', 'balance_after_is_wrong');
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER entries_are_applied AFTER INSERT ON entries
    REFERENCING NEW TABLE AS new_entries
    FOR EACH STATEMENT EXECUTE FUNCTION apply_entries();
