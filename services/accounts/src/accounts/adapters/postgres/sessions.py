"""Sessions and the generations of their refresh tokens in PostgreSQL."""

import json
from datetime import datetime
from typing import Any

import sqlalchemy

from accounts.domain.sessions import (
    AccessClaims,
    Origin,
    RefreshToken,
    RevocationReason,
    Session,
    SessionId,
)
from accounts.domain.users import UserId

_ADD = sqlalchemy.text(
    """
    INSERT INTO sessions (
        id, user_id, created_at, expires_at, successor_salt,
        created_from_address, created_by_user_agent,
        last_used_at, last_used_from_address, last_used_by_user_agent
    ) VALUES (
        :id, :user_id, :created_at, :expires_at, :successor_salt,
        :address, :user_agent, :created_at, :address, :user_agent
    )
    """
)
_COLUMNS = """
    SELECT id, user_id, created_at, expires_at, successor_salt,
        created_from_address, created_by_user_agent, revoked_at, revoked_reason
    FROM sessions WHERE id = :id
"""
_FIND = sqlalchemy.text(_COLUMNS)
_LOCK = sqlalchemy.text(_COLUMNS + "FOR UPDATE")
_TOUCH = sqlalchemy.text(
    """
    UPDATE sessions SET last_used_at = :used_at, last_used_from_address = :address,
        last_used_by_user_agent = :user_agent
    WHERE id = :id
    """
)
_REVOKE = sqlalchemy.text(
    """
    UPDATE sessions SET revoked_at = :revoked_at, revoked_reason = :reason
    WHERE id = :id AND revoked_at IS NULL
    """
)
_ADD_TOKEN = sqlalchemy.text(
    """
    INSERT INTO refresh_tokens (
        token_hash, session_id, generation, derivation_key_id, access_claims, issued_at, expires_at
    ) VALUES (
        :token_hash, :session_id, :generation, :derivation_key_id,
        CAST(:access_claims AS jsonb), :issued_at, :expires_at
    )
    """
)
_GENERATION_COLUMNS = """
    SELECT token_hash, session_id, generation, derivation_key_id, access_claims, issued_at,
        expires_at, rotated_at
    FROM refresh_tokens
"""
_FIND_TOKEN = sqlalchemy.text(_GENERATION_COLUMNS + "WHERE token_hash = :token_hash")
_FIND_GENERATION = sqlalchemy.text(
    _GENERATION_COLUMNS + "WHERE session_id = :session_id AND generation = :generation"
)
_MARK_ROTATED = sqlalchemy.text(
    "UPDATE refresh_tokens SET rotated_at = :rotated_at WHERE token_hash = :token_hash"
)

_DELETE_EXPIRED = sqlalchemy.text(
    """
    DELETE FROM sessions WHERE id IN (
        SELECT id FROM sessions
        WHERE expires_at < :before
          AND NOT EXISTS (SELECT 1 FROM refresh_tokens WHERE session_id = sessions.id)
        LIMIT :limit
    )
    """
)
_DELETE_EXPIRED_TOKENS = sqlalchemy.text(
    """
    DELETE FROM refresh_tokens WHERE token_hash IN (
        SELECT token_hash FROM refresh_tokens WHERE expires_at < :before LIMIT :limit
    )
    """
)


class PostgresSessions:
    """See `accounts.use_cases.ports.Sessions`."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection

    def add(self, session: Session) -> None:
        self._connection.execute(
            _ADD,
            {
                "id": session.id,
                "user_id": session.user_id,
                "created_at": session.created_at,
                "expires_at": session.expires_at,
                "successor_salt": session.successor_salt,
                "address": session.origin.address,
                "user_agent": session.origin.user_agent,
            },
        )

    def find(self, session_id: SessionId) -> Session | None:
        return self._one(_FIND, session_id)

    def lock(self, session_id: SessionId) -> Session | None:
        return self._one(_LOCK, session_id)

    def touch(self, session_id: SessionId, *, used_at: datetime, origin: Origin) -> None:
        self._connection.execute(
            _TOUCH,
            {
                "id": session_id,
                "used_at": used_at,
                "address": origin.address,
                "user_agent": origin.user_agent,
            },
        )

    def revoke(
        self, session_id: SessionId, *, revoked_at: datetime, reason: RevocationReason
    ) -> None:
        self._connection.execute(
            _REVOKE, {"id": session_id, "revoked_at": revoked_at, "reason": reason.value}
        )

    def delete_expired(self, *, before: datetime, limit: int) -> int:
        deleted = self._connection.execute(_DELETE_EXPIRED, {"before": before, "limit": limit})
        return deleted.rowcount

    def _one(self, statement: sqlalchemy.TextClause, session_id: SessionId) -> Session | None:
        row = self._connection.execute(statement, {"id": session_id}).one_or_none()
        if row is None:
            return None
        return Session(
            id=SessionId(row.id),
            user_id=UserId(row.user_id),
            created_at=row.created_at,
            expires_at=row.expires_at,
            successor_salt=bytes(row.successor_salt),
            origin=Origin(row.created_from_address, row.created_by_user_agent),
            revoked_at=row.revoked_at,
            revoked_reason=RevocationReason(row.revoked_reason) if row.revoked_reason else None,
        )


class PostgresRefreshTokens:
    """See `accounts.use_cases.ports.RefreshTokens`."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection

    def add(self, token: RefreshToken) -> None:
        self._connection.execute(
            _ADD_TOKEN,
            {
                "token_hash": token.token_hash,
                "session_id": token.session_id,
                "generation": token.generation,
                "derivation_key_id": token.derivation_key_id,
                "access_claims": json.dumps(token.access_claims.to_data()),
                "issued_at": token.issued_at,
                "expires_at": token.expires_at,
            },
        )

    def find(self, token_hash: str) -> RefreshToken | None:
        return self._one(_FIND_TOKEN, {"token_hash": token_hash})

    def find_generation(self, session_id: SessionId, generation: int) -> RefreshToken | None:
        return self._one(_FIND_GENERATION, {"session_id": session_id, "generation": generation})

    def mark_rotated(self, token_hash: str, *, rotated_at: datetime) -> None:
        self._connection.execute(
            _MARK_ROTATED, {"token_hash": token_hash, "rotated_at": rotated_at}
        )

    def delete_expired(self, *, before: datetime, limit: int) -> int:
        deleted = self._connection.execute(
            _DELETE_EXPIRED_TOKENS, {"before": before, "limit": limit}
        )
        return deleted.rowcount

    def _one(
        self, statement: sqlalchemy.TextClause, parameters: dict[str, Any]
    ) -> RefreshToken | None:
        row = self._connection.execute(statement, parameters).one_or_none()
        if row is None:
            return None
        return RefreshToken(
            token_hash=row.token_hash,
            session_id=SessionId(row.session_id),
            generation=row.generation,
            derivation_key_id=row.derivation_key_id,
            access_claims=AccessClaims.from_data(row.access_claims),
            issued_at=row.issued_at,
            expires_at=row.expires_at,
            rotated_at=row.rotated_at,
        )
