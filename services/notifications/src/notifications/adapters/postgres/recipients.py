"""Recipients in PostgreSQL."""

import sqlalchemy

from notifications.domain.recipients import Recipient

_STORE = sqlalchemy.text(
    """
    INSERT INTO recipients (user_id, email, full_name, locale)
    VALUES (:user_id, :email, :full_name, :locale)
    ON CONFLICT (user_id) DO UPDATE SET email = excluded.email, full_name = excluded.full_name
    """
)
_FIND = sqlalchemy.text(
    "SELECT user_id, email, full_name, locale FROM recipients WHERE user_id = :user_id"
)


class PostgresRecipients:
    """See `notifications.use_cases.ports.Recipients`."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection

    def store(self, recipient: Recipient) -> None:
        self._connection.execute(
            _STORE,
            {
                "user_id": recipient.user_id,
                "email": recipient.email,
                "full_name": recipient.full_name,
                "locale": recipient.locale,
            },
        )

    def find(self, user_id: str) -> Recipient | None:
        row = self._connection.execute(_FIND, {"user_id": user_id}).one_or_none()
        if row is None:
            return None
        return Recipient(row.user_id, row.email, row.full_name, row.locale)
