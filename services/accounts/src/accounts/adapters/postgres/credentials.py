"""Hashed passwords and proofs of address in PostgreSQL."""

from datetime import datetime

import sqlalchemy

from accounts.domain.credentials import Credential, CredentialId, VerificationToken
from accounts.domain.users import UserId

_ADD = sqlalchemy.text(
    """
    INSERT INTO credentials (id, user_id, password_hash, created_at)
    VALUES (:id, :user_id, :password_hash, :created_at)
    """
)
# Ids sort by time, and settle the order of two made in one instant.
_LATEST = sqlalchemy.text(
    """
    SELECT id, user_id, password_hash, created_at FROM credentials
    WHERE user_id = :user_id ORDER BY created_at DESC, id DESC LIMIT 1
    """
)
_KEEP_ONLY = sqlalchemy.text("DELETE FROM credentials WHERE user_id = :user_id AND id <> :id")
_REPLACE_HASH = sqlalchemy.text(
    "UPDATE credentials SET password_hash = :password_hash WHERE id = :id"
)
_ADD_TOKEN = sqlalchemy.text(
    """
    INSERT INTO verification_tokens (token_hash, user_id, credential_id, created_at, expires_at)
    VALUES (:token_hash, :user_id, :credential_id, :created_at, :expires_at)
    """
)
_FIND_TOKEN = sqlalchemy.text(
    """
    SELECT token_hash, user_id, credential_id, created_at, expires_at, used_at
    FROM verification_tokens WHERE token_hash = :token_hash
    """
)
_COUNT_OPEN = sqlalchemy.text(
    """
    SELECT count(*) FROM verification_tokens
    WHERE user_id = :user_id AND used_at IS NULL AND expires_at > :now
    """
)
_USE_ALL = sqlalchemy.text(
    "UPDATE verification_tokens SET used_at = :used_at WHERE user_id = :user_id AND used_at IS NULL"
)

_DELETE_EXPIRED = sqlalchemy.text(
    """
    DELETE FROM verification_tokens WHERE token_hash IN (
        SELECT token_hash FROM verification_tokens WHERE expires_at < :before LIMIT :limit
    )
    """
)


class PostgresCredentials:
    """See `accounts.use_cases.ports.Credentials`."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection

    def add(self, credential: Credential) -> None:
        self._connection.execute(
            _ADD,
            {
                "id": credential.id,
                "user_id": credential.user_id,
                "password_hash": credential.password_hash,
                "created_at": credential.created_at,
            },
        )

    def latest_of(self, user_id: UserId) -> Credential | None:
        row = self._connection.execute(_LATEST, {"user_id": user_id}).one_or_none()
        if row is None:
            return None
        return Credential(
            CredentialId(row.id), UserId(row.user_id), row.password_hash, row.created_at
        )

    def keep_only(self, credential_id: CredentialId, *, user_id: UserId) -> None:
        self._connection.execute(_KEEP_ONLY, {"id": credential_id, "user_id": user_id})

    def replace_hash(self, credential_id: CredentialId, *, password_hash: str) -> None:
        self._connection.execute(
            _REPLACE_HASH, {"id": credential_id, "password_hash": password_hash}
        )


class PostgresVerificationTokens:
    """See `accounts.use_cases.ports.VerificationTokens`."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection

    def add(self, token: VerificationToken) -> None:
        self._connection.execute(
            _ADD_TOKEN,
            {
                "token_hash": token.token_hash,
                "user_id": token.user_id,
                "credential_id": token.credential_id,
                "created_at": token.created_at,
                "expires_at": token.expires_at,
            },
        )

    def find(self, token_hash: str) -> VerificationToken | None:
        row = self._connection.execute(_FIND_TOKEN, {"token_hash": token_hash}).one_or_none()
        if row is None:
            return None
        return VerificationToken(
            token_hash=row.token_hash,
            user_id=UserId(row.user_id),
            credential_id=CredentialId(row.credential_id),
            created_at=row.created_at,
            expires_at=row.expires_at,
            used_at=row.used_at,
        )

    def count_open(self, user_id: UserId, *, now: datetime) -> int:
        counted = self._connection.execute(_COUNT_OPEN, {"user_id": user_id, "now": now})
        return int(counted.scalar_one())

    def use_all(self, user_id: UserId, *, used_at: datetime) -> None:
        self._connection.execute(_USE_ALL, {"user_id": user_id, "used_at": used_at})

    def delete_expired(self, *, before: datetime, limit: int) -> int:
        deleted = self._connection.execute(_DELETE_EXPIRED, {"before": before, "limit": limit})
        return deleted.rowcount
