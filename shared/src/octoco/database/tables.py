"""The tables that every service has in its own schema, as SQL for its first migration.

Published versions are never edited: a change is a new function and a new migration.
"""

_MESSAGING_V1 = """
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id text NOT NULL,
    event_type text NOT NULL,
    aggregate_id text NOT NULL,
    occurred_at timestamptz NOT NULL,
    data jsonb NOT NULL,
    correlation_id text NOT NULL,
    causation_id text,
    traceparent text,
    stored_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0,
    toast.autovacuum_vacuum_scale_factor = 0,
    toast.autovacuum_vacuum_threshold = 1000,
    toast.autovacuum_vacuum_cost_delay = 0
);
COMMENT ON TABLE outbox IS 'Messages not yet confirmed by the broker; the relay deletes what is.';

CREATE TABLE outbox_archive (
    outbox_id bigint NOT NULL,
    message_id text NOT NULL,
    event_type text NOT NULL,
    aggregate_id text NOT NULL,
    occurred_at timestamptz NOT NULL,
    data jsonb,
    correlation_id text NOT NULL,
    causation_id text,
    traceparent text,
    stored_at timestamptz NOT NULL,
    confirmed_at timestamptz NOT NULL DEFAULT clock_timestamp()
) PARTITION BY RANGE (confirmed_at);
CREATE TABLE outbox_archive_rest PARTITION OF outbox_archive DEFAULT;
CREATE INDEX outbox_archive_message ON outbox_archive (message_id);
CREATE INDEX outbox_archive_aggregate ON outbox_archive (aggregate_id, outbox_id);
COMMENT ON TABLE outbox_archive IS
    'Messages confirmed by the broker, by day (UTC), where they are kept; off by default.';
COMMENT ON COLUMN outbox_archive.data IS 'NULL where the body carried a secret.';
COMMENT ON TABLE outbox_archive_rest IS 'Messages of days without a partition of their own.';

CREATE FUNCTION keep_outbox_archive(days_kept integer, days_ahead integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = {role}, pg_temp
SET lock_timeout = '2s'
AS $$
DECLARE
    today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    oldest date := today - days_kept;
    day date;
    part text;
BEGIN
    IF days_kept < 1 OR days_ahead NOT BETWEEN 0 AND 31 THEN
        RAISE EXCEPTION 'at least a day is kept, and at most 31 are made ahead';
    END IF;
    -- Two workers come at the same time; one is enough.
    IF NOT pg_try_advisory_xact_lock(
        hashtextextended('octoco.outbox_archive:' || current_schema(), 0)
    ) THEN
        RETURN;
    END IF;
    FOR day IN SELECT today + ahead FROM generate_series(0, days_ahead) AS ahead LOOP
        part := 'outbox_archive_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass(part) IS NOT NULL;
        BEGIN
            EXECUTE format(
                'CREATE TABLE %I PARTITION OF outbox_archive FOR VALUES FROM (%L) TO (%L)',
                part, day || ' 00:00:00+00', (day + 1) || ' 00:00:00+00'
            );
        EXCEPTION WHEN check_violation THEN
            -- Messages of this day are with the rest already, and the others follow them there.
            CONTINUE;
        END;
    END LOOP;
    FOR part IN
        SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'outbox_archive'::regclass AND c.relname ~ '^outbox_archive_[0-9]{{8}}$'
          AND to_date(right(c.relname, 8), 'YYYYMMDD') < oldest
    LOOP
        EXECUTE format('DROP TABLE %I', part);
    END LOOP;
    DELETE FROM outbox_archive_rest WHERE confirmed_at < oldest::timestamp AT TIME ZONE 'UTC';
END
$$;
COMMENT ON FUNCTION keep_outbox_archive IS
    'Makes the partitions of today and the days ahead, and drops those of days kept long enough.';
REVOKE ALL ON FUNCTION keep_outbox_archive FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keep_outbox_archive TO {role};

CREATE TABLE inbox (
    event_id text PRIMARY KEY,
    handled_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE inbox IS 'Events handled, recorded in the unit of work of their effect.';

CREATE TABLE parked_events (
    event_id text PRIMARY KEY,
    event jsonb NOT NULL,
    headers jsonb NOT NULL DEFAULT '{{}}',
    waits_for text NOT NULL,
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    begun_at timestamptz,
    claim_id uuid,
    parked_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX parked_events_due ON parked_events (due_at);
COMMENT ON TABLE parked_events IS 'Events that came before what they build on.';
COMMENT ON COLUMN parked_events.begun_at IS
    'Set while it is tried; found again when it is due, it tells that a process died of it.';
COMMENT ON COLUMN parked_events.claim_id IS
    'Of the last claim: who gets no answer to a claim gives back by it what was claimed.';

CREATE TABLE suspect_deliveries (
    delivery_key text PRIMARY KEY,
    begun_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE suspect_deliveries IS
    'Deliveries in hand once when a process died, marked while they are handled again.';

CREATE TABLE intents (
    kind text NOT NULL,
    subject_id text NOT NULL,
    data jsonb NOT NULL,
    correlation_id text NOT NULL,
    causation_id text,
    traceparent text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    due_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    lease bigint NOT NULL DEFAULT 0 CHECK (lease >= 0),
    leased_until timestamptz,
    begun_at timestamptz,
    answered_at timestamptz,
    last_reason text,
    finished_at timestamptz,
    PRIMARY KEY (kind, subject_id),
    CHECK (answered_at IS NULL OR begun_at IS NOT NULL)
) WITH (fillfactor = 60);
CREATE INDEX intents_due ON intents (kind, due_at) WHERE finished_at IS NULL;
CREATE INDEX intents_finished ON intents (kind, finished_at) WHERE finished_at IS NOT NULL;
COMMENT ON TABLE intents IS 'Calls that are to leave the system; lease is the fencing token.';
COMMENT ON COLUMN intents.begun_at IS 'When the last call was begun, committed before it.';
COMMENT ON COLUMN intents.answered_at IS
    'When its answer was recorded; NULL after begun_at: nobody knows what it did.';

CREATE TABLE intent_pushes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    subject_id text NOT NULL,
    pushed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    pushed_by text NOT NULL CHECK (pushed_by <> ''),
    reason text
);
CREATE INDEX intent_pushes_of ON intent_pushes (kind, subject_id);
COMMENT ON TABLE intent_pushes IS 'Who made which intent due at once, and why; kept for ever.';

CREATE TABLE discarded_messages (
    message_id text NOT NULL,
    body_sha256 text NOT NULL,
    event_type text,
    headers jsonb NOT NULL,
    body text NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    discarded_by text NOT NULL CHECK (discarded_by <> ''),
    discarded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (message_id, body_sha256)
);
CREATE INDEX discarded_messages_newest ON discarded_messages (discarded_at);
COMMENT ON TABLE discarded_messages IS
    'Dead messages that will not be handled: who said so, and why; kept for ever, without secrets.';

CREATE TABLE idempotency_keys (
    user_id text NOT NULL,
    key text NOT NULL,
    request_hash text NOT NULL,
    resource_id text,
    stored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (user_id, key)
);
CREATE INDEX idempotency_keys_stored ON idempotency_keys (stored_at);
COMMENT ON TABLE idempotency_keys IS
    'Which request made which resource, stored in the commit of the effect.';

GRANT SELECT, INSERT, DELETE ON outbox TO {role};
GRANT SELECT ON SEQUENCE outbox_id_seq TO {role};
GRANT SELECT, INSERT ON outbox_archive TO {role};
GRANT SELECT, INSERT, DELETE ON inbox TO {role};
GRANT SELECT, INSERT, DELETE ON suspect_deliveries TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON parked_events, intents, idempotency_keys TO {role};
GRANT SELECT, INSERT ON intent_pushes, discarded_messages TO {role};
"""


def messaging_tables_v1(service_role: str) -> str:
    """Return the SQL of outbox, inbox, parked and discarded messages, intents, idempotency keys.

    Args:
        service_role: The role that the service runs as; it may use the tables, not change them.
    """
    return _MESSAGING_V1.format(role=service_role)
