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
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE outbox IS 'Messages not yet confirmed by the broker; the relay deletes what is.';

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
    parked_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX parked_events_due ON parked_events (due_at);
COMMENT ON TABLE parked_events IS 'Events that came before what they build on.';
COMMENT ON COLUMN parked_events.begun_at IS
    'Set while it is tried; found again when it is due, it tells that a process died of it.';

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
);
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
