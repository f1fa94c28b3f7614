-- The kernel's doors. Each is SECURITY DEFINER with a fixed search_path; pg_temp comes last, so
-- that a caller's temporary table can never stand in for one of ours. Index paths are forced:
-- under SERIALIZABLE a sequential scan locks the whole table against everyone. Plans are generic:
-- planning anew costs more than the statements themselves.

CREATE FUNCTION open_ledger_accounts(p_user_id text, p_currency text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = wallet, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    IF p_user_id IS NULL OR p_user_id = '' THEN
        PERFORM refuse('WL015', 'user_missing');
    END IF;
    -- All three or none: they are opened by one statement.
    IF EXISTS (
        SELECT FROM ledger_accounts
        WHERE user_id = p_user_id AND currency = p_currency AND kind = 'available'
    ) THEN
        RETURN;
    END IF;
    INSERT INTO ledger_accounts (user_id, currency, exponent, kind, balance, version)
    SELECT p_user_id, c.code, c.exponent, k.kind, round(0::numeric, c.exponent), 0
    FROM currencies c,
         unnest(ARRAY['available', 'held', 'receivable']::ledger_account_kind[])
             WITH ORDINALITY AS k (kind, place)
    WHERE c.code = p_currency
    ORDER BY k.place
    ON CONFLICT (user_id, currency, kind) WHERE user_id IS NOT NULL DO NOTHING;
    IF NOT EXISTS (SELECT FROM currencies WHERE code = p_currency) THEN
        PERFORM refuse('WL010', 'unknown_currency', jsonb_build_object('currency', p_currency));
    END IF;
END $$;

-- What is bound by a purchase is counted over transfers, which no row of an account stands for: only
-- SERIALIZABLE sees two counters who do not see each other.
CREATE FUNCTION require_serializable() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'serializable' THEN
        PERFORM refuse('WL024', 'posting_needs_serializable');
    END IF;
END $$;

-- Take back what a purchase brought in, by a refund or a chargeback, from whoever has it: the user
-- it was credited to (a shortfall becomes receivable) or suspense. All that is taken back together
-- is never more than came in.
CREATE FUNCTION take_back(
    p_business_key text, p_kind transfer_kind, p_user_id text, p_amount numeric, p_currency text,
    p_purchase text, p_effective_at timestamptz
) RETURNS posting LANGUAGE plpgsql AS $$
DECLARE
    v_purchase transfers;
    v_stored transfers;
    v_user_id text;
    v_taken numeric;
BEGIN
    PERFORM require_serializable();
    -- The lock lets one taker at a time count what was taken before.
    SELECT * INTO v_purchase FROM transfers
    WHERE business_key = 'purchase:' || p_purchase AND kind IN ('deposit', 'suspense')
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM refuse('WL023', 'purchase_not_booked', jsonb_build_object('purchase', p_purchase));
    END IF;
    -- A repeat is told what was taken then, whoever has the purchase's money by now.
    SELECT * INTO v_stored FROM transfers WHERE business_key = p_business_key;
    IF FOUND THEN
        RETURN posted_before(p_business_key, p_kind, coalesce(p_user_id, v_stored.user_id),
                             p_amount, p_currency, p_purchase);
    END IF;
    v_user_id := v_purchase.user_id;
    IF v_user_id IS NULL THEN
        SELECT a.user_id INTO v_user_id FROM transfers a
        WHERE a.subject = p_purchase AND a.kind = 'suspense_assignment'
          AND NOT EXISTS (SELECT FROM transfers r WHERE r.reverses = a.id);
    END IF;
    IF p_user_id IS DISTINCT FROM v_user_id AND p_user_id IS NOT NULL
        OR p_currency IS DISTINCT FROM v_purchase.currency
    THEN
        PERFORM refuse('WL012', 'business_key_reused', jsonb_build_object(
            'business_key', v_purchase.business_key, 'stored_kind', v_purchase.kind));
    END IF;
    SELECT coalesce(sum(t.amount), 0) INTO v_taken FROM transfers t
    WHERE t.subject = p_purchase AND t.kind IN ('refund', 'chargeback')
      AND NOT EXISTS (SELECT FROM transfers r WHERE r.reverses = t.id);
    IF EXISTS (SELECT FROM transfers r WHERE r.reverses = v_purchase.id) THEN
        v_taken := v_purchase.amount;
    END IF;
    IF p_amount > v_purchase.amount - v_taken THEN
        PERFORM refuse('WL022', 'exceeds_purchase', jsonb_build_object(
            'purchase', p_purchase, 'left', (v_purchase.amount - v_taken)::text));
    END IF;
    IF v_user_id IS NULL THEN
        RETURN book(p_business_key, p_kind, NULL, p_amount, p_currency, p_purchase, p_effective_at,
                    NULL, 0, false, 0, 'suspense', -p_amount, 'provider_clearing', p_amount);
    END IF;
    RETURN book(p_business_key, p_kind, v_user_id, p_amount, p_currency, p_purchase,
                p_effective_at, NULL, -p_amount, true, 0, 'provider_clearing', p_amount,
                NULL, NULL);
END $$;

-- Give a user what lay in suspense: all of it that was not taken back, to the cent. None of it while
-- a chargeback stands: money that a won one brings back would lie there with nobody to ask for it.
CREATE FUNCTION assign_suspense(
    p_business_key text, p_user_id text, p_amount numeric, p_currency text, p_purchase text,
    p_effective_at timestamptz
) RETURNS posting LANGUAGE plpgsql AS $$
DECLARE
    v_purchase transfers;
    v_left numeric;
BEGIN
    PERFORM require_serializable();
    SELECT * INTO v_purchase FROM transfers
    WHERE business_key = 'purchase:' || p_purchase AND kind = 'suspense' FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM refuse('WL023', 'purchase_not_booked', jsonb_build_object('purchase', p_purchase));
    END IF;
    SELECT CASE WHEN count(*) FILTER (WHERE t.kind = 'chargeback') > 0 THEN 0
                ELSE v_purchase.amount - coalesce(sum(t.amount), 0) END
    INTO v_left FROM transfers t
    WHERE t.subject = p_purchase AND t.kind IN ('refund', 'chargeback', 'suspense_assignment')
      AND NOT EXISTS (SELECT FROM transfers r WHERE r.reverses = t.id);
    IF EXISTS (SELECT FROM transfers r WHERE r.reverses = v_purchase.id) THEN
        v_left := 0;
    END IF;
    IF (p_amount, p_currency) IS DISTINCT FROM (v_left, v_purchase.currency)
        AND NOT EXISTS (SELECT FROM transfers WHERE business_key = p_business_key)
    THEN
        PERFORM refuse('WL022', 'exceeds_purchase', jsonb_build_object(
            'purchase', p_purchase, 'left', v_left::text));
    END IF;
    RETURN book(p_business_key, 'suspense_assignment', p_user_id, p_amount, p_currency, p_purchase,
                p_effective_at, NULL, p_amount, false, 0, 'suspense', -p_amount, NULL, NULL);
END $$;

-- Post money that enters, leaves or is sorted, by kind:
--   deposit              provider_clearing -> the user (receivable first)
--   suspense             provider_clearing -> suspense
--   suspense_assignment  suspense -> the user (receivable first); the subject is the purchase
--   refund, chargeback   whoever has the purchase's money -> provider_clearing; the subject is the
--                        purchase, and a user's shortfall becomes receivable
--   fee, fee_return      provider_fees -> provider_clearing, and back
CREATE FUNCTION post_transfer(
    p_business_key text, p_kind text, p_user_id text, p_amount numeric, p_currency text,
    p_subject text, p_effective_at timestamptz, p_messages jsonb DEFAULT NULL
) RETURNS posting
LANGUAGE plpgsql SECURITY DEFINER SET search_path = wallet, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_result posting;
BEGIN
    IF p_user_id IS NULL AND p_kind IN ('deposit', 'suspense_assignment')
        OR p_user_id IS NOT NULL AND p_kind IN ('fee', 'fee_return', 'suspense')
    THEN
        PERFORM refuse('WL015', 'user_missing', jsonb_build_object('kind', p_kind));
    END IF;
    CASE p_kind
        WHEN 'deposit' THEN
            v_result := book(p_business_key, 'deposit', p_user_id, p_amount, p_currency, p_subject,
                             p_effective_at, NULL, p_amount, false, 0,
                             'provider_clearing', -p_amount, NULL, NULL);
        WHEN 'fee' THEN
            v_result := book(p_business_key, 'fee', NULL, p_amount, p_currency, p_subject,
                             p_effective_at, NULL, 0, false, 0,
                             'provider_fees', -p_amount, 'provider_clearing', p_amount);
        WHEN 'fee_return' THEN
            v_result := book(p_business_key, 'fee_return', NULL, p_amount, p_currency, p_subject,
                             p_effective_at, NULL, 0, false, 0,
                             'provider_clearing', -p_amount, 'provider_fees', p_amount);
        WHEN 'suspense' THEN
            v_result := book(p_business_key, 'suspense', NULL, p_amount, p_currency, p_subject,
                             p_effective_at, NULL, 0, false, 0,
                             'provider_clearing', -p_amount, 'suspense', p_amount);
        WHEN 'suspense_assignment' THEN
            v_result := assign_suspense(p_business_key, p_user_id, p_amount, p_currency, p_subject,
                                        p_effective_at);
        WHEN 'refund', 'chargeback' THEN
            v_result := take_back(p_business_key, p_kind::transfer_kind, p_user_id, p_amount,
                                  p_currency, p_subject, p_effective_at);
        ELSE
            PERFORM refuse('WL016', 'unknown_posting', jsonb_build_object('kind', p_kind));
    END CASE;
    -- These keys are given by the doors that they belong to.
    IF split_part(p_business_key, ':', 1) IN ('hold', 'hold_end', 'reversal', 'adjustment') THEN
        PERFORM refuse('WL012', 'business_key_reused',
                       jsonb_build_object('business_key', p_business_key));
    END IF;
    IF NOT v_result.repeated AND p_messages IS NOT NULL THEN
        PERFORM announce(p_messages);
    END IF;
    RETURN v_result;
END $$;

-- Set money aside for one transaction: available -> held.
CREATE FUNCTION place_hold(
    p_subject text, p_user_id text, p_amount numeric, p_currency text,
    p_effective_at timestamptz, p_messages jsonb DEFAULT NULL
) RETURNS posting
LANGUAGE plpgsql SECURITY DEFINER SET search_path = wallet, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_result posting;
BEGIN
    IF p_user_id IS NULL THEN
        PERFORM refuse('WL015', 'user_missing');
    END IF;
    v_result := book('hold:' || p_subject, 'hold', p_user_id, p_amount, p_currency, p_subject,
                     p_effective_at, NULL, -p_amount, false, p_amount, NULL, NULL, NULL, NULL);
    IF NOT v_result.repeated THEN
        -- Not copied from the transfer: reading the newest page of that index, which every posting
        -- writes to, would cost retries under SERIALIZABLE.
        INSERT INTO holds (subject, user_id, currency, amount, placed_by)
        VALUES (p_subject, p_user_id, p_currency, round(p_amount, scale(v_result.available)),
                v_result.transfer_id);
        IF p_messages IS NOT NULL THEN
            PERFORM announce(p_messages);
        END IF;
    END IF;
    RETURN v_result;
END $$;

-- End a hold, once: p_settled of it goes out to the provider, the rest back to the user. The one
-- business key of both ends is what makes a second end impossible.
CREATE FUNCTION end_hold(
    p_subject text, p_settled numeric, p_effective_at timestamptz, p_messages jsonb
) RETURNS posting LANGUAGE plpgsql AS $$
DECLARE
    v_result posting;
    v_hold holds;
    v_kind transfer_kind := CASE WHEN p_settled > 0 THEN 'settlement' ELSE 'release' END;
    v_outcome text := CASE WHEN p_settled > 0 THEN 'settled' ELSE 'released' END;
BEGIN
    SELECT * INTO v_hold FROM holds WHERE subject = p_subject;
    IF NOT FOUND THEN
        PERFORM refuse('WL017', 'hold_not_found', jsonb_build_object('subject', p_subject));
    END IF;
    IF v_hold.outcome <> v_outcome THEN
        PERFORM refuse(
            CASE v_hold.outcome WHEN 'released' THEN 'WL018' ELSE 'WL019' END,
            'hold_already_' || v_hold.outcome, jsonb_build_object('subject', p_subject));
    END IF;
    IF p_settled > v_hold.amount THEN
        PERFORM refuse('WL011', 'invalid_amount', jsonb_build_object('subject', p_subject));
    END IF;
    v_result := book(
        'hold_end:' || p_subject, v_kind, v_hold.user_id,
        CASE WHEN p_settled > 0 THEN p_settled ELSE v_hold.amount END, v_hold.currency, p_subject,
        p_effective_at, NULL, v_hold.amount - p_settled, false, -v_hold.amount,
        'provider_clearing', p_settled, NULL, NULL);
    IF NOT v_result.repeated THEN
        UPDATE holds
        SET ended_by = v_result.transfer_id, outcome = v_outcome,
            settled_amount = CASE WHEN p_settled > 0 THEN p_settled END
        WHERE subject = p_subject;
        IF p_messages IS NOT NULL THEN
            PERFORM announce(p_messages);
        END IF;
    END IF;
    RETURN v_result;
END $$;

CREATE FUNCTION settle_hold(
    p_subject text, p_amount numeric, p_effective_at timestamptz, p_messages jsonb DEFAULT NULL
) RETURNS posting
LANGUAGE plpgsql SECURITY DEFINER SET search_path = wallet, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    IF p_amount IS NULL OR NOT p_amount > 0 THEN
        PERFORM refuse('WL011', 'invalid_amount', jsonb_build_object('subject', p_subject));
    END IF;
    RETURN end_hold(p_subject, p_amount, p_effective_at, p_messages);
END $$;

CREATE FUNCTION release_hold(
    p_subject text, p_effective_at timestamptz, p_messages jsonb DEFAULT NULL
) RETURNS posting
LANGUAGE plpgsql SECURITY DEFINER SET search_path = wallet, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN end_hold(p_subject, 0, p_effective_at, p_messages);
END $$;

-- Undo a transfer by its opposite, once. What it gave the user is taken back (a shortfall becomes
-- receivable), what it took is given back (receivable first). Movements between a user's own
-- accounts are no matter of reversal: a hold is ended by its saga. A purchase whose money was
-- refunded, charged back or assigned is not reversed: those come first.
CREATE FUNCTION reverse_transfer(
    p_business_key text, p_effective_at timestamptz, p_messages jsonb DEFAULT NULL
) RETURNS posting
LANGUAGE plpgsql SECURITY DEFINER SET search_path = wallet, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_result posting;
    v_original transfers;
    v_kinds ledger_account_kind[];
    v_amounts numeric[];
    v_own numeric;
BEGIN
    -- The lock keeps a refund or a chargeback of the same purchase out meanwhile.
    SELECT * INTO v_original FROM transfers WHERE business_key = p_business_key FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM refuse('WL020', 'transfer_not_found',
                       jsonb_build_object('business_key', p_business_key));
    END IF;
    SELECT coalesce(-sum(e.amount) FILTER (WHERE a.user_id IS NOT NULL), 0),
           array_agg(a.kind ORDER BY e.leg) FILTER (WHERE a.user_id IS NULL),
           array_agg(-e.amount ORDER BY e.leg) FILTER (WHERE a.user_id IS NULL)
    INTO v_own, v_kinds, v_amounts
    FROM entries e JOIN ledger_accounts a ON a.id = e.ledger_account_id
    WHERE e.transfer_id = v_original.id;
    IF v_kinds IS NULL OR v_original.kind = 'reversal' THEN
        PERFORM refuse('WL021', 'transfer_not_reversible',
                       jsonb_build_object('business_key', p_business_key));
    END IF;
    IF v_original.kind = 'suspense_assignment' THEN
        PERFORM FROM transfers WHERE business_key = 'purchase:' || v_original.subject
        FOR NO KEY UPDATE;
    END IF;
    IF v_original.kind IN ('deposit', 'suspense', 'suspense_assignment') AND EXISTS (
        SELECT FROM transfers t
        -- The purchase is what the key names, as it is for those who take from it.
        WHERE t.subject = CASE v_original.kind WHEN 'suspense_assignment' THEN v_original.subject
                          ELSE substr(v_original.business_key, length('purchase:') + 1) END
          AND t.id <> v_original.id
          AND t.kind IN ('refund', 'chargeback', 'suspense_assignment')
          AND NOT EXISTS (SELECT FROM transfers r WHERE r.reverses = t.id)
    ) THEN
        PERFORM refuse('WL022', 'exceeds_purchase', jsonb_build_object(
            'purchase', v_original.subject, 'left', '0'));
    END IF;
    v_result := book('reversal:' || p_business_key, 'reversal', v_original.user_id,
                     v_original.amount, v_original.currency, v_original.subject, p_effective_at,
                     v_original.id, v_own, true, 0,
                     v_kinds[1], v_amounts[1], v_kinds[2], v_amounts[2]);
    IF NOT v_result.repeated AND p_messages IS NOT NULL THEN
        PERFORM announce(p_messages);
    END IF;
    RETURN v_result;
END $$;

-- A function is everybody's to call until that is taken back.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA wallet FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA wallet FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    open_ledger_accounts(text, text),
    post_transfer(text, text, text, numeric, text, text, timestamptz, jsonb),
    post_transfers(jsonb, jsonb),
    place_hold(text, text, numeric, text, timestamptz, jsonb),
    settle_hold(text, numeric, timestamptz, jsonb),
    release_hold(text, timestamptz, jsonb),
    reverse_transfer(text, timestamptz, jsonb)
TO wallet;
GRANT SELECT ON currencies, ledger_accounts, transfers, entries, holds TO wallet;
