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
-- more because none is zero (L1). Each entry must have its ledger account's currency and scale
-- (L2) and go on from where the account stands: version, balance and time (L4). One statement for
-- each entry costs a third of what set-wise joins over the transition table do.
CREATE FUNCTION apply_entries() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_entry record;
BEGIN
    IF EXISTS (SELECT FROM new_entries GROUP BY transfer_id, currency HAVING sum(amount) <> 0) THEN
        PERFORM refuse('WL002', 'unbalanced_transfer');
    END IF;

    FOR v_entry IN SELECT * FROM new_entries ORDER BY ledger_account_id, version LOOP
        IF v_entry.version IS NULL THEN
            PERFORM FROM ledger_accounts a
            WHERE a.id = v_entry.ledger_account_id AND a.version IS NULL
              AND a.currency = v_entry.currency AND a.exponent = scale(v_entry.amount);
        ELSE
            UPDATE ledger_accounts a
            SET balance = v_entry.balance_after, version = v_entry.version,
                moved_at = v_entry.booked_at
            WHERE a.id = v_entry.ledger_account_id
              AND a.currency = v_entry.currency AND a.exponent = scale(v_entry.amount)
              AND a.version = v_entry.version - 1
              AND a.balance + a.sign * v_entry.amount = v_entry.balance_after
              AND a.moved_at <= v_entry.booked_at;
        END IF;
        IF NOT FOUND THEN
            PERFORM refuse('WL004', 'entry_does_not_fit_account', jsonb_build_object(
                'transfer_id', v_entry.transfer_id, 'leg', v_entry.leg));
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

CREATE TRIGGER entries_are_applied AFTER INSERT ON entries
    REFERENCING NEW TABLE AS new_entries
    FOR EACH STATEMENT EXECUTE FUNCTION apply_entries();
