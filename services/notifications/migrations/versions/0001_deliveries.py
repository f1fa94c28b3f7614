"""Recipients and deliveries."""

from alembic import op

from octoco.database.tables import messaging_tables_v1

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_DELIVERIES = """
CREATE TABLE recipients (
    user_id text PRIMARY KEY,
    email text NOT NULL,
    full_name text NOT NULL,
    locale text NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE recipients IS 'How to reach users, learnt from accounts'' events.';

CREATE TABLE deliveries (
    id text PRIMARY KEY,
    message_id text NOT NULL,
    template text NOT NULL,
    user_id text NOT NULL,
    to_address text NOT NULL,
    locale text NOT NULL,
    facts jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    token_encrypted text,
    token_expires_at timestamptz,
    status text NOT NULL CHECK (status IN ('waiting', 'sending', 'sent', 'failed')),
    repeats integer NOT NULL DEFAULT 0 CHECK (repeats BETWEEN 0 AND 1),
    sent_at timestamptz,
    failure_reason text,
    UNIQUE (message_id, template),
    CHECK ((status = 'sent') = (sent_at IS NOT NULL)),
    CHECK ((status = 'failed') = (failure_reason IS NOT NULL)),
    CHECK (token_encrypted IS NULL OR token_expires_at IS NOT NULL),
    CONSTRAINT ended_deliveries_hold_no_token
        CHECK (status IN ('waiting', 'sending') OR token_encrypted IS NULL)
);
CREATE INDEX deliveries_of_user ON deliveries (user_id, id);

GRANT SELECT, INSERT, UPDATE ON recipients TO notifications;
GRANT SELECT, INSERT ON deliveries TO notifications;
GRANT UPDATE (status, repeats, sent_at, failure_reason, token_encrypted)
    ON deliveries TO notifications;
"""


def upgrade() -> None:
    op.execute(messaging_tables_v1("notifications"))
    op.execute(_DELIVERIES)


def downgrade() -> None:
    raise NotImplementedError("a first migration is not undone: drop the schema instead")
