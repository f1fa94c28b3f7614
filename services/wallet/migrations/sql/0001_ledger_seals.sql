-- Seals: a chain of hashes over what is committed for good, each signed by a key that is not here.
--
-- Transfers have one order that never changes behind a cut: the database transaction that wrote
-- them, then their id. A transaction older than the oldest one still running has ended, so what
-- lies below `pg_snapshot_xmin` can neither grow nor shrink: a late commit lies above the cut and
-- is covered by a following seal. Neither an id nor a time could say that.

-- Every other way to find a range of that order reads more than the range. Rows of one posting
-- arrive at the index's end, where the primary key writes as well.
CREATE INDEX transfers_recorded ON transfers (recorded_in, id);

CREATE TABLE ledger_seals (
    number bigint PRIMARY KEY CHECK (number > 0),
    -- From, inclusive, and up to, exclusive: places in the order of (recorded_in, id).
    from_xid xid8 NOT NULL,
    from_id bigint NOT NULL,
    up_to_xid xid8 NOT NULL,
    up_to_id bigint NOT NULL,
    transfers bigint NOT NULL CHECK (transfers > 0),
    entries bigint NOT NULL CHECK (entries > 0),
    content_hash bytea NOT NULL CHECK (octet_length(content_hash) = 32),
    previous_hash bytea NOT NULL CHECK (octet_length(previous_hash) = 32),
    hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    sealed_at timestamptz NOT NULL,
    key_id text CHECK (key_id ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$'),
    signature bytea CHECK (octet_length(signature) = 64),
    CHECK ((from_xid, from_id) < (up_to_xid, up_to_id)),
    CHECK ((key_id IS NULL) = (signature IS NULL))
);
COMMENT ON TABLE ledger_seals IS
    'Chained hashes over the ledger, append-only; each is signed once, with a key kept elsewhere.';
COMMENT ON COLUMN ledger_seals.content_hash IS
    'SHA-256 of the covered transfers, each followed by its entries, as rows in text form.';
COMMENT ON COLUMN ledger_seals.hash IS
    'SHA-256 of everything else that was sealed, the hash before it included; this is signed.';

CREATE TRIGGER ledger_seals_are_append_only BEFORE DELETE OR TRUNCATE ON ledger_seals
    FOR EACH STATEMENT EXECUTE FUNCTION forbid_change();
CREATE TRIGGER ledger_seals_are_signed_once BEFORE UPDATE ON ledger_seals
    FOR EACH ROW WHEN (
        OLD.signature IS NOT NULL
        OR (OLD.number, OLD.from_xid, OLD.from_id, OLD.up_to_xid, OLD.up_to_id, OLD.transfers,
            OLD.entries, OLD.content_hash, OLD.previous_hash, OLD.hash, OLD.sealed_at)
           IS DISTINCT FROM
           (NEW.number, NEW.from_xid, NEW.from_id, NEW.up_to_xid, NEW.up_to_id, NEW.transfers,
            NEW.entries, NEW.content_hash, NEW.previous_hash, NEW.hash, NEW.sealed_at)
    ) EXECUTE FUNCTION forbid_change();

-- A seal begins where the one before it ended, and only after that one is signed.
CREATE FUNCTION continue_the_chain() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_last ledger_seals;
BEGIN
    SELECT * INTO v_last FROM ledger_seals ORDER BY number DESC LIMIT 1;
    IF (NEW.number, NEW.from_xid, NEW.from_id, NEW.previous_hash) IS DISTINCT FROM
       (coalesce(v_last.number, 0) + 1, coalesce(v_last.up_to_xid, '0'),
        coalesce(v_last.up_to_id, 0), coalesce(v_last.hash, decode(repeat('00', 32), 'hex')))
       OR NEW.signature IS NOT NULL
       OR (v_last.number IS NOT NULL AND v_last.signature IS NULL)
    THEN
        PERFORM refuse('WL041', 'seal_out_of_chain', jsonb_build_object('number', NEW.number));
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ledger_seals_continue_the_chain BEFORE INSERT ON ledger_seals
    FOR EACH ROW EXECUTE FUNCTION continue_the_chain();

-- Hash what is committed for good and not yet sealed, and append the seal, unsigned. A seal covers
-- no more than 20,000 transfers: its work stays bounded however much waits, and a slice may end
-- anywhere below the cut, even between the transfers of one database transaction.
--
-- Returns the seal that waits for its signature, an older one if a signature is still missing;
-- nothing if there is nothing to seal, or another one is sealing.
CREATE FUNCTION prepare_seal() RETURNS SETOF ledger_seals
LANGUAGE plpgsql SECURITY DEFINER SET search_path = wallet, pg_temp
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan SET jit = off
SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
AS $$
DECLARE
    c_transfers_max CONSTANT bigint := 20000;
    v_last ledger_seals;
    v_new ledger_seals;
    v_cut xid8;
BEGIN
    -- Each statement must see what is committed by then, above all what the last sealer wrote.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM refuse('WL042', 'seal_needs_read_committed');
    END IF;
    IF NOT pg_try_advisory_xact_lock(hashtextextended('wallet.ledger_seals', 0)) THEN
        RETURN;
    END IF;
    SELECT * INTO v_last FROM ledger_seals ORDER BY number DESC LIMIT 1;
    IF v_last.number IS NOT NULL AND v_last.signature IS NULL THEN
        RETURN NEXT v_last;
        RETURN;
    END IF;
    v_new.number := coalesce(v_last.number, 0) + 1;
    v_new.from_xid := coalesce(v_last.up_to_xid, '0');
    v_new.from_id := coalesce(v_last.up_to_id, 0);
    v_new.previous_hash := coalesce(v_last.hash, decode(repeat('00', 32), 'hex'));
    v_cut := pg_snapshot_xmin(pg_current_snapshot());
    -- Numbers of database transactions only grow, unless the data was carried to another cluster
    -- without its counter. New postings would then lie below the cut, unsealed for ever.
    IF v_cut < v_new.from_xid THEN
        PERFORM refuse('WL040', 'seal_cut_goes_back', jsonb_build_object(
            'sealed_up_to', v_new.from_xid::text, 'cut', v_cut::text));
    END IF;

    SELECT recorded_in, id INTO v_new.up_to_xid, v_new.up_to_id FROM transfers
    WHERE (recorded_in, id) >= (v_new.from_xid, v_new.from_id) AND recorded_in < v_cut
    ORDER BY recorded_in, id OFFSET c_transfers_max LIMIT 1;
    IF NOT FOUND THEN
        v_new.up_to_xid := v_cut;
        v_new.up_to_id := 0;
    END IF;

    -- `wallet ledger verify` holds the same text, so that no function of ours vouches for itself.
    SELECT count(*), coalesce(sum(legs.count), 0),
           sha256(convert_to(string_agg(
               ROW(t.id, t.business_key, t.kind, t.user_id, t.amount, t.currency, t.subject,
                   t.reverses, t.effective_at, t.recorded_in)::text || E'\n' || legs.lines,
               E'\n' ORDER BY t.recorded_in, t.id), 'UTF8'))
    INTO v_new.transfers, v_new.entries, v_new.content_hash
    FROM transfers t
    CROSS JOIN LATERAL (
        SELECT count(*) AS count, coalesce(string_agg(
            ROW(e.leg, e.ledger_account_id, e.currency, e.amount, e.version, e.balance_after,
                e.booked_at)::text, E'\n' ORDER BY e.leg), '') AS lines
        FROM entries e WHERE e.transfer_id = t.id
    ) legs
    WHERE (t.recorded_in, t.id) >= (v_new.from_xid, v_new.from_id)
      AND (t.recorded_in, t.id) < (v_new.up_to_xid, v_new.up_to_id);
    IF v_new.transfers = 0 THEN
        RETURN;
    END IF;

    -- Clocks are set back at times; seals are not.
    v_new.sealed_at := greatest(clock_timestamp(), v_last.sealed_at);
    v_new.hash := sha256(convert_to(concat_ws('|', 'octoco ledger seal 1', v_new.number,
        v_new.from_xid, v_new.from_id, v_new.up_to_xid, v_new.up_to_id, v_new.transfers,
        v_new.entries, encode(v_new.content_hash, 'hex'), encode(v_new.previous_hash, 'hex'),
        to_char(v_new.sealed_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')), 'UTF8'));
    INSERT INTO ledger_seals VALUES (v_new.*);
    RETURN NEXT v_new;
END $$;

-- Sign a seal, once. Whoever comes second changes nothing and gets the seal as it was signed.
CREATE FUNCTION sign_seal(p_number bigint, p_key_id text, p_signature bytea)
RETURNS SETOF ledger_seals
LANGUAGE plpgsql SECURITY DEFINER SET search_path = wallet, pg_temp
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    UPDATE ledger_seals SET key_id = p_key_id, signature = p_signature
    WHERE number = p_number AND signature IS NULL;
    RETURN QUERY SELECT * FROM ledger_seals WHERE number = p_number;
    IF NOT FOUND THEN
        PERFORM refuse('WL043', 'seal_not_found', jsonb_build_object('number', p_number));
    END IF;
END $$;

REVOKE ALL ON FUNCTION continue_the_chain(), prepare_seal(), sign_seal(bigint, text, bytea)
    FROM PUBLIC;
REVOKE ALL ON ledger_seals FROM PUBLIC;
GRANT EXECUTE ON FUNCTION prepare_seal(), sign_seal(bigint, text, bytea) TO wallet;
GRANT SELECT ON ledger_seals TO wallet;
