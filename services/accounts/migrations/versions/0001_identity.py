"""Users, credentials, roles, verification tokens, sessions, refresh tokens and the audit log."""

from alembic import op

from octoco.database.tables import messaging_tables_v1

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_IDENTITY = """
CREATE TABLE users (
    id text PRIMARY KEY,
    email text NOT NULL CHECK (length(email) BETWEEN 3 AND 254),
    email_key text NOT NULL UNIQUE CHECK (email_key = lower(email)),
    full_name text NOT NULL CHECK (length(full_name) BETWEEN 1 AND 200),
    created_at timestamptz NOT NULL,
    email_verified_at timestamptz,
    frozen_at timestamptz,
    unfrozen_at timestamptz,
    -- Which of the two holds is never in doubt.
    CHECK (frozen_at <> unfrozen_at)
);
COMMENT ON COLUMN users.email_key IS 'What makes two spellings of an address one.';

CREATE TABLE user_roles (
    user_id text NOT NULL REFERENCES users (id),
    role text NOT NULL CHECK (role IN ('user', 'support', 'finance', 'admin')),
    granted_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, role)
);

CREATE TABLE credentials (
    id text PRIMARY KEY,
    user_id text NOT NULL REFERENCES users (id),
    password_hash text NOT NULL CHECK (password_hash LIKE '$%'),
    created_at timestamptz NOT NULL,
    UNIQUE (user_id, id)
);
COMMENT ON TABLE credentials IS
    'Hashed passwords. Until the address is proved each registration has its own.';

CREATE TABLE verification_tokens (
    token_hash text PRIMARY KEY CHECK (length(token_hash) = 64),
    user_id text NOT NULL REFERENCES users (id),
    credential_id text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > created_at),
    used_at timestamptz,
    -- A credential that loses takes its links with it.
    FOREIGN KEY (user_id, credential_id) REFERENCES credentials (user_id, id) ON DELETE CASCADE
);
CREATE INDEX verification_tokens_of_user ON verification_tokens (user_id, credential_id);
CREATE INDEX verification_tokens_by_end ON verification_tokens (expires_at);

CREATE TABLE sessions (
    id text PRIMARY KEY,
    user_id text NOT NULL REFERENCES users (id),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > created_at),
    successor_salt bytea NOT NULL CHECK (length(successor_salt) >= 16),
    created_from_address text,
    created_by_user_agent text,
    last_used_at timestamptz NOT NULL,
    last_used_from_address text,
    last_used_by_user_agent text,
    revoked_at timestamptz,
    revoked_reason text,
    CHECK ((revoked_at IS NULL) = (revoked_reason IS NULL))
);
CREATE INDEX sessions_of_user ON sessions (user_id, created_at);
CREATE INDEX sessions_by_end ON sessions (expires_at);

CREATE TABLE refresh_tokens (
    token_hash text PRIMARY KEY CHECK (length(token_hash) = 64),
    session_id text NOT NULL REFERENCES sessions (id),
    generation integer NOT NULL CHECK (generation >= 0),
    derivation_key_id text CHECK ((derivation_key_id IS NULL) = (generation = 0)),
    access_claims jsonb NOT NULL,
    issued_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > issued_at),
    rotated_at timestamptz,
    UNIQUE (session_id, generation)
);
CREATE INDEX refresh_tokens_by_end ON refresh_tokens (expires_at);
COMMENT ON TABLE refresh_tokens IS
    'Generations of each session''s family. Successor of (session, n) is (session, n + 1).';

CREATE TABLE audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    action text NOT NULL,
    user_id text,
    address text,
    user_agent text,
    details jsonb NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX audit_log_of_user ON audit_log (user_id, id);

-- The service's role has no right to change a record; this also stops the owner's slip of the hand.
CREATE FUNCTION refuse_change_of_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_log is append-only';
END
$$;
CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_audit_log();

GRANT SELECT, INSERT ON users, user_roles, sessions, refresh_tokens, audit_log TO accounts;
GRANT UPDATE (full_name, email_verified_at, frozen_at, unfrozen_at) ON users TO accounts;
GRANT SELECT, INSERT, DELETE ON credentials TO accounts;
GRANT UPDATE (password_hash) ON credentials TO accounts;
GRANT SELECT, INSERT, DELETE ON verification_tokens TO accounts;
GRANT UPDATE (used_at) ON verification_tokens TO accounts;
GRANT UPDATE (last_used_at, last_used_from_address, last_used_by_user_agent, revoked_at,
              revoked_reason) ON sessions TO accounts;
GRANT UPDATE (rotated_at) ON refresh_tokens TO accounts;
GRANT DELETE ON sessions, refresh_tokens TO accounts;
"""


def upgrade() -> None:
    op.execute(messaging_tables_v1("accounts"))
    op.execute(_IDENTITY)


def downgrade() -> None:
    raise NotImplementedError("a first migration is not undone: drop the schema instead")
