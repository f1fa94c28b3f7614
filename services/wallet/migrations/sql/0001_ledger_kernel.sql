-- The kernel: the only way in which money moves. The service's role may call the functions that
-- are SECURITY DEFINER (0001_ledger_functions.sql) and nothing else; one call is one round trip.

CREATE TYPE posting AS (
    transfer_id bigint,
    repeated boolean,
    currency text,
    available numeric
);

-- The row that each message becomes; the relay deletes what the broker has confirmed.
CREATE FUNCTION announce(p_messages jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_one jsonb := p_messages -> 0;
BEGIN
    -- Nearly always it is one; taking that apart as a set costs twice as much.
    IF jsonb_array_length(p_messages) = 1 THEN
        INSERT INTO outbox (message_id, event_type, aggregate_id, occurred_at, data,
                            correlation_id, causation_id, traceparent)
        VALUES (v_one ->> 'message_id', v_one ->> 'event_type', v_one ->> 'aggregate_id',
                (v_one ->> 'occurred_at')::timestamptz, v_one -> 'data',
                v_one ->> 'correlation_id', v_one ->> 'causation_id', v_one ->> 'traceparent');
    ELSE
        INSERT INTO outbox (message_id, event_type, aggregate_id, occurred_at, data,
                            correlation_id, causation_id, traceparent)
        SELECT message_id, event_type, aggregate_id, occurred_at, data,
               correlation_id, causation_id, traceparent
        FROM ROWS FROM (jsonb_to_recordset(p_messages) AS (
            message_id text, event_type text, aggregate_id text, occurred_at timestamptz,
            data jsonb, correlation_id text, causation_id text, traceparent text)
        ) WITH ORDINALITY AS m (message_id, event_type, aggregate_id, occurred_at, data,
                                correlation_id, causation_id, traceparent, place)
        ORDER BY place;
    END IF;
END $$;

-- What a business key has posted, for somebody who asks for the same again.
CREATE FUNCTION posted_before(
    p_business_key text, p_kind transfer_kind, p_user_id text, p_amount numeric, p_currency text,
    p_subject text
) RETURNS posting LANGUAGE plpgsql AS $$
DECLARE
    v_result posting;
    v_stored transfers;
BEGIN
    SELECT * INTO STRICT v_stored FROM transfers WHERE business_key = p_business_key;
    IF (v_stored.kind, v_stored.user_id, v_stored.amount, v_stored.currency, v_stored.subject)
        IS DISTINCT FROM (p_kind, p_user_id, p_amount, p_currency, p_subject)
    THEN
        PERFORM refuse('WL012', 'business_key_reused', jsonb_build_object(
            'business_key', p_business_key, 'stored_kind', v_stored.kind));
    END IF;
    SELECT balance INTO v_result.available FROM ledger_accounts
    WHERE user_id = p_user_id AND currency = p_currency AND kind = 'available';
    v_result.transfer_id := v_stored.id;
    v_result.repeated := true;
    v_result.currency := p_currency;
    RETURN v_result;
END $$;

-- Every posting has this one shape: it changes the user's own money (p_own: a credit repays
-- `receivable` first, a debit is taken from `available` and, where p_may_owe, the rest is owed),
-- the user's held money, and up to two system accounts. The trigger on entries proves that it is
-- balanced, and moves the balances.
--
-- The user's rows are locked in the order of their ids, `available` always among them and first, so
-- it is the lock of all that the user has in the currency. Reading them, and the system account
-- beside them, in one statement is worth a fifth of the whole.
CREATE FUNCTION book(
    p_business_key text, p_kind transfer_kind, p_user_id text, p_amount numeric, p_currency text,
    p_subject text, p_effective_at timestamptz, p_reverses bigint,
    p_own numeric, p_may_owe boolean, p_held numeric,
    p_system_kind ledger_account_kind, p_system_amount numeric,
    p_counter_kind ledger_account_kind, p_counter_amount numeric
) RETURNS posting LANGUAGE plpgsql AS $$
DECLARE
    v_result posting;
    v_exponent integer;
    v_booked_at timestamptz;
    v_system_id bigint;
    v_counter_id bigint;
    v_available_id bigint;
    v_available numeric;
    v_available_version bigint;
    v_held_id bigint;
    v_held numeric;
    v_held_version bigint;
    v_receivable_id bigint;
    v_receivable numeric;
    v_receivable_version bigint;
    v_to_available numeric := p_own;
    v_to_receivable numeric := 0;
BEGIN
    IF p_user_id IS NULL THEN
        SELECT s.id, s.exponent INTO v_system_id, v_exponent FROM ledger_accounts s
        WHERE s.user_id IS NULL AND s.currency = p_currency AND s.kind = p_system_kind;
    ELSE
        IF p_held = 0 THEN
            SELECT a.exponent, a.id, a.balance, a.version, r.id, r.balance, r.version,
                   greatest(a.moved_at, r.moved_at), s.id
            INTO v_exponent, v_available_id, v_available, v_available_version,
                 v_receivable_id, v_receivable, v_receivable_version, v_booked_at, v_system_id
            FROM ledger_accounts a
            JOIN ledger_accounts r
                ON r.user_id = p_user_id AND r.currency = p_currency AND r.kind = 'receivable'
            JOIN ledger_accounts s
                ON s.user_id IS NULL AND s.currency = p_currency AND s.kind = p_system_kind
            WHERE a.user_id = p_user_id AND a.currency = p_currency AND a.kind = 'available'
            FOR UPDATE OF a, r;
        ELSE
            SELECT a.exponent, a.id, a.balance, a.version, h.id, h.balance, h.version,
                   r.id, r.balance, r.version, greatest(a.moved_at, h.moved_at, r.moved_at), s.id
            INTO v_exponent, v_available_id, v_available, v_available_version,
                 v_held_id, v_held, v_held_version, v_receivable_id, v_receivable,
                 v_receivable_version, v_booked_at, v_system_id
            FROM ledger_accounts a
            JOIN ledger_accounts h
                ON h.user_id = p_user_id AND h.currency = p_currency AND h.kind = 'held'
            JOIN ledger_accounts r
                ON r.user_id = p_user_id AND r.currency = p_currency AND r.kind = 'receivable'
            LEFT JOIN ledger_accounts s
                ON s.user_id IS NULL AND s.currency = p_currency AND s.kind = p_system_kind
            WHERE a.user_id = p_user_id AND a.currency = p_currency AND a.kind = 'available'
            FOR UPDATE OF a, h, r;
        END IF;
        IF NOT FOUND THEN
            SELECT exponent INTO v_exponent FROM currencies WHERE code = p_currency;
        END IF;
    END IF;
    IF v_exponent IS NULL THEN
        PERFORM refuse('WL010', 'unknown_currency', jsonb_build_object('currency', p_currency));
    END IF;
    IF p_amount IS NULL OR NOT p_amount > 0 OR p_amount = 'Infinity' OR p_amount = 'NaN'
        OR round(p_amount, v_exponent) <> p_amount
    THEN
        PERFORM refuse('WL011', 'invalid_amount');
    END IF;

    INSERT INTO transfers (business_key, kind, user_id, amount, currency, subject, reverses,
                           effective_at)
    VALUES (p_business_key, p_kind, p_user_id, round(p_amount, v_exponent), p_currency, p_subject,
            p_reverses, p_effective_at)
    ON CONFLICT (business_key) DO NOTHING
    RETURNING id INTO v_result.transfer_id;
    IF NOT FOUND THEN
        RETURN posted_before(p_business_key, p_kind, p_user_id, p_amount, p_currency, p_subject);
    END IF;

    IF p_user_id IS NOT NULL THEN
        IF v_available IS NULL THEN
            PERFORM refuse('WL013', 'ledger_account_not_found',
                           jsonb_build_object('user_id', p_user_id, 'currency', p_currency));
        END IF;
        IF p_own > 0 THEN
            v_to_receivable := least(p_own, v_receivable);
            v_to_available := p_own - v_to_receivable;
        ELSIF p_own < -v_available THEN
            IF NOT p_may_owe THEN
                PERFORM refuse('WL014', 'insufficient_funds', jsonb_build_object(
                    'available', v_available::text, 'currency', p_currency));
            END IF;
            v_to_receivable := p_own + v_available;
            v_to_available := -v_available;
        END IF;
    END IF;
    IF p_counter_kind IS NOT NULL THEN
        SELECT id INTO v_counter_id FROM ledger_accounts
        WHERE user_id IS NULL AND currency = p_currency AND kind = p_counter_kind;
    END IF;

    -- Taken under the lock, and never before what was booked last: clocks are set back at times.
    v_booked_at := greatest(v_booked_at, clock_timestamp());
    INSERT INTO entries (transfer_id, leg, ledger_account_id, currency, amount, version,
                         balance_after, booked_at)
    SELECT v_result.transfer_id, leg, id, p_currency, round(amount, v_exponent), version,
           balance_after, v_booked_at
    FROM (VALUES
        (1::smallint, v_system_id, p_system_amount, NULL::bigint, NULL::numeric),
        (2::smallint, v_counter_id, p_counter_amount, NULL, NULL),
        (3::smallint, v_available_id, v_to_available, v_available_version + 1,
         v_available + v_to_available),
        (4::smallint, v_held_id, p_held, v_held_version + 1, v_held + p_held),
        (5::smallint, v_receivable_id, v_to_receivable, v_receivable_version + 1,
         v_receivable - v_to_receivable)
    ) AS legs (leg, id, amount, version, balance_after)
    WHERE amount <> 0;

    v_result.repeated := false;
    v_result.currency := p_currency;
    v_result.available := v_available + v_to_available;
    RETURN v_result;
END $$;
