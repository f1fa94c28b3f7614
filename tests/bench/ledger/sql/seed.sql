-- Transfers %(first)s to %(last)s of %(transfers)s, with their entries, holds, transactions and timeline:
-- the rows that the kernel would have left, computed in closed form instead of posted one by one.
--
-- Each transfer has two entries. Every %(heavy)s-th is the first user's, who so gets a long history; the
-- others take turns. A user's transfers repeat in twelves: ten deposits of 100.00, then a hold of
-- 40.00, then its settlement. So all that came before the k-th follows from k, and with it each
-- version and balance. A hold whose settlement would come after the last transfer is open.
WITH counted AS (
    SELECT i, i %% %(heavy)s = 0 AS is_heavy, i - i / %(heavy)s AS turn
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS i
), numbered AS (
    SELECT i,
           CASE WHEN is_heavy THEN 1 ELSE 2 + (turn - 1) * 7919 %% (%(users)s - 1) END AS user_number,
           CASE WHEN is_heavy THEN i / %(heavy)s ELSE (turn - 1) / (%(users)s - 1) + 1 END AS k,
           CASE WHEN is_heavy THEN i - %(heavy)s ELSE turn - (%(users)s - 1) END AS before,
           CASE WHEN is_heavy THEN i + %(heavy)s ELSE turn + (%(users)s - 1) END AS after,
           is_heavy
    FROM counted
), step AS MATERIALIZED (
    SELECT i, a.user_id, a.available_id, a.held_id,
           CASE k %% 12 WHEN 11 THEN 'hold' WHEN 0 THEN 'settlement' ELSE 'deposit' END AS kind,
           k / 12 * 10 + least(k %% 12, 10) AS deposits,
           k / 12 + (k %% 12) / 11 AS holds,
           k / 12 AS settlements,
           'txn_' || lpad((CASE
               WHEN k %% 12 <> 0 THEN i
               WHEN is_heavy THEN before
               ELSE before + (before - 1) / (%(heavy)s - 1)
           END)::text, 26, '0') AS transaction_id,
           'pur_' || lpad(i::text, 26, '0') AS purchase_id,
           CASE WHEN is_heavy THEN after ELSE after + (after - 1) / (%(heavy)s - 1) END AS next_i,
           %(began)s::timestamptz + i * (%(ended)s::timestamptz - %(began)s) / %(transfers)s AS at
    FROM numbered JOIN seeded_user a ON a.number = user_number
), stored_transfers AS (
    INSERT INTO transfers (id, business_key, kind, user_id, amount, currency, subject, effective_at)
    OVERRIDING SYSTEM VALUE
    SELECT i,
           CASE kind WHEN 'deposit' THEN 'purchase:' || purchase_id
                     WHEN 'hold' THEN 'hold:' || transaction_id
                     ELSE 'hold_end:' || transaction_id END,
           kind::transfer_kind, user_id,
           CASE kind WHEN 'deposit' THEN 100.00 ELSE 40.00 END, 'ZAR',
           CASE kind WHEN 'deposit' THEN purchase_id ELSE transaction_id END, at
    FROM step ORDER BY i
), stored_entries AS (
    INSERT INTO entries (transfer_id, leg, ledger_account_id, currency, amount, version,
                         balance_after, booked_at)
    SELECT i, leg, account_id, 'ZAR', amount, version, balance_after, at
    FROM step, LATERAL (VALUES
        (1, CASE kind WHEN 'deposit' THEN -100.00 WHEN 'settlement' THEN 40.00 END,
         %(clearing)s::bigint, NULL::bigint, NULL::numeric),
        (3, CASE kind WHEN 'deposit' THEN 100.00 WHEN 'hold' THEN -40.00 END,
         available_id, deposits + holds, 100.00 * deposits - 40.00 * holds),
        (4, CASE kind WHEN 'hold' THEN 40.00 WHEN 'settlement' THEN -40.00 END,
         held_id, holds + settlements, 40.00 * (holds - settlements))
    ) AS legs (leg, amount, account_id, version, balance_after)
    WHERE amount IS NOT NULL ORDER BY i, leg
), stored_holds AS (
    INSERT INTO holds (subject, user_id, currency, amount, placed_by, ended_by, outcome,
                       settled_amount)
    SELECT transaction_id, user_id, 'ZAR', 40.00, i,
           CASE WHEN next_i <= %(transfers)s THEN next_i END,
           CASE WHEN next_i <= %(transfers)s THEN 'settled' END,
           CASE WHEN next_i <= %(transfers)s THEN 40.00 END
    FROM step WHERE kind = 'hold'
), stored_transactions AS (
    INSERT INTO transactions (id, user_id, kind, status, amount, currency, created_at, updated_at,
                              bank_account_id, provider_id, saga_step, saga_step_at,
                              saga_step_due_at)
    SELECT transaction_id, user_id,
           CASE kind WHEN 'deposit' THEN 'deposit' ELSE 'withdrawal' END,
           CASE WHEN kind = 'deposit' OR next_i <= %(transfers)s
                THEN 'completed' ELSE 'processing' END,
           CASE kind WHEN 'deposit' THEN 100.00 ELSE 40.00 END, 'ZAR', at, at,
           CASE kind WHEN 'hold' THEN 'ba_00000000000000000000000001' END,
           CASE kind WHEN 'deposit' THEN purchase_id END,
           CASE WHEN kind = 'hold' AND next_i > %(transfers)s THEN 'await_payout' END, at,
           CASE WHEN kind = 'hold' AND next_i > %(transfers)s THEN %(ended)s + interval '1 day' END
    FROM step WHERE kind <> 'settlement' ORDER BY i
)
INSERT INTO transaction_events (transaction_id, status, at, cause)
SELECT transaction_id, status, at, cause
FROM step, LATERAL (VALUES
    (1, CASE kind WHEN 'settlement' THEN 'completed' ELSE 'pending' END,
     CASE kind WHEN 'settlement' THEN 'payout_succeeded' ELSE 'requested' END),
    (2, CASE kind WHEN 'deposit' THEN 'completed' WHEN 'hold' THEN 'processing' END,
     CASE kind WHEN 'deposit' THEN 'deposit_paid' ELSE 'payout_accepted' END)
) AS events (place, status, cause)
WHERE status IS NOT NULL ORDER BY i, place
