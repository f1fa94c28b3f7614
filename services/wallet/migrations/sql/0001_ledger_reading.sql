-- Balances as of any instant, and of kinds of account: from rollups, so that none reads all entries.
--
-- A rollup takes what is committed for good: transfers have one order, the database transaction
-- that wrote them and then their id, that never changes below `pg_snapshot_xmin`. A late commit
-- lies above the cut, is counted by whoever reads, and is taken by a following rollup.

-- The functions join by index only: a range is short, and the tables beside it are long.

CREATE TABLE rollups (
    number bigint PRIMARY KEY CHECK (number > 0),
    -- From, inclusive, and up to, exclusive: places in the order of (recorded_in, id).
    from_xid xid8 NOT NULL,
    from_id bigint NOT NULL,
    up_to_xid xid8 NOT NULL,
    up_to_id bigint NOT NULL,
    entries bigint NOT NULL CHECK (entries > 0),
    -- The earliest entry of this rollup, and the latest of all rollups up to this one.
    first_booked_at timestamptz NOT NULL,
    last_booked_at timestamptz NOT NULL,
    rolled_up_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((from_xid, from_id) < (up_to_xid, up_to_id)),
    CHECK (first_booked_at <= last_booked_at)
);
CREATE INDEX rollups_by_time ON rollups (last_booked_at, number);
-- Those that an instant lies within, however late some of their entries were committed.
CREATE INDEX rollups_around ON rollups USING gist (tstzrange(first_booked_at, last_booked_at));
COMMENT ON TABLE rollups IS 'Slices of the ledger that are summed up, append-only; without a gap.';

CREATE TABLE rollup_balances (
    currency text NOT NULL,
    kind ledger_account_kind NOT NULL,
    rollup bigint NOT NULL,
    balance numeric NOT NULL,
    entries bigint NOT NULL CHECK (entries > 0),
    PRIMARY KEY (currency, kind, rollup)
);
COMMENT ON TABLE rollup_balances IS
    'Sum of all entries of a kind of account up to a rollup, append-only; a row where it moved.';

-- A database transaction has its number before it reads the clock for what it books. Whoever has a
-- higher number than the one that marked reads a later clock; so once all with a lower one have
-- ended, nothing more can be booked before the mark. The lowest number not yet given away, as a
-- snapshot knows it, would not do: a transaction that runs already may have that very number.
CREATE TABLE booking_marks (
    marked_at timestamptz PRIMARY KEY,
    -- Of the transaction that marked.
    next_xid xid8 NOT NULL
);
COMMENT ON TABLE booking_marks IS
    'By when every booking up to an instant has ended, append-only; one for each hour.';

CREATE TRIGGER rollups_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON rollups
    FOR EACH STATEMENT EXECUTE FUNCTION forbid_change();
CREATE TRIGGER rollup_balances_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
    ON rollup_balances FOR EACH STATEMENT EXECUTE FUNCTION forbid_change();
CREATE TRIGGER booking_marks_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON booking_marks
    FOR EACH STATEMENT EXECUTE FUNCTION forbid_change();

-- A rollup begins where the one before it ended, and no time of it is before that one's last.
CREATE FUNCTION continue_the_rollups() RETURNS trigger
LANGUAGE plpgsql SET search_path = wallet, pg_temp AS $$
DECLARE
    v_last rollups;
BEGIN
    SELECT * INTO v_last FROM rollups ORDER BY number DESC LIMIT 1;
    IF (NEW.number, NEW.from_xid, NEW.from_id) IS DISTINCT FROM
       (coalesce(v_last.number, 0) + 1, coalesce(v_last.up_to_xid, '0'),
        coalesce(v_last.up_to_id, 0))
       OR NEW.last_booked_at < v_last.last_booked_at
    THEN
        PERFORM refuse('WL047', 'rollup_out_of_chain', jsonb_build_object('number', NEW.number));
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER rollups_continue_the_chain BEFORE INSERT ON rollups
    FOR EACH ROW EXECUTE FUNCTION continue_the_rollups();

-- Sum up what is committed for good and not yet rolled up, 20,000 transfers at most, and mark the
-- hour. System accounts have no running balance, so this is what theirs are read from; the sums
-- of the users' kinds of account come along for the trial balance.
--
-- Returns how many entries were rolled up: none if nothing moved or another one is rolling up.
CREATE FUNCTION roll_up_system_accounts() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = wallet, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
DECLARE
    c_transfers_max CONSTANT bigint := 20000;
    v_last rollups;
    v_new rollups;
    v_cut xid8;
BEGIN
    -- Each statement must see what is committed by then, above all the last rollup.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM refuse('WL046', 'rollup_needs_read_committed');
    END IF;
    IF NOT pg_try_advisory_xact_lock(hashtextextended('wallet.rollups', 0)) THEN
        RETURN 0;
    END IF;
    INSERT INTO booking_marks (marked_at, next_xid)
    SELECT now(), pg_current_xact_id()
    WHERE NOT EXISTS (SELECT FROM booking_marks WHERE marked_at >= date_trunc('hour', now()));

    SELECT * INTO v_last FROM rollups ORDER BY number DESC LIMIT 1;
    v_new.number := coalesce(v_last.number, 0) + 1;
    v_new.from_xid := coalesce(v_last.up_to_xid, '0');
    v_new.from_id := coalesce(v_last.up_to_id, 0);
    v_cut := pg_snapshot_xmin(pg_current_snapshot());
    -- Numbers of database transactions only grow, unless the data was carried to another cluster
    -- without its counter. New postings would then lie below the cut, in no balance.
    IF v_cut < v_new.from_xid THEN
        PERFORM refuse('WL045', 'rollup_cut_goes_back', jsonb_build_object(
            'rolled_up_to', v_new.from_xid::text, 'cut', v_cut::text));
    END IF;
    SELECT recorded_in, id INTO v_new.up_to_xid, v_new.up_to_id FROM transfers
    WHERE (recorded_in, id) >= (v_new.from_xid, v_new.from_id) AND recorded_in < v_cut
    ORDER BY recorded_in, id OFFSET c_transfers_max LIMIT 1;
    IF NOT FOUND THEN
        v_new.up_to_xid := v_cut;
        v_new.up_to_id := 0;
    END IF;

    WITH moved AS (
        SELECT e.currency, a.kind, sum(e.amount) AS change, count(*) AS entries,
               min(e.booked_at) AS first_booked_at, max(e.booked_at) AS last_booked_at
        FROM transfers t
        JOIN entries e ON e.transfer_id = t.id
        JOIN ledger_accounts a ON a.id = e.ledger_account_id
        WHERE (t.recorded_in, t.id) >= (v_new.from_xid, v_new.from_id)
          AND (t.recorded_in, t.id) < (v_new.up_to_xid, v_new.up_to_id)
        GROUP BY e.currency, a.kind
    ), rolled_up AS (
        INSERT INTO rollup_balances (currency, kind, rollup, balance, entries)
        SELECT m.currency, m.kind, v_new.number, m.change + coalesce(l.balance, 0),
               m.entries + coalesce(l.entries, 0)
        FROM moved m
        LEFT JOIN LATERAL (
            SELECT balance, entries FROM rollup_balances
            WHERE currency = m.currency AND kind = m.kind ORDER BY rollup DESC LIMIT 1
        ) l ON true
    )
    INSERT INTO rollups (number, from_xid, from_id, up_to_xid, up_to_id, entries,
                         first_booked_at, last_booked_at)
    SELECT v_new.number, v_new.from_xid, v_new.from_id, v_new.up_to_xid, v_new.up_to_id,
           sum(entries), min(first_booked_at), greatest(max(last_booked_at), v_last.last_booked_at)
    FROM moved HAVING count(*) > 0
    RETURNING entries INTO v_new.entries;
    RETURN coalesce(v_new.entries, 0);
END $$;

-- The sum of all entries booked up to and including an instant, by currency and kind of account;
-- a system account is the only one of its kind and currency. Takes the last rollup whose entries
-- are all that early, adds from the rollups that the instant lies within and from what no rollup
-- has taken yet. Kinds that nothing ever moved are left out.
CREATE FUNCTION kind_balances(
    p_at timestamptz DEFAULT 'infinity', p_currency text DEFAULT NULL
) RETURNS TABLE (currency text, kind ledger_account_kind, balance numeric, entries bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = wallet, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_last rollups;
    v_whole bigint;
BEGIN
    SELECT * INTO v_last FROM rollups ORDER BY number DESC LIMIT 1;
    IF pg_snapshot_xmin(pg_current_snapshot()) < v_last.up_to_xid THEN
        PERFORM refuse('WL045', 'rollup_cut_goes_back', jsonb_build_object(
            'rolled_up_to', v_last.up_to_xid::text,
            'cut', pg_snapshot_xmin(pg_current_snapshot())::text));
    END IF;
    SELECT number INTO v_whole FROM rollups
    WHERE last_booked_at <= p_at ORDER BY last_booked_at DESC, number DESC LIMIT 1;

    RETURN QUERY
    WITH slices AS (
        SELECT from_xid, from_id, up_to_xid, up_to_id FROM rollups
        WHERE tstzrange(first_booked_at, last_booked_at) @> p_at AND number > coalesce(v_whole, 0)
        UNION ALL
        SELECT coalesce(v_last.up_to_xid, '0'), coalesce(v_last.up_to_id, 0),
               pg_snapshot_xmax(pg_current_snapshot()), 0
    ), parts AS (
        SELECT e.currency, a.kind, e.amount AS change, 1::bigint AS entries
        FROM slices s
        -- The first line is what the index is searched by; the others are exact.
        JOIN transfers t ON t.recorded_in BETWEEN s.from_xid AND s.up_to_xid
                        AND (t.recorded_in, t.id) >= (s.from_xid, s.from_id)
                        AND (t.recorded_in, t.id) < (s.up_to_xid, s.up_to_id)
        JOIN entries e ON e.transfer_id = t.id
        JOIN ledger_accounts a ON a.id = e.ledger_account_id
        WHERE e.booked_at <= p_at AND (t.currency = p_currency OR p_currency IS NULL)
        UNION ALL
        SELECT c.code, k.kind, l.balance, l.entries
        FROM currencies c
        CROSS JOIN unnest(enum_range(NULL::ledger_account_kind)) AS k (kind)
        CROSS JOIN LATERAL (
            SELECT balance, entries FROM rollup_balances
            WHERE currency = c.code AND kind = k.kind AND rollup <= v_whole
            ORDER BY rollup DESC LIMIT 1
        ) l
        WHERE c.code = p_currency OR p_currency IS NULL
    )
    SELECT currency, kind, sum(change), sum(entries)::bigint
    FROM parts GROUP BY currency, kind ORDER BY currency, kind;
END $$;

-- The last entry of a user's ledger account that was booked up to and including an instant, 0 if
-- none: found by halves, because time never runs backwards along a ledger account (L4).
CREATE FUNCTION version_as_of(p_ledger_account_id bigint, p_at timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = wallet, pg_temp
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_low bigint := 0;
    v_high bigint;
    v_middle bigint;
BEGIN
    SELECT version INTO v_high FROM entries
    WHERE ledger_account_id = p_ledger_account_id AND version IS NOT NULL
    ORDER BY version DESC LIMIT 1;
    -- Most questions are about the end.
    v_middle := v_high;
    WHILE v_low < v_high LOOP
        PERFORM FROM entries
        WHERE ledger_account_id = p_ledger_account_id AND version = v_middle
          AND booked_at <= p_at;
        IF FOUND THEN
            v_low := v_middle;
        ELSE
            v_high := v_middle - 1;
        END IF;
        v_middle := (v_low + v_high + 1) / 2;
    END LOOP;
    RETURN v_low;
END $$;

-- What a user had at the end of an instant, in each of their ledger accounts.
CREATE FUNCTION user_balances_as_of(p_user_id text, p_at timestamptz)
RETURNS TABLE (currency text, kind ledger_account_kind, version bigint, balance numeric)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = wallet, pg_temp
SET enable_seqscan = off
AS $$
    SELECT a.currency, a.kind, v.version, coalesce(e.balance_after, round(0.0, a.exponent))
    FROM ledger_accounts a
    CROSS JOIN LATERAL (SELECT version_as_of(a.id, p_at) AS version) v
    LEFT JOIN entries e ON e.ledger_account_id = a.id AND e.version = v.version
    WHERE a.user_id = p_user_id
    ORDER BY a.currency, a.kind
$$;

REVOKE ALL ON FUNCTION
    continue_the_rollups(), roll_up_system_accounts(), kind_balances(timestamptz, text),
    version_as_of(bigint, timestamptz), user_balances_as_of(text, timestamptz)
FROM PUBLIC;
REVOKE ALL ON rollups, rollup_balances, booking_marks FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    roll_up_system_accounts(), kind_balances(timestamptz, text),
    version_as_of(bigint, timestamptz), user_balances_as_of(text, timestamptz)
TO wallet;
GRANT SELECT ON rollups, rollup_balances, booking_marks TO wallet;
