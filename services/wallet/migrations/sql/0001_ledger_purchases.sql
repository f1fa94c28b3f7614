-- What became of the money of purchases: read by use cases and operators, written by nobody here.
-- Index paths are forced, because a sequential scan under SERIALIZABLE locks the whole table.

CREATE INDEX transfers_in_suspense ON transfers (id) WHERE kind = 'suspense';

CREATE FUNCTION money_of_purchase(p_purchase text) RETURNS TABLE (
    user_id text, currency text, came_in numeric, refunded numeric, charged_back numeric,
    is_undone boolean
)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = wallet, pg_temp
SET enable_seqscan = off SET enable_mergejoin = off SET enable_hashjoin = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN QUERY
    SELECT coalesce(t.user_id, later.given_to), t.currency, t.amount, later.refunded,
           later.charged_back, EXISTS (SELECT FROM transfers r WHERE r.reverses = t.id)
    FROM transfers t,
         LATERAL (
             SELECT coalesce(sum(l.amount) FILTER (WHERE l.kind = 'refund'), 0),
                    coalesce(sum(l.amount) FILTER (WHERE l.kind = 'chargeback'), 0),
                    max(l.user_id) FILTER (WHERE l.kind = 'suspense_assignment')
             FROM transfers l
             WHERE l.subject = p_purchase
               AND l.kind IN ('refund', 'chargeback', 'suspense_assignment')
               AND NOT EXISTS (SELECT FROM transfers r WHERE r.reverses = l.id)
         ) AS later (refunded, charged_back, given_to)
    WHERE t.business_key = 'purchase:' || p_purchase;
END $$;
COMMENT ON FUNCTION money_of_purchase(text) IS
    'What came in by a purchase, who has it, and what of it went back; no row if nothing is booked.';

-- What lies in suspense, oldest first, after a given transfer.
CREATE FUNCTION money_in_suspense(p_after bigint, p_limit integer) RETURNS TABLE (
    transfer_id bigint, purchase_id text, currency text, came_in numeric, amount_left numeric,
    effective_at timestamptz, booked_at timestamptz
)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = wallet, pg_temp
SET enable_seqscan = off SET enable_mergejoin = off SET enable_hashjoin = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN QUERY
    SELECT t.id, t.subject, t.currency, t.amount, t.amount - later.gone, t.effective_at,
           (SELECT min(e.booked_at) FROM entries e WHERE e.transfer_id = t.id)
    FROM transfers t,
         LATERAL (
             SELECT coalesce(sum(l.amount), 0) FROM transfers l
             WHERE l.subject = t.subject
               AND l.kind IN ('refund', 'chargeback', 'suspense_assignment')
               AND NOT EXISTS (SELECT FROM transfers r WHERE r.reverses = l.id)
         ) AS later (gone)
    WHERE t.kind = 'suspense' AND t.id > p_after AND t.amount > later.gone
      AND NOT EXISTS (SELECT FROM transfers r WHERE r.reverses = t.id)
    ORDER BY t.id LIMIT p_limit;
END $$;
COMMENT ON FUNCTION money_in_suspense(bigint, integer) IS
    'Purchases of which something lies in suspense, oldest first.';

REVOKE ALL ON FUNCTION money_of_purchase(text), money_in_suspense(bigint, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION money_of_purchase(text), money_in_suspense(bigint, integer) TO wallet;
