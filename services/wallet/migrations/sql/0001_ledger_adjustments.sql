-- Manual adjustments: money given to or taken from a user by hand, because one operator asked for
-- it and another one agreed, and it is neither of theirs. Four eyes are kept here, whoever writes.

CREATE TABLE adjustments (
    id text PRIMARY KEY CHECK (id ~ '^adj_[0-9A-HJKMNP-TV-Z]{26}$'),
    user_id text NOT NULL,
    currency text NOT NULL,
    -- Above zero gives to the user, below zero takes from them.
    amount numeric NOT NULL CHECK (amount <> 0 AND abs(amount) < 'Infinity'),
    reason text NOT NULL CHECK (reason ~ '\S' AND length(reason) <= 1000),
    -- Ids of users have one spelling each, so that nobody is two people by writing a letter small.
    requested_by text NOT NULL CHECK (requested_by ~ '^usr_[0-9A-HJKMNP-TV-Z]{26}$'),
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    decision text CHECK (decision IN ('approved', 'refused')),
    decided_by text CHECK (decided_by ~ '^usr_[0-9A-HJKMNP-TV-Z]{26}$'),
    decided_at timestamptz,
    decision_reason text CHECK (decision_reason ~ '\S' AND length(decision_reason) <= 1000),
    transfer_id bigint UNIQUE,
    CONSTRAINT adjustments_take_two_people CHECK (decided_by <> requested_by),
    CONSTRAINT adjustments_are_of_somebody_else CHECK (
        requested_by <> user_id AND decided_by <> user_id
    ),
    CONSTRAINT adjustments_are_decided_whole CHECK (
        num_nulls(decision, decided_by, decided_at, decision_reason) IN (0, 4)
    ),
    CONSTRAINT adjustments_move_money_when_approved CHECK (
        transfer_id IS NULL OR decision IS NOT DISTINCT FROM 'approved'
    )
);
CREATE INDEX adjustments_open ON adjustments (id) WHERE decision IS NULL;
COMMENT ON TABLE adjustments IS
    'Requests to give or take money by hand, each with its one decision; append-only but for that.';

CREATE TRIGGER adjustments_begin_open BEFORE INSERT ON adjustments
    FOR EACH ROW WHEN (NEW.decision IS NOT NULL OR NEW.transfer_id IS NOT NULL)
    EXECUTE FUNCTION forbid_change();
CREATE TRIGGER adjustments_are_never_removed BEFORE DELETE OR TRUNCATE ON adjustments
    FOR EACH STATEMENT EXECUTE FUNCTION forbid_change();
-- Two changes only: the decision, and after an approval the transfer that it brought about.
CREATE TRIGGER adjustments_are_decided_once BEFORE UPDATE ON adjustments
    FOR EACH ROW WHEN (
        (OLD.id, OLD.user_id, OLD.currency, OLD.amount, OLD.reason, OLD.requested_by,
         OLD.requested_at)
        IS DISTINCT FROM
        (NEW.id, NEW.user_id, NEW.currency, NEW.amount, NEW.reason, NEW.requested_by,
         NEW.requested_at)
        OR (OLD.decision IS NULL AND (NEW.decision IS NULL OR NEW.transfer_id IS NOT NULL))
        OR (OLD.decision IS NOT NULL AND (
            OLD.transfer_id IS NOT NULL OR NEW.transfer_id IS NULL
            OR (OLD.decision, OLD.decided_by, OLD.decided_at, OLD.decision_reason)
               IS DISTINCT FROM
               (NEW.decision, NEW.decided_by, NEW.decided_at, NEW.decision_reason)))
    ) EXECUTE FUNCTION forbid_change();

-- When it commits, an approved adjustment has moved exactly its amount, in its direction.
CREATE FUNCTION check_adjustment_is_booked() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = wallet, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    v_adjustment adjustments;
BEGIN
    SELECT * INTO v_adjustment FROM adjustments WHERE id = NEW.id;
    IF v_adjustment.decision = 'approved' AND NOT EXISTS (
        SELECT FROM transfers t
        WHERE t.id = v_adjustment.transfer_id AND t.kind = 'adjustment'
          AND t.business_key = 'adjustment:' || v_adjustment.id
          AND t.user_id = v_adjustment.user_id AND t.currency = v_adjustment.currency
          AND v_adjustment.amount = (
              SELECT sum(e.amount)
              FROM entries e JOIN ledger_accounts a ON a.id = e.ledger_account_id
              WHERE e.transfer_id = t.id AND a.user_id = t.user_id)
    ) THEN
        PERFORM refuse('WL034', 'adjustment_not_booked', jsonb_build_object('id', NEW.id));
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER adjustments_are_booked_when_approved AFTER INSERT OR UPDATE ON adjustments
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_adjustment_is_booked();

-- No transfer is an adjustment but one that two people have decided; and none is undone by one
-- call: the way back is another adjustment. Without WHEN: that would be parsed for every posting.
CREATE FUNCTION check_adjustment_is_decided() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.kind = 'adjustment' THEN
        IF NOT EXISTS (
            SELECT FROM adjustments a
            WHERE a.id = substr(NEW.business_key, length('adjustment:') + 1)
              AND NEW.business_key = 'adjustment:' || a.id AND NEW.subject = a.id
              AND a.decision = 'approved' AND a.transfer_id IS NULL
              AND NEW.user_id = a.user_id AND NEW.currency = a.currency
              AND NEW.amount = abs(a.amount)
        ) THEN
            PERFORM refuse('WL033', 'adjustment_not_decided',
                           jsonb_build_object('business_key', NEW.business_key));
        END IF;
    ELSIF NEW.kind = 'reversal' THEN
        IF EXISTS (SELECT FROM transfers t WHERE t.id = NEW.reverses AND t.kind = 'adjustment') THEN
            PERFORM refuse('WL021', 'transfer_not_reversible',
                           jsonb_build_object('business_key', NEW.business_key));
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER transfers_adjust_only_what_was_decided BEFORE INSERT ON transfers
    FOR EACH ROW EXECUTE FUNCTION check_adjustment_is_decided();

-- Ask for money to be given (above zero) or taken (below zero) by hand. Nothing moves. A repeat
-- with the same id changes nothing; the same id for anything else is refused.
CREATE FUNCTION request_adjustment(
    p_id text, p_user_id text, p_amount numeric, p_currency text, p_reason text, p_operator text
) RETURNS adjustments
LANGUAGE plpgsql SECURITY DEFINER SET search_path = wallet, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    v_exponent integer;
    v_stored adjustments;
BEGIN
    IF p_operator = p_user_id THEN
        PERFORM refuse('WL036', 'own_adjustment', jsonb_build_object('id', p_id));
    END IF;
    SELECT exponent INTO v_exponent FROM currencies WHERE code = p_currency;
    IF NOT FOUND THEN
        PERFORM refuse('WL010', 'unknown_currency', jsonb_build_object('currency', p_currency));
    END IF;
    IF p_amount IS NULL OR p_amount = 0 OR NOT abs(p_amount) < 'Infinity'
        OR round(p_amount, v_exponent) <> p_amount
    THEN
        PERFORM refuse('WL011', 'invalid_amount');
    END IF;
    IF NOT EXISTS (
        SELECT FROM ledger_accounts
        WHERE user_id = p_user_id AND currency = p_currency AND kind = 'available'
    ) THEN
        PERFORM refuse('WL013', 'ledger_account_not_found',
                       jsonb_build_object('user_id', p_user_id, 'currency', p_currency));
    END IF;
    INSERT INTO adjustments (id, user_id, currency, amount, reason, requested_by)
    VALUES (p_id, p_user_id, p_currency, round(p_amount, v_exponent), p_reason, p_operator)
    ON CONFLICT (id) DO NOTHING
    RETURNING * INTO v_stored;
    IF NOT FOUND THEN
        SELECT * INTO STRICT v_stored FROM adjustments WHERE id = p_id;
        IF (v_stored.user_id, v_stored.currency, v_stored.amount, v_stored.reason,
            v_stored.requested_by)
            IS DISTINCT FROM (p_user_id, p_currency, p_amount, p_reason, p_operator)
        THEN
            PERFORM refuse('WL012', 'business_key_reused', jsonb_build_object('id', p_id));
        END IF;
    END IF;
    RETURN v_stored;
END $$;

-- Decide what somebody else asked for, once. An approval books it; what takes more than is
-- available is refused, and the request stays open. A repeat by the same operator changes nothing.
CREATE FUNCTION decide_adjustment(
    p_id text, p_operator text, p_approve boolean, p_reason text
) RETURNS adjustments
LANGUAGE plpgsql SECURITY DEFINER SET search_path = wallet, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    v_adjustment adjustments;
    v_booked posting;
    v_decision text := CASE p_approve WHEN true THEN 'approved' WHEN false THEN 'refused' END;
BEGIN
    SELECT * INTO v_adjustment FROM adjustments WHERE id = p_id FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM refuse('WL030', 'adjustment_not_found', jsonb_build_object('id', p_id));
    END IF;
    IF p_operator = v_adjustment.user_id THEN
        PERFORM refuse('WL036', 'own_adjustment', jsonb_build_object('id', p_id));
    END IF;
    IF p_operator = v_adjustment.requested_by THEN
        PERFORM refuse('WL031', 'adjustment_needs_two_people', jsonb_build_object('id', p_id));
    END IF;
    IF v_adjustment.decision IS NOT NULL THEN
        IF (v_adjustment.decision, v_adjustment.decided_by)
            IS DISTINCT FROM (v_decision, p_operator)
        THEN
            PERFORM refuse('WL032', 'adjustment_already_decided', jsonb_build_object(
                'id', p_id, 'decision', v_adjustment.decision));
        END IF;
        RETURN v_adjustment;
    END IF;
    UPDATE adjustments
    SET decision = v_decision, decided_by = p_operator, decided_at = clock_timestamp(),
        decision_reason = p_reason
    WHERE id = p_id
    RETURNING * INTO v_adjustment;
    IF p_approve THEN
        v_booked := book(
            'adjustment:' || p_id, 'adjustment', v_adjustment.user_id, abs(v_adjustment.amount),
            v_adjustment.currency, p_id, v_adjustment.decided_at, NULL,
            v_adjustment.amount, false, 0, 'adjustments', -v_adjustment.amount, NULL, NULL);
        UPDATE adjustments SET transfer_id = v_booked.transfer_id WHERE id = p_id
        RETURNING * INTO v_adjustment;
    END IF;
    RETURN v_adjustment;
END $$;

REVOKE ALL ON FUNCTION
    check_adjustment_is_booked(),
    check_adjustment_is_decided(),
    request_adjustment(text, text, numeric, text, text, text),
    decide_adjustment(text, text, boolean, text)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    request_adjustment(text, text, numeric, text, text, text),
    decide_adjustment(text, text, boolean, text)
TO wallet;
GRANT SELECT ON adjustments TO wallet;
