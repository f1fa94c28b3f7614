"""Log in with address and password: a new session with its first pair of tokens."""

import os
from dataclasses import dataclass

from accounts.domain.audit import AuditAction, AuditRecord
from accounts.domain.credentials import Credential
from accounts.domain.errors import (
    EmailNotVerified,
    InvalidCredentials,
    InvalidEmail,
    UserFrozen,
)
from accounts.domain.passwords import LENGTH_MAX, normalise_password
from accounts.domain.secrets import hash_secret
from accounts.domain.sessions import (
    AccessClaims,
    IssuedTokens,
    Origin,
    RefreshToken,
    Session,
    SessionId,
)
from accounts.domain.users import Email, User
from accounts.use_cases.ports import AccountsUnit, Ports
from octoco.ids import new_id

_SALT_BYTES = 32
FROZEN = "The account is frozen. Please contact support."


@dataclass(frozen=True, slots=True)
class _Known:
    user: User
    credential: Credential


def log_in(ports: Ports, *, email: str, password: str, origin: Origin) -> IssuedTokens:
    """Open a session for the user with this address and password.

    An unknown address costs the same work as a known one. That an address is not proved yet is
    said only to somebody who knows the password. Every failure is kept in the audit log.

    Args:
        ports: What accounts works with.
        email: As typed; letter case does not matter.
        password: As typed.
        origin: For the audit log and the list of sessions.

    Returns:
        The first tokens of a new session.

    Raises:
        InvalidCredentials: no such address, or another password.
        EmailNotVerified: the right password, but the address is not proved yet.
        UserFrozen: the right password, but an operator has frozen the user.
        Unavailable: the database is away or too many passwords are being hashed.

    Source: design 7; OWASP ASVS 5, 6.3.8 (no user enumeration).
    """
    known = ports.units.read(lambda unit: _find(unit, email))
    normalised = normalise_password(password)[: LENGTH_MAX + 1]
    # Hashing takes long on purpose: no unit of work is open meanwhile.
    stored_hash = known.credential.password_hash if known else None
    right = ports.password_hasher.verify(stored_hash, password=normalised)
    if known is None or not right:
        _audit_failure(ports, known, origin=origin, code=InvalidCredentials.code)
        raise InvalidCredentials("The e-mail address or the password is wrong.")
    if not known.user.email_verified:
        _audit_failure(ports, known, origin=origin, code=EmailNotVerified.code)
        raise EmailNotVerified("The e-mail address has not been verified yet.")
    if known.user.is_frozen:
        _audit_failure(ports, known, origin=origin, code=UserFrozen.code)
        raise UserFrozen(FROZEN)
    stronger_hash = _stronger_hash(ports, known.credential, normalised)
    return _open_session(ports, known, stronger_hash=stronger_hash, origin=origin)


def _find(unit: AccountsUnit, email: str) -> _Known | None:
    try:
        address = Email.parse(email)
    except InvalidEmail:
        # Nobody can have it; the answer is that of any other unknown address.
        return None
    user = unit.users.find_by_email(address)
    credential = unit.credentials.latest_of(user.id) if user else None
    return _Known(user, credential) if user and credential else None


def _audit_failure(ports: Ports, known: _Known | None, *, origin: Origin, code: str) -> None:
    # Written for unknown addresses too: a commit more or less would tell who is registered.
    def work(unit: AccountsUnit) -> None:
        unit.audit_log.append(
            AuditRecord(
                ports.clock.now(),
                AuditAction.LOGIN_FAILED,
                known.user.id if known else None,
                origin,
                {"code": code},
            )
        )

    ports.units.run(work)


def _stronger_hash(ports: Ports, credential: Credential, password: str) -> str | None:
    if not ports.password_hasher.needs_rehash(credential.password_hash):
        return None
    return ports.password_hasher.hash(password)


def _open_session(
    ports: Ports, known: _Known, *, stronger_hash: str | None, origin: Origin
) -> IssuedTokens:
    session_id = SessionId(new_id("ses"))
    refresh_token = ports.refresh_secrets.first()
    salt = os.urandom(_SALT_BYTES)

    def work(unit: AccountsUnit) -> AccessClaims:
        now = ports.clock.now()
        user = unit.users.lock(known.user.id)
        credential = unit.credentials.latest_of(known.user.id)
        # The password may have been changed while it was being checked.
        if user is None or credential is None or credential.id != known.credential.id:
            raise InvalidCredentials("The e-mail address or the password is wrong.")
        # So may the user have been frozen.
        if user.is_frozen:
            raise UserFrozen(FROZEN)
        if stronger_hash is not None:
            unit.credentials.replace_hash(credential.id, password_hash=stronger_hash)
        session = Session(
            id=session_id,
            user_id=user.id,
            created_at=now,
            expires_at=now + ports.policy.session_lifetime,
            successor_salt=salt,
            origin=origin,
        )
        claims = AccessClaims.new(
            session, roles=user.roles, now=now, lifetime=ports.policy.access_token_lifetime
        )
        unit.sessions.add(session)
        unit.refresh_tokens.add(
            RefreshToken(
                token_hash=hash_secret(refresh_token),
                session_id=session.id,
                generation=0,
                derivation_key_id=None,
                access_claims=claims,
                issued_at=now,
                expires_at=now + ports.policy.refresh_token_lifetime,
            )
        )
        unit.audit_log.append(
            AuditRecord(now, AuditAction.LOGGED_IN, user.id, origin, {"session_id": session.id})
        )
        return claims

    claims = ports.units.run(work)
    return IssuedTokens(
        access_token=ports.access_tokens.sign(claims),
        refresh_token=refresh_token,
        expires_in_seconds=claims.seconds_left(ports.clock.now()),
    )
