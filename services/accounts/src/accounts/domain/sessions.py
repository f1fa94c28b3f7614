"""Sessions and their refresh tokens: what an exchange of a refresh token leads to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType

from accounts.domain.users import Role, UserId
from octoco.ids import new_id

SessionId = NewType("SessionId", str)


class RevocationReason(StrEnum):
    """Why a session ended before its time."""

    LOGGED_OUT = "logged_out"
    REUSE = "refresh_token_reused"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from, as far as the gateway saw it.

    Throttling by address and device (per design 7) keys on this.
    """

    address: str | None = None
    user_agent: str | None = None


UNKNOWN_ORIGIN = Origin()


@dataclass(frozen=True, slots=True)
class Session:
    """One login on one device; its refresh tokens are one family.

    Args:
        created_at: UTC.
        expires_at: UTC; no refresh token of the family outlives it.
        successor_salt: Mixed into each successor's derivation; useless without the server's key.
        origin: Where the login came from.
        revoked_at: UTC; None while it lives.
    """

    id: SessionId
    user_id: UserId
    created_at: datetime
    expires_at: datetime
    successor_salt: bytes
    origin: Origin = UNKNOWN_ORIGIN
    revoked_at: datetime | None = None
    revoked_reason: RevocationReason | None = None

    @property
    def revoked(self) -> bool:
        return self.revoked_at is not None


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What an access token says; stored, so that the very same token can be signed again.

    Args:
        issued_at: UTC, whole seconds.
        expires_at: UTC, whole seconds.
    """

    token_id: str
    user_id: UserId
    session_id: SessionId
    roles: tuple[Role, ...]
    issued_at: datetime
    expires_at: datetime

    @classmethod
    def new(
        cls, session: Session, *, roles: tuple[Role, ...], now: datetime, lifetime: timedelta
    ) -> "AccessClaims":
        """Write the claims of a fresh access token; JSON Web Tokens count whole seconds."""
        issued_at = now.replace(microsecond=0)
        return cls(
            token_id=new_id("tok"),
            user_id=session.user_id,
            session_id=session.id,
            roles=roles,
            issued_at=issued_at,
            expires_at=issued_at + lifetime,
        )

    def seconds_left(self, now: datetime) -> int:
        """Return for how many whole seconds the access token is still good."""
        return max(0, int((self.expires_at - now).total_seconds()))

    def to_data(self) -> dict[str, object]:
        return {
            "token_id": self.token_id,
            "user_id": self.user_id,
            "session_id": self.session_id,
            "roles": [role.value for role in self.roles],
            "issued_at": self.issued_at.isoformat(),
            "expires_at": self.expires_at.isoformat(),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, object]) -> "AccessClaims":
        roles = data["roles"]
        assert isinstance(roles, list), "written by to_data"
        return cls(
            token_id=str(data["token_id"]),
            user_id=UserId(str(data["user_id"])),
            session_id=SessionId(str(data["session_id"])),
            roles=tuple(Role(role) for role in roles),
            issued_at=datetime.fromisoformat(str(data["issued_at"])),
            expires_at=datetime.fromisoformat(str(data["expires_at"])),
        )


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """One generation of a family; only its hash is kept.

    Args:
        token_hash: SHA-256 of the token, in hex.
        generation: 0 at login, one more with each exchange.
        derivation_key_id: The server key that made it from its predecessor; None at login.
        access_claims: Of the access token that was handed out with it.
        issued_at: UTC.
        expires_at: UTC.
        rotated_at: UTC; when it was exchanged for the next generation. None while it is current.
    """

    token_hash: str
    session_id: SessionId
    generation: int
    derivation_key_id: str | None
    access_claims: AccessClaims
    issued_at: datetime
    expires_at: datetime
    rotated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """The pair of tokens a client holds.

    Args:
        access_token: Signed, for every service.
        refresh_token: For the next refresh, once.
        expires_in_seconds: How long the access token is still good.
    """

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in_seconds: int


class Exchange(StrEnum):
    """What presenting a refresh token leads to."""

    ROTATE = "rotate"
    REPEAT = "repeat"
    REVOKE_FAMILY = "revoke_family"
    SESSION_REVOKED = "session_revoked"
    EXPIRED = "expired"


def decide_exchange(
    *,
    session: Session,
    presented: RefreshToken,
    successor: RefreshToken | None,
    now: datetime,
    grace: timedelta,
) -> Exchange:
    """Say what a presented refresh token leads to. The order of the cases is the rule.

    A token that was exchanged is repeated within the grace as long as nobody has used its
    successor: whoever used the successor has received it, so an older token that turns up then
    is not a lost answer but a copy, and the family is revoked at once.

    Args:
        session: The family, locked.
        presented: The token, read after the lock.
        successor: The next generation, if the token was exchanged.
        now: UTC.
        grace: How long after its exchange a token may be repeated.

    Source: design 7; RFC 9700 (OAuth 2.0 Security BCP), section 4.14.2.
    """
    if session.revoked:
        return Exchange.SESSION_REVOKED
    if presented.rotated_at is not None:
        within_grace = now - presented.rotated_at < grace
        if within_grace and successor is not None and successor.rotated_at is None:
            return Exchange.REPEAT
        # Also for a token that has expired since: the copy was made while it lived.
        return Exchange.REVOKE_FAMILY
    if now >= presented.expires_at or now >= session.expires_at:
        return Exchange.EXPIRED
    return Exchange.ROTATE
