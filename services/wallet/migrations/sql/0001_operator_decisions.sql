-- What people decided about other people's money, for ever.

CREATE TABLE operator_decisions (
    id text PRIMARY KEY,
    at timestamptz NOT NULL,
    operator_id text NOT NULL CHECK (operator_id <> ''),
    action text NOT NULL CHECK (action ~ '^[a-z][a-z_]{0,63}$'),
    subject text NOT NULL CHECK (subject <> ''),
    reason text NOT NULL CHECK (reason ~ '\S' AND length(reason) <= 1000),
    details jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(details) = 'object'),
    stored_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX operator_decisions_of_subject ON operator_decisions (subject, at);
CREATE INDEX operator_decisions_of_operator ON operator_decisions (operator_id, at);
COMMENT ON TABLE operator_decisions IS
    'Who decided what about which subject, and why; stored in the commit of the effect.';

CREATE TRIGGER operator_decisions_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
    ON operator_decisions FOR EACH STATEMENT EXECUTE FUNCTION forbid_change();

-- Money that an operator entered in suspense takes two people to reach a user, and neither of them
-- is that user. Money that Revio told of takes one, who is not that user.
CREATE FUNCTION check_assignment_takes_two_people() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = wallet, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    v_user_id text := NEW.details ->> 'user_id';
BEGIN
    IF v_user_id IS NULL OR NEW.operator_id = v_user_id OR EXISTS (
        SELECT FROM operator_decisions d
        WHERE d.subject = NEW.subject AND d.action = 'suspense_entered'
          AND d.operator_id IN (NEW.operator_id, v_user_id)
    ) THEN
        PERFORM refuse('WL035', 'assignment_needs_two_people',
                       jsonb_build_object('subject', NEW.subject));
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER operator_decisions_assign_by_two_people BEFORE INSERT ON operator_decisions
    FOR EACH ROW WHEN (NEW.action = 'suspense_assigned')
    EXECUTE FUNCTION check_assignment_takes_two_people();
REVOKE ALL ON FUNCTION check_assignment_takes_two_people() FROM PUBLIC;

-- When it was stored is the database's to say.
GRANT SELECT, INSERT (id, at, operator_id, action, subject, reason, details)
    ON operator_decisions TO wallet;
