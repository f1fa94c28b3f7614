"""Users and their roles in PostgreSQL."""

from datetime import datetime
from typing import Any

import sqlalchemy

from accounts.domain.users import Email, Role, User, UserId, sorted_roles

_COLUMNS = """
    SELECT id, email, full_name, created_at, email_verified_at, frozen_at, unfrozen_at,
        (SELECT array_agg(role) FROM user_roles WHERE user_id = users.id) AS roles
    FROM users
"""
_ADD = sqlalchemy.text(
    """
    INSERT INTO users (id, email, email_key, full_name, created_at)
    VALUES (:id, :email, :email_key, :full_name, :created_at)
    ON CONFLICT (email_key) DO NOTHING
    """
)
_GRANT_ROLE = sqlalchemy.text(
    """
    INSERT INTO user_roles (user_id, role, granted_at) VALUES (:user_id, :role, :granted_at)
    ON CONFLICT DO NOTHING
    """
)
_FIND = sqlalchemy.text(_COLUMNS + "WHERE id = :id")
_FIND_BY_EMAIL = sqlalchemy.text(_COLUMNS + "WHERE email_key = :email_key")
_LOCK = sqlalchemy.text(_COLUMNS + "WHERE id = :id FOR UPDATE")
_LOCK_BY_EMAIL = sqlalchemy.text(_COLUMNS + "WHERE email_key = :email_key FOR UPDATE")
_RENAME = sqlalchemy.text("UPDATE users SET full_name = :full_name WHERE id = :id")
_VERIFY = sqlalchemy.text(
    "UPDATE users SET email_verified_at = :at WHERE id = :id AND email_verified_at IS NULL"
)
_FREEZE = sqlalchemy.text("UPDATE users SET frozen_at = :at WHERE id = :id")
_UNFREEZE = sqlalchemy.text("UPDATE users SET unfrozen_at = :at WHERE id = :id")


class PostgresUsers:
    """See `accounts.use_cases.ports.Users`."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection

    def add(self, user: User) -> bool:
        added = self._connection.execute(
            _ADD,
            {
                "id": user.id,
                "email": user.email.address,
                "email_key": user.email.key,
                "full_name": user.full_name,
                "created_at": user.created_at,
            },
        )
        if added.rowcount == 0:
            return False
        for role in user.roles:
            self.grant_role(user.id, role=role, granted_at=user.created_at)
        return True

    def find(self, user_id: UserId) -> User | None:
        return self._one(_FIND, {"id": user_id})

    def find_by_email(self, email: Email) -> User | None:
        return self._one(_FIND_BY_EMAIL, {"email_key": email.key})

    def lock(self, user_id: UserId) -> User | None:
        return self._one(_LOCK, {"id": user_id})

    def lock_by_email(self, email: Email) -> User | None:
        return self._one(_LOCK_BY_EMAIL, {"email_key": email.key})

    def rename(self, user_id: UserId, *, full_name: str) -> None:
        self._connection.execute(_RENAME, {"id": user_id, "full_name": full_name})

    def mark_email_verified(self, user_id: UserId, *, verified_at: datetime) -> None:
        self._connection.execute(_VERIFY, {"id": user_id, "at": verified_at})

    def freeze(self, user_id: UserId, *, frozen_at: datetime) -> None:
        self._connection.execute(_FREEZE, {"id": user_id, "at": frozen_at})

    def unfreeze(self, user_id: UserId, *, unfrozen_at: datetime) -> None:
        self._connection.execute(_UNFREEZE, {"id": user_id, "at": unfrozen_at})

    def grant_role(self, user_id: UserId, *, role: Role, granted_at: datetime) -> None:
        self._connection.execute(
            _GRANT_ROLE, {"user_id": user_id, "role": role.value, "granted_at": granted_at}
        )

    def _one(self, statement: sqlalchemy.TextClause, parameters: dict[str, Any]) -> User | None:
        row = self._connection.execute(statement, parameters).one_or_none()
        if row is None:
            return None
        return User(
            id=UserId(row.id),
            email=Email(row.email),
            full_name=row.full_name,
            roles=sorted_roles(Role(role) for role in row.roles),
            created_at=row.created_at,
            email_verified_at=row.email_verified_at,
            frozen_at=row.frozen_at,
            unfrozen_at=row.unfrozen_at,
        )
