-- The batch door: many postings of the kinds that lack of money cannot refuse, by sets. What it
-- leaves behind is what the same postings one by one would; all of them are booked or none.
--
-- Each step hands the next one an array that is in the order of business keys, so what belongs
-- together is found by its position; joins on keys would cost more than the rows.

CREATE TYPE posting_request AS (
    place bigint,
    business_key text,
    kind transfer_kind,
    user_id text,
    amount numeric,
    currency text,
    subject text,
    effective_at timestamptz,
    clearing_id bigint,
    counter_id bigint,
    available_id bigint,
    available numeric,
    available_version bigint,
    held_id bigint,
    held numeric,
    held_version bigint,
    receivable_id bigint,
    receivable numeric,
    receivable_version bigint,
    moved_at timestamptz
);

-- Read a batch, in the order of business keys, and refuse it for the first posting that would have
-- been refused by itself for what it says.
CREATE FUNCTION read_batch(p_postings jsonb) RETURNS posting_request[] LANGUAGE plpgsql AS $$
DECLARE
    v_requests posting_request[];
    v_place bigint;
    v_state text;
BEGIN
    WITH given AS MATERIALIZED (
        SELECT p.* FROM ROWS FROM (jsonb_to_recordset(p_postings) AS (
            business_key text, kind transfer_kind, user_id text, amount numeric, currency text,
            subject text, effective_at timestamptz)
        ) WITH ORDINALITY AS p (business_key, kind, user_id, amount, currency, subject,
                                effective_at, place)
    ), systems AS MATERIALIZED (
        SELECT s.currency, s.exponent,
               max(s.id) FILTER (WHERE s.kind = 'provider_clearing') AS clearing_id,
               max(s.id) FILTER (WHERE s.kind = 'provider_fees') AS fees_id,
               max(s.id) FILTER (WHERE s.kind = 'suspense') AS suspense_id
        FROM ledger_accounts s
        WHERE s.user_id IS NULL AND s.currency = ANY (ARRAY(SELECT DISTINCT currency FROM given))
        GROUP BY s.currency, s.exponent
    ), checked AS (
        SELECT g.*, s.exponent, s.clearing_id,
            CASE WHEN g.kind = 'suspense' THEN s.suspense_id
                 WHEN g.kind IN ('fee', 'fee_return') THEN s.fees_id END AS counter_id,
            CASE WHEN g.kind IS NULL
                      OR g.kind NOT IN ('deposit', 'fee', 'fee_return', 'suspense', 'settlement')
                     THEN 'WL016'
                 WHEN (g.user_id IS NOT NULL) <> (g.kind IN ('deposit', 'settlement'))
                     THEN 'WL015'
                 WHEN s.currency IS NULL THEN 'WL010'
                 WHEN g.amount IS NULL OR NOT g.amount > 0 OR g.amount IN ('NaN', 'Infinity')
                      OR round(g.amount, s.exponent) <> g.amount
                     THEN 'WL011'
                 WHEN (g.kind = 'settlement') <> (g.business_key = 'hold_end:' || g.subject)
                      OR split_part(g.business_key, ':', 1) IN ('hold', 'reversal', 'adjustment')
                     THEN 'WL012'
            END AS state
        FROM given g LEFT JOIN systems s ON s.currency = g.currency
    )
    SELECT array_agg(ROW(place, business_key, kind, user_id, round(amount, exponent), currency,
                         subject, effective_at, clearing_id, counter_id, NULL, NULL, NULL, NULL,
                         NULL, NULL, NULL, NULL, NULL, NULL)::posting_request
                     ORDER BY business_key),
           min(place) FILTER (WHERE state IS NOT NULL),
           (array_agg(state ORDER BY place) FILTER (WHERE state IS NOT NULL))[1]
    INTO v_requests, v_place, v_state
    FROM checked;
    IF v_state IS NOT NULL THEN
        PERFORM refuse(v_state,
                       CASE v_state
                           WHEN 'WL016' THEN 'unknown_posting' WHEN 'WL015' THEN 'user_missing'
                           WHEN 'WL010' THEN 'unknown_currency' WHEN 'WL011' THEN 'invalid_amount'
                           ELSE 'business_key_reused' END,
                       jsonb_build_object('place', v_place));
    END IF;
    RETURN v_requests;
END $$;

-- Lock the users of a batch, in the order of their accounts' ids and before any key is claimed, as
-- every posting locks: `available` is the lock of all that a user has in a currency. What else is
-- moved is locked as well: whoever had `available` before may have moved that and not `available`,
-- and one who waited must learn here that what it read is old. Returns the batch, in the order of
-- business keys, with where its users stand.
CREATE FUNCTION lock_batch(p_requests posting_request[]) RETURNS posting_request[]
LANGUAGE plpgsql AS $$
DECLARE
    v_located posting_request[];
    v_others posting_request[];
    v_moved_beside bigint[];
BEGIN
    SELECT array_agg(ROW(place, business_key, kind, user_id, amount, currency, subject,
                         effective_at, clearing_id, counter_id, available_id, available,
                         available_version, held_id, held, held_version, receivable_id, receivable,
                         receivable_version, moved_at)::posting_request ORDER BY business_key),
           array_agg(held_id) FILTER (WHERE held_id IS NOT NULL)
               || array_agg(receivable_id) FILTER (WHERE receivable > 0)
    INTO v_located, v_moved_beside
    FROM (
        SELECT q.place, q.business_key, q.kind, q.user_id, q.amount, q.currency, q.subject,
               q.effective_at, q.clearing_id, q.counter_id, a.id AS available_id,
               a.balance AS available, a.version AS available_version, h.id AS held_id,
               h.balance AS held, h.version AS held_version, r.id AS receivable_id,
               r.balance AS receivable, r.version AS receivable_version,
               greatest(a.moved_at, h.moved_at, r.moved_at) AS moved_at
        FROM unnest(p_requests) q
        JOIN ledger_accounts a
            ON a.user_id = q.user_id AND a.currency = q.currency AND a.kind = 'available'
        JOIN ledger_accounts r
            ON r.user_id = q.user_id AND r.currency = q.currency AND r.kind = 'receivable'
        -- Looked for only where it is settled from.
        LEFT JOIN ledger_accounts h
            ON h.user_id = CASE q.kind WHEN 'settlement' THEN q.user_id END
            AND h.currency = q.currency AND h.kind = 'held'
        ORDER BY a.id FOR UPDATE OF a
    ) AS locked;
    IF v_moved_beside IS NOT NULL THEN
        PERFORM FROM ledger_accounts WHERE id = ANY (v_moved_beside) ORDER BY id FOR UPDATE;
    END IF;
    IF cardinality(v_located) = cardinality(p_requests) THEN
        RETURN v_located;
    END IF;
    SELECT array_agg(q) INTO v_others FROM unnest(p_requests) q WHERE q.user_id IS NULL;
    v_located := v_located || v_others;
    IF coalesce(cardinality(v_located), 0) <> cardinality(p_requests) THEN
        PERFORM refuse('WL013', 'ledger_account_not_found');
    END IF;
    RETURN (SELECT array_agg(q ORDER BY q.business_key) FROM unnest(v_located) q);
END $$;

-- Claim the business keys, in their own order, so that two batches cannot wait for each other.
-- Returns the transfers' ids by the places of the keys in the batch, NULL for one that was posted
-- before, which must have been for the same thing then.
CREATE FUNCTION claim_batch(p_requests posting_request[]) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    v_ids bigint[];
    v_keys text[];
    v_key text;
BEGIN
    WITH claimed AS (
        INSERT INTO transfers (business_key, kind, user_id, amount, currency, subject,
                               effective_at)
        SELECT q.business_key, q.kind, q.user_id, q.amount, q.currency, q.subject, q.effective_at
        FROM unnest(p_requests) q
        ON CONFLICT (business_key) DO NOTHING
        RETURNING id, business_key
    )
    SELECT array_agg(id ORDER BY id), array_agg(business_key ORDER BY id) INTO v_ids, v_keys
    FROM claimed;
    -- Ids are given in the order of insertion, so they stand where they belong unless one is missing.
    IF v_keys = (SELECT array_agg(q.business_key) FROM unnest(p_requests) q) THEN
        RETURN v_ids;
    END IF;
    SELECT q.business_key INTO v_key FROM unnest(p_requests) q
    GROUP BY q.business_key HAVING count(*) > 1 LIMIT 1;
    IF FOUND THEN
        PERFORM refuse('WL012', 'business_key_reused', jsonb_build_object('business_key', v_key));
    END IF;
    SELECT q.business_key INTO v_key
    FROM unnest(p_requests) q JOIN transfers t ON t.business_key = q.business_key
    WHERE (t.kind, t.user_id, t.amount, t.currency, t.subject)
          IS DISTINCT FROM (q.kind, q.user_id, q.amount, q.currency, q.subject)
    ORDER BY q.place LIMIT 1;
    IF FOUND THEN
        PERFORM refuse('WL012', 'business_key_reused', jsonb_build_object('business_key', v_key));
    END IF;
    RETURN (
        SELECT array_agg(t.id ORDER BY q.business_key)
        FROM unnest(p_requests) q
        LEFT JOIN transfers t ON t.business_key = q.business_key AND t.id = ANY (v_ids)
    );
END $$;

-- The entries of a batch in one INSERT. A user's postings follow one another: each credit repays
-- what the credits before it left of the receivable, each settlement is taken from what was held
-- after the one before it, and nothing is booked before what was booked last. Returns what is
-- available after each posting, in the order of the arrays.
CREATE FUNCTION book_batch(
    p_fresh posting_request[], p_ids bigint[], p_booked_at timestamptz
) RETURNS numeric[] LANGUAGE plpgsql AS $$
DECLARE
    v_available numeric[];
BEGIN
    WITH movements AS (
        SELECT f.*, p_ids[f.ordinality] AS transfer_id,
               greatest(p_booked_at, f.moved_at) AS booked_at,
               CASE f.kind WHEN 'deposit' THEN f.amount ELSE 0 END AS credit,
               CASE f.kind WHEN 'settlement' THEN f.amount ELSE 0 END AS settled
        FROM unnest(p_fresh) WITH ORDINALITY AS f
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
    ), stored AS (
        INSERT INTO entries (transfer_id, leg, ledger_account_id, currency, amount, version,
                             balance_after, booked_at)
        SELECT transfer_id, CASE kind WHEN 'fee' THEN 2 ELSE 1 END, clearing_id, currency,
               CASE WHEN kind IN ('settlement', 'fee') THEN amount ELSE -amount END,
               NULL::bigint, NULL::numeric, booked_at
        FROM numbered
        UNION ALL
        SELECT transfer_id, CASE kind WHEN 'fee' THEN 1 ELSE 2 END, counter_id, currency,
               CASE kind WHEN 'fee' THEN -amount ELSE amount END, NULL, NULL, booked_at
        FROM numbered WHERE counter_id IS NOT NULL
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
    SELECT array_agg(available + credits - repaid ORDER BY business_key) INTO v_available
    FROM numbered;
    RETURN v_available;
END $$;

-- The holds of a batch's settlements end, each whole; their keys have seen to it that none ends
-- twice.
CREATE FUNCTION end_holds(p_fresh posting_request[], p_ids bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_ended bigint;
    v_subjects text[];
BEGIN
    SELECT array_agg(q.subject) INTO v_subjects FROM unnest(p_fresh) q WHERE q.kind = 'settlement';
    IF v_subjects IS NULL THEN
        RETURN;
    END IF;
    -- Found by their subjects and by nothing else: a walk along the open holds would be a read of
    -- all of them, which every hold that is placed meanwhile would break.
    UPDATE holds h
    SET ended_by = f.transfer_id, outcome = 'settled', settled_amount = h.amount
    FROM (
        SELECT q.*, p_ids[q.ordinality] AS transfer_id
        FROM unnest(p_fresh) WITH ORDINALITY AS q
    ) AS f
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
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    v_requests posting_request[];
    v_fresh posting_request[];
    v_ids bigint[];
    v_available numeric[];
    v_messages jsonb;
BEGIN
    v_requests := read_batch(p_postings);
    IF v_requests IS NULL THEN
        RETURN;
    END IF;
    v_requests := lock_batch(v_requests);
    v_ids := claim_batch(v_requests);
    IF array_position(v_ids, NULL) IS NULL THEN
        PERFORM end_holds(v_requests, v_ids);
        v_available := book_batch(v_requests, v_ids, clock_timestamp());
        IF p_messages IS NOT NULL THEN
            PERFORM announce(p_messages);
        END IF;
        RETURN QUERY
            SELECT r.place, false, v_available[r.ordinality]
            FROM unnest(v_requests) WITH ORDINALITY AS r ORDER BY r.place;
        RETURN;
    END IF;

    SELECT array_agg(v_requests[i] ORDER BY i) INTO v_fresh
    FROM generate_subscripts(v_ids, 1) AS i WHERE v_ids[i] IS NOT NULL;
    IF v_fresh IS NOT NULL THEN
        v_ids := array_remove(v_ids, NULL);
        PERFORM end_holds(v_fresh, v_ids);
        v_available := book_batch(v_fresh, v_ids, clock_timestamp());
        SELECT jsonb_agg(m.message ORDER BY m.position) INTO v_messages
        FROM jsonb_array_elements(p_messages) WITH ORDINALITY AS m (message, position)
        JOIN unnest(v_fresh) f ON f.place = (m.message ->> 'place')::bigint;
        IF v_messages IS NOT NULL THEN
            PERFORM announce(v_messages);
        END IF;
    END IF;
    RETURN QUERY
        SELECT r.place, f.place IS NULL, coalesce(v_available[f.ordinality], a.balance)
        FROM unnest(v_requests) r
        LEFT JOIN ledger_accounts a ON a.id = r.available_id
        LEFT JOIN unnest(v_fresh) WITH ORDINALITY AS f ON f.place = r.place
        ORDER BY r.place;
END $$;
