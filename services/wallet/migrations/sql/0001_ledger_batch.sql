-- The batch door: many postings of the kinds that lack of money cannot refuse, by sets. What it
-- leaves behind is what the same postings one by one would; all of them are booked or none.

CREATE TYPE posting_request AS (
    place bigint,
    transfer_id bigint,
    business_key text,
    kind transfer_kind,
    user_id text,
    amount numeric,
    currency text,
    subject text,
    effective_at timestamptz
);

-- The first thing that is wrong with a batch, as one of its postings would have been refused.
CREATE FUNCTION check_batch(p_requests posting_request[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_wrong record;
BEGIN
    SELECT place, state INTO v_wrong
    FROM (
        SELECT r.place,
            CASE WHEN r.kind IS NULL
                      OR r.kind NOT IN ('deposit', 'fee', 'fee_return', 'suspense', 'settlement')
                     THEN 'WL016'
                 WHEN (r.user_id IS NOT NULL) <> (r.kind IN ('deposit', 'settlement'))
                     THEN 'WL015'
                 WHEN c.code IS NULL THEN 'WL010'
                 WHEN r.amount IS NULL OR NOT r.amount > 0
                      OR r.amount IN ('NaN', 'Infinity') OR scale(r.amount) <> c.exponent
                     THEN 'WL011'
                 WHEN (r.kind = 'settlement') <> (r.business_key = 'hold_end:' || r.subject)
                      OR split_part(r.business_key, ':', 1) IN ('hold', 'reversal', 'adjustment')
                     THEN 'WL012'
            END AS state
        FROM unnest(p_requests) r LEFT JOIN currencies c ON c.code = r.currency
    ) AS checked
    WHERE state IS NOT NULL
    ORDER BY place LIMIT 1;
    IF FOUND THEN
        PERFORM refuse(v_wrong.state,
                       CASE v_wrong.state
                           WHEN 'WL016' THEN 'unknown_posting' WHEN 'WL015' THEN 'user_missing'
                           WHEN 'WL010' THEN 'unknown_currency' WHEN 'WL011' THEN 'invalid_amount'
                           ELSE 'business_key_reused' END,
                       jsonb_build_object('place', v_wrong.place));
    END IF;
END $$;

-- The requests that came before must have been for the same thing then.
CREATE FUNCTION check_repeats(p_requests posting_request[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_key text;
BEGIN
    SELECT r.business_key INTO v_key
    FROM unnest(p_requests) r JOIN transfers t ON t.business_key = r.business_key
    WHERE (t.kind, t.user_id, t.amount, t.currency, t.subject)
          IS DISTINCT FROM (r.kind, r.user_id, r.amount, r.currency, r.subject)
    ORDER BY r.place LIMIT 1;
    IF FOUND THEN
        PERFORM refuse('WL012', 'business_key_reused', jsonb_build_object('business_key', v_key));
    END IF;
END $$;

-- The entries of a batch in one INSERT. A user's postings follow one another: each credit repays
-- what the credits before it left of the receivable, each settlement is taken from what was held
-- after the one before it, and nothing is booked before what was booked last. Returns what is
-- available after each posting, in the order of p_fresh.
CREATE FUNCTION book_batch(p_fresh posting_request[], p_booked_at timestamptz) RETURNS numeric[]
LANGUAGE plpgsql AS $$
DECLARE
    v_available numeric[];
BEGIN
    WITH movements AS (
        SELECT f.place, f.transfer_id, f.kind, f.amount, f.currency,
               a.id AS available_id, a.balance AS available, a.version AS available_version,
               h.id AS held_id, h.balance AS held, h.version AS held_version,
               r.id AS receivable_id, r.balance AS receivable, r.version AS receivable_version,
               greatest(p_booked_at, a.moved_at, h.moved_at, r.moved_at) AS booked_at,
               CASE f.kind WHEN 'deposit' THEN f.amount ELSE 0 END AS credit,
               CASE f.kind WHEN 'settlement' THEN f.amount ELSE 0 END AS settled
        FROM unnest(p_fresh) f
        LEFT JOIN ledger_accounts a
            ON a.user_id = f.user_id AND a.currency = f.currency AND a.kind = 'available'
        LEFT JOIN ledger_accounts h
            ON h.user_id = f.user_id AND h.currency = f.currency AND h.kind = 'held'
        LEFT JOIN ledger_accounts r
            ON r.user_id = f.user_id AND r.currency = f.currency AND r.kind = 'receivable'
    ), running AS (
        SELECT m.*, sum(credit) OVER so_far AS credits, sum(settled) OVER so_far AS settlements,
               least(sum(credit) OVER so_far, receivable) AS repaid
        FROM movements m
        WINDOW so_far AS (PARTITION BY available_id ORDER BY place ROWS UNBOUNDED PRECEDING)
    ), split AS (
        SELECT u.*, repaid - least(credits - credit, receivable) AS to_receivable
        FROM running u
    ), numbered AS MATERIALIZED (
        SELECT s.*, credit - to_receivable AS to_available,
               available_version
                   + count(*) FILTER (WHERE credit > to_receivable) OVER so_far AS available_next,
               held_version + count(*) FILTER (WHERE settled > 0) OVER so_far AS held_next,
               receivable_version
                   + count(*) FILTER (WHERE to_receivable > 0) OVER so_far AS receivable_next
        FROM split s
        WINDOW so_far AS (PARTITION BY available_id ORDER BY place ROWS UNBOUNDED PRECEDING)
    ), systems AS MATERIALIZED (
        SELECT currency, kind, id FROM ledger_accounts
        WHERE user_id IS NULL AND currency IN (SELECT currency FROM unnest(p_fresh))
    ), stored AS (
        INSERT INTO entries (transfer_id, leg, ledger_account_id, currency, amount, version,
                             balance_after, booked_at)
        SELECT transfer_id, CASE kind WHEN 'fee' THEN 2 ELSE 1 END, (SELECT s.id FROM systems s WHERE s.currency = n.currency
                                AND s.kind = 'provider_clearing'),
               currency, CASE WHEN kind IN ('settlement', 'fee') THEN amount ELSE -amount END,
               NULL::bigint, NULL::numeric, booked_at
        FROM numbered n
        UNION ALL
        SELECT transfer_id, CASE kind WHEN 'fee' THEN 1 ELSE 2 END, (SELECT s.id FROM systems s WHERE s.currency = n.currency
                                AND s.kind = CASE n.kind WHEN 'suspense'
                                    THEN 'suspense'::ledger_account_kind
                                    ELSE 'provider_fees' END),
               currency, CASE kind WHEN 'fee' THEN -amount ELSE amount END, NULL, NULL, booked_at
        FROM numbered n WHERE kind IN ('suspense', 'fee', 'fee_return')
        UNION ALL
        SELECT transfer_id, 3, available_id, currency, to_available, available_next,
               available + credits - repaid, booked_at
        FROM numbered WHERE to_available > 0
        UNION ALL
        SELECT transfer_id, 4, held_id, currency, -settled, held_next, held - settlements,
               booked_at
        FROM numbered WHERE settled > 0
        UNION ALL
        SELECT transfer_id, 5, receivable_id, currency, to_receivable, receivable_next,
               receivable - repaid, booked_at
        FROM numbered WHERE to_receivable > 0
    )
    SELECT array_agg(available + credits - repaid ORDER BY place) INTO v_available FROM numbered;
    RETURN v_available;
END $$;

-- The holds of a batch's settlements end, each whole; their keys have seen to it that none ends
-- twice.
CREATE FUNCTION end_holds(p_fresh posting_request[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_ended bigint;
    v_subjects text[];
BEGIN
    SELECT array_agg(f.subject) INTO v_subjects FROM unnest(p_fresh) f WHERE f.kind = 'settlement';
    IF v_subjects IS NULL THEN
        RETURN;
    END IF;
    -- Found by their subjects and by nothing else: a walk along the open holds would be a read of
    -- all of them, which every hold that is placed meanwhile would break.
    UPDATE holds h
    SET ended_by = f.transfer_id, outcome = 'settled', settled_amount = f.amount
    FROM unnest(p_fresh) f
    WHERE f.kind = 'settlement' AND h.subject = f.subject AND h.subject = ANY(v_subjects)
      AND h.ended_by IS NULL
      AND (h.user_id, h.amount, h.currency) = (f.user_id, f.amount, f.currency);
    GET DIAGNOSTICS v_ended = ROW_COUNT;
    IF v_ended <> cardinality(v_subjects) THEN
        PERFORM refuse('WL017', 'hold_not_found');
    END IF;
END $$;

-- Post many transfers in one unit of work.
--
-- p_postings is an array of {business_key, kind, user_id, amount, currency, subject, effective_at},
-- each key once, of the kinds deposit, fee, fee_return, suspense and settlement (of a whole hold:
-- the subject is the hold's). p_messages is an array of outbox rows, each with the `place` (from 1)
-- of the posting it announces: stored only if that one is no repeat.
CREATE FUNCTION post_transfers(p_postings jsonb, p_messages jsonb DEFAULT NULL)
RETURNS TABLE (place bigint, repeated boolean, available numeric)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = wallet, pg_temp
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    v_requests posting_request[];
    v_fresh posting_request[];
    v_locked bigint;
    v_available numeric[];
    v_messages jsonb;
BEGIN
    SELECT array_agg(ROW(p.place, NULL, p.business_key, p.kind, p.user_id,
                         round(p.amount, greatest(min_scale(p.amount), c.exponent)), p.currency,
                         p.subject, p.effective_at)::posting_request ORDER BY p.business_key)
    INTO v_requests
    FROM ROWS FROM (jsonb_to_recordset(p_postings) AS (
        business_key text, kind transfer_kind, user_id text, amount numeric, currency text,
        subject text, effective_at timestamptz)
    ) WITH ORDINALITY AS p (business_key, kind, user_id, amount, currency, subject, effective_at,
                            place)
    LEFT JOIN currencies c ON c.code = p.currency;
    IF v_requests IS NULL THEN
        RETURN;
    END IF;
    PERFORM check_batch(v_requests);

    -- `available` is the lock of all that a user has in a currency; in the order of their ids, and
    -- before the keys, as every posting locks.
    SELECT count(*) INTO v_locked
    FROM (
        SELECT FROM ledger_accounts a
        JOIN (SELECT DISTINCT r.user_id, r.currency FROM unnest(v_requests) r
              WHERE r.user_id IS NOT NULL) u
            ON a.user_id = u.user_id AND a.currency = u.currency AND a.kind = 'available'
        ORDER BY a.id FOR UPDATE OF a
    ) AS locked;
    IF v_locked <> (
        SELECT count(DISTINCT (r.user_id, r.currency)) FROM unnest(v_requests) r
        WHERE r.user_id IS NOT NULL
    ) THEN
        PERFORM refuse('WL013', 'ledger_account_not_found');
    END IF;

    -- Keys are claimed in their own order, so that two batches cannot wait for each other.
    WITH claimed AS (
        INSERT INTO transfers (business_key, kind, user_id, amount, currency, subject,
                               effective_at)
        SELECT r.business_key, r.kind, r.user_id, r.amount, r.currency, r.subject, r.effective_at
        FROM unnest(v_requests) r
        ON CONFLICT (business_key) DO NOTHING
        RETURNING id, business_key
    )
    SELECT array_agg(ROW(r.place, c.id, r.business_key, r.kind, r.user_id, r.amount, r.currency,
                         r.subject, r.effective_at)::posting_request ORDER BY r.place)
    INTO v_fresh
    FROM unnest(v_requests) r JOIN claimed c ON c.business_key = r.business_key;
    IF v_fresh IS NULL OR cardinality(v_fresh) < cardinality(v_requests) THEN
        PERFORM check_repeats(v_requests);
    END IF;

    IF v_fresh IS NOT NULL THEN
        PERFORM end_holds(v_fresh);
        v_available := book_batch(v_fresh, clock_timestamp());
        IF p_messages IS NOT NULL THEN
            SELECT jsonb_agg(m.message ORDER BY m.position) INTO v_messages
            FROM jsonb_array_elements(p_messages) WITH ORDINALITY AS m (message, position)
            JOIN unnest(v_fresh) f ON f.place = (m.message ->> 'place')::bigint;
            IF v_messages IS NOT NULL THEN
                PERFORM announce(v_messages);
            END IF;
        END IF;
    END IF;
    IF cardinality(v_fresh) = cardinality(v_requests) THEN
        RETURN QUERY
            SELECT f.place, false, f.available
            FROM ROWS FROM (unnest(v_fresh), unnest(v_available)) AS f (
                place, transfer_id, business_key, kind, user_id, amount, currency, subject,
                effective_at, available);
        RETURN;
    END IF;
    RETURN QUERY
        SELECT r.place, f.place IS NULL, coalesce(f.available, a.balance)
        FROM unnest(v_requests) r
        LEFT JOIN ledger_accounts a
            ON a.user_id = r.user_id AND a.currency = r.currency AND a.kind = 'available'
        LEFT JOIN ROWS FROM (unnest(v_fresh), unnest(v_available)) AS f (
            place, transfer_id, business_key, kind, user_id, amount, currency, subject,
            effective_at, available) ON f.place = r.place
        ORDER BY r.place;
END $$;
