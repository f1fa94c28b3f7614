-- What people decided about other people's money, for ever.

CREATE TABLE operator_decisions (
    id text PRIMARY KEY,
    at timestamptz NOT NULL,
    operator_id text NOT NULL CHECK (operator_id <> ''),
    action text NOT NULL CHECK (action ~ '^[a-z][a-z_]{0,63}$'),
    subject text NOT NULL CHECK (subject <> ''),
    reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 1000),
    details jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(details) = 'object'),
    stored_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX operator_decisions_of_subject ON operator_decisions (subject, at);
CREATE INDEX operator_decisions_of_operator ON operator_decisions (operator_id, at);
COMMENT ON TABLE operator_decisions IS
    'Who decided what about which subject, and why; stored in the commit of the effect.';

CREATE TRIGGER operator_decisions_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
    ON operator_decisions FOR EACH STATEMENT EXECUTE FUNCTION forbid_change();

GRANT SELECT, INSERT ON operator_decisions TO wallet;
