"""Exchange a refresh token for the next pair of tokens."""

from dataclasses import dataclass

from accounts.domain.audit import AuditAction, AuditRecord
from accounts.domain.errors import (
    RefreshTokenExpired,
    RefreshTokenInvalid,
    RefreshTokenReused,
    SessionRevoked,
    UserFrozen,
)
from accounts.domain.secrets import hash_secret
from accounts.domain.sessions import (
    AccessClaims,
    Exchange,
    IssuedTokens,
    Origin,
    RefreshToken,
    RevocationReason,
    Session,
    decide_exchange,
)
from accounts.domain.users import User
from accounts.use_cases.ports import AccountsUnit, Ports
from octoco.errors import Refusal


@dataclass(frozen=True, slots=True)
class _Successor:
    refresh_token: str
    claims: AccessClaims


def refresh_session(ports: Ports, *, refresh_token: str, origin: Origin) -> IssuedTokens:
    """Exchange a refresh token; each works once.

    A repeat within the grace (the answer was lost, or two requests ran at once) returns the same
    successor and an access token with the same claims, although neither is stored: the successor
    is derived from the presented token with a key of the server's, and the claims are signed
    again. Any later repeat is a copy in foreign hands and ends the session.

    Args:
        ports: What accounts works with.
        refresh_token: As handed out.
        origin: Remembered as the place of last use.

    Returns:
        The next pair of tokens; for a repeat within the grace the same pair again.

    Raises:
        RefreshTokenInvalid: never issued, or its repeat can no longer be derived.
        SessionRevoked: the session was ended.
        RefreshTokenReused: exchanged before; the session has been ended now.
        RefreshTokenExpired: its time, or the session's, is over.
        UserFrozen: an operator has frozen the user; the token is not used up.
        Unavailable: the database is away.

    Source: design 7; RFC 9700, section 4.14.2 (refresh token rotation).
    """

    def work(unit: AccountsUnit) -> _Successor | Refusal:
        return _exchange(ports, unit, refresh_token=refresh_token, origin=origin)

    outcome = ports.units.run(work)
    # Raised only here: ending the session must be committed, and raising would undo it.
    if isinstance(outcome, Refusal):
        raise outcome
    return IssuedTokens(
        access_token=ports.access_tokens.sign(outcome.claims),
        refresh_token=outcome.refresh_token,
        expires_in_seconds=outcome.claims.seconds_left(ports.clock.now()),
    )


def _exchange(
    ports: Ports, unit: AccountsUnit, *, refresh_token: str, origin: Origin
) -> _Successor | Refusal:
    now = ports.clock.now()
    presented = unit.refresh_tokens.find(hash_secret(refresh_token))
    # The session's row is the family's lock: parallel exchanges of one family queue here.
    session = unit.sessions.lock(presented.session_id) if presented else None
    if presented is None or session is None:
        return RefreshTokenInvalid("The refresh token is not valid.")
    successor = unit.refresh_tokens.find_generation(session.id, presented.generation + 1)
    exchange = decide_exchange(
        session=session,
        presented=presented,
        successor=successor,
        now=now,
        grace=ports.policy.refresh_grace,
    )
    user = unit.users.find(session.user_id)
    assert user is not None, "a session's user exists"
    match exchange:
        case Exchange.ROTATE | Exchange.REPEAT if user.is_frozen:
            return UserFrozen("The account is frozen. Please contact support.")
        case Exchange.ROTATE:
            unit.sessions.touch(session.id, used_at=now, origin=origin)
            return _rotate(
                ports,
                unit,
                refresh_token=refresh_token,
                user=user,
                session=session,
                presented=presented,
            )
        case Exchange.REPEAT:
            assert successor is not None, "decide_exchange repeats only what has a successor"
            return _repeat(ports, refresh_token=refresh_token, session=session, successor=successor)
        case Exchange.REVOKE_FAMILY:
            _revoke_family(ports, unit, session=session, origin=origin)
            return RefreshTokenReused("The refresh token was used before; log in again.")
        case Exchange.SESSION_REVOKED | Exchange.EXPIRED:
            return _ended(exchange)


def _ended(exchange: Exchange) -> Refusal:
    if exchange is Exchange.EXPIRED:
        return RefreshTokenExpired("The refresh token has expired; log in again.")
    return SessionRevoked("The session has ended; log in again.")


def _rotate(
    ports: Ports,
    unit: AccountsUnit,
    *,
    refresh_token: str,
    user: User,
    session: Session,
    presented: RefreshToken,
) -> _Successor:
    now = ports.clock.now()
    generation = presented.generation + 1
    key_id = ports.refresh_secrets.current_key_id
    secret = ports.refresh_secrets.successor(
        refresh_token, key_id=key_id, salt=session.successor_salt, generation=generation
    )
    assert secret is not None, "the current key is held"
    claims = AccessClaims.new(
        session, roles=user.roles, now=now, lifetime=ports.policy.access_token_lifetime
    )
    unit.refresh_tokens.mark_rotated(presented.token_hash, rotated_at=now)
    unit.refresh_tokens.add(
        RefreshToken(
            token_hash=hash_secret(secret),
            session_id=session.id,
            generation=generation,
            derivation_key_id=key_id,
            access_claims=claims,
            issued_at=now,
            expires_at=min(now + ports.policy.refresh_token_lifetime, session.expires_at),
        )
    )
    return _Successor(secret, claims)


def _repeat(
    ports: Ports, *, refresh_token: str, session: Session, successor: RefreshToken
) -> _Successor | Refusal:
    assert successor.derivation_key_id is not None, "only a login's token is not derived"
    secret = ports.refresh_secrets.successor(
        refresh_token,
        key_id=successor.derivation_key_id,
        salt=session.successor_salt,
        generation=successor.generation,
    )
    if secret is None or hash_secret(secret) != successor.token_hash:
        # The key was removed or replaced within these seconds. The client's other copy of the
        # answer, if it arrived, still works; so nothing is revoked.
        return RefreshTokenInvalid("The refresh token is not valid.")
    return _Successor(secret, successor.access_claims)


def _revoke_family(ports: Ports, unit: AccountsUnit, *, session: Session, origin: Origin) -> None:
    now = ports.clock.now()
    unit.sessions.revoke(session.id, revoked_at=now, reason=RevocationReason.REUSE)
    unit.audit_log.append(
        AuditRecord(
            now,
            AuditAction.SESSION_REVOKED_FOR_REUSE,
            session.user_id,
            origin,
            {"session_id": session.id},
        )
    )
