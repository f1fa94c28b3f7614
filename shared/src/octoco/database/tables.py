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
    waits_for text NOT NULL,
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    parked_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX parked_events_due ON parked_events (due_at);
COMMENT ON TABLE parked_events IS 'Events that came before what they build on.';

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
    last_reason text,
    finished_at timestamptz,
    PRIMARY KEY (kind, subject_id)
);
CREATE INDEX intents_due ON intents (due_at) WHERE finished_at IS NULL;
COMMENT ON TABLE intents IS 'Calls that are to leave the system; lease is the fencing token.';

CREATE TABLE idempotency_keys (
    user_id text NOT NULL,
    key text NOT NULL,
    request_hash text NOT NULL,
    resource_id text,
    stored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (user_id, key)
);
COMMENT ON TABLE idempotency_keys IS
    'Which request made which resource, stored in the commit of the effect.';

GRANT SELECT, INSERT, DELETE ON outbox TO {role};
GRANT SELECT, INSERT, DELETE ON inbox TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON parked_events, intents, idempotency_keys TO {role};
"""


def messaging_tables_v1(service_role: str) -> str:
    """Return the SQL of outbox, inbox, parked events, intents and idempotency keys.

    Args:
        service_role: The role that the service runs as; it may use the tables, not change them.
    """
    return _MESSAGING_V1.format(role=service_role)
