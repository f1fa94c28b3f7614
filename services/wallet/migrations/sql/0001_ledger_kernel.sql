-- The kernel: the only way in which money moves. The service's role may call the functions that
-- are SECURITY DEFINER and nothing else; one call is one round trip.

CREATE TYPE posting AS (
    transfer_id bigint,
    repeated boolean,
    currency text,
    available numeric,
    held numeric,
    receivable numeric
);

CREATE FUNCTION balances_of(p_user_id text, p_currency text) RETURNS posting
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_result posting;
BEGIN
    SELECT NULL::bigint, NULL::boolean, p_currency,
           max(balance) FILTER (WHERE kind = 'available'),
           max(balance) FILTER (WHERE kind = 'held'),
           max(balance) FILTER (WHERE kind = 'receivable')
    INTO v_result
    FROM ledger_accounts WHERE user_id = p_user_id AND currency = p_currency;
    RETURN v_result;
END $$;

CREATE FUNCTION announce(p_messages jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO outbox (message_id, event_type, aggregate_id, occurred_at, data,
                        correlation_id, causation_id, traceparent)
    SELECT message_id, event_type, aggregate_id, occurred_at, data,
           correlation_id, causation_id, traceparent
    FROM jsonb_to_recordset(p_messages) AS m (
        message_id text, event_type text, aggregate_id text, occurred_at timestamptz, data jsonb,
        correlation_id text, causation_id text, traceparent text);
END $$;

-- Every posting has this one shape: it changes the user's own money (p_own: a credit repays
-- `receivable` first, a debit is taken from `available` and, where p_may_owe, the rest is owed),
-- the user's held money, and system accounts. The trigger on entries proves that it is balanced.
CREATE FUNCTION book(
    p_business_key text, p_kind text, p_user_id text, p_amount numeric, p_currency text,
    p_subject text, p_effective_at timestamptz, p_reverses bigint,
    p_own numeric, p_may_owe boolean, p_held numeric,
    p_system_kinds text[], p_system_amounts numeric[]
) RETURNS posting LANGUAGE plpgsql AS $$
DECLARE
    v_result posting;
    v_stored transfers;
    v_exponent integer;
    v_booked_at timestamptz;
    v_account ledger_accounts;
    v_available ledger_accounts;
    v_held ledger_accounts;
    v_receivable ledger_accounts;
    v_to_available numeric := 0;
    v_to_receivable numeric := 0;
BEGIN
    SELECT exponent INTO v_exponent FROM currencies WHERE code = p_currency;
    IF NOT FOUND THEN
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
        SELECT * INTO STRICT v_stored FROM transfers WHERE business_key = p_business_key;
        IF (v_stored.kind, v_stored.user_id, v_stored.amount, v_stored.currency, v_stored.subject)
            IS DISTINCT FROM (p_kind, p_user_id, p_amount, p_currency, p_subject)
        THEN
            PERFORM refuse('WL012', 'business_key_reused', jsonb_build_object(
                'business_key', p_business_key, 'stored_kind', v_stored.kind));
        END IF;
        v_result := balances_of(p_user_id, p_currency);
        v_result.transfer_id := v_stored.id;
        v_result.repeated := true;
        RETURN v_result;
    END IF;

    IF p_user_id IS NOT NULL THEN
        FOR v_account IN
            SELECT * FROM ledger_accounts
            WHERE user_id = p_user_id AND currency = p_currency
            ORDER BY id FOR UPDATE
        LOOP
            CASE v_account.kind
                WHEN 'available' THEN v_available := v_account;
                WHEN 'held' THEN v_held := v_account;
                WHEN 'receivable' THEN v_receivable := v_account;
            END CASE;
        END LOOP;
        IF v_available.id IS NULL OR v_held.id IS NULL OR v_receivable.id IS NULL THEN
            PERFORM refuse('WL013', 'ledger_account_not_found',
                           jsonb_build_object('user_id', p_user_id, 'currency', p_currency));
        END IF;
    END IF;

    IF p_own > 0 THEN
        v_to_receivable := least(p_own, v_receivable.balance);
        v_to_available := p_own - v_to_receivable;
    ELSIF p_own < 0 THEN
        v_to_available := -least(-p_own, v_available.balance);
        v_to_receivable := p_own - v_to_available;
        IF v_to_receivable < 0 AND NOT p_may_owe THEN
            PERFORM refuse('WL014', 'insufficient_funds', jsonb_build_object(
                'available', v_available.balance::text, 'currency', p_currency));
        END IF;
    END IF;

    -- Taken under the locks, and never before what was booked last: clocks are set back at times.
    v_booked_at := greatest(clock_timestamp(), v_available.moved_at, v_held.moved_at,
                            v_receivable.moved_at);
    INSERT INTO entries (transfer_id, leg, ledger_account_id, currency, amount, version,
                         balance_after, booked_at)
    SELECT v_result.transfer_id, row_number() OVER (), legs.id, p_currency,
           round(legs.amount, v_exponent), legs.version, legs.balance_after, v_booked_at
    FROM (
        SELECT s.id, s_amount.amount, NULL::bigint AS version,
               NULL::numeric AS balance_after
        FROM unnest(p_system_kinds, p_system_amounts) AS s_amount (kind, amount)
        JOIN ledger_accounts s
            ON s.user_id IS NULL AND s.currency = p_currency AND s.kind = s_amount.kind
        UNION ALL
        VALUES (v_available.id, v_to_available, v_available.version + 1,
                v_available.balance + v_to_available),
               (v_held.id, p_held, v_held.version + 1, v_held.balance + p_held),
               (v_receivable.id, v_to_receivable, v_receivable.version + 1,
                v_receivable.balance - v_to_receivable)
    ) AS legs
    WHERE legs.amount <> 0;

    v_result.repeated := false;
    v_result.currency := p_currency;
    v_result.available := v_available.balance + v_to_available;
    v_result.held := v_held.balance + p_held;
    v_result.receivable := v_receivable.balance - v_to_receivable;
    RETURN v_result;
END $$;
