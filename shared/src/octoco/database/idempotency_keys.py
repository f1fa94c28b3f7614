"""The idempotency keys table: one request, one effect, however often it is sent."""

import sqlalchemy

from octoco.errors import IdempotencyKeyInFlight, IdempotencyKeyReused

# One round trip for the usual case. The advisory lock answers "in flight" at once, where the
# unique key alone would make the repeat wait for the first request to end.
_CLAIM = sqlalchemy.text(
    """
    INSERT INTO idempotency_keys (user_id, key, request_hash)
    SELECT :user_id, :key, :request_hash
    WHERE pg_try_advisory_xact_lock(hashtextextended('idempotency:' || :user_id || ':' || :key, 0))
    ON CONFLICT DO NOTHING
    """
)
_FIND = sqlalchemy.text(
    "SELECT request_hash, resource_id FROM idempotency_keys WHERE user_id = :user_id AND key = :key"
)
_STORE = sqlalchemy.text(
    """
    UPDATE idempotency_keys SET resource_id = :resource_id
    WHERE user_id = :user_id AND key = :key AND request_hash = :request_hash
    """
)


class PostgresIdempotencyKeys:
    """See `octoco.ports.IdempotencyKeys`."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection

    def claim(self, *, user_id: str, key: str, request_hash: str) -> str | None:
        identity = {"user_id": user_id, "key": key}
        claimed = self._connection.execute(_CLAIM, {**identity, "request_hash": request_hash})
        if claimed.rowcount == 1:
            return None
        found = self._connection.execute(_FIND, identity).one_or_none()
        if found is None:
            raise IdempotencyKeyInFlight(
                "The first request with this key is still being worked on."
            )
        if found.request_hash != request_hash:
            raise IdempotencyKeyReused("This key was used for a different request.")
        return str(found.resource_id)

    def store(self, *, user_id: str, key: str, request_hash: str, resource_id: str) -> None:
        self._connection.execute(
            _STORE,
            {
                "user_id": user_id,
                "key": key,
                "request_hash": request_hash,
                "resource_id": resource_id,
            },
        )
