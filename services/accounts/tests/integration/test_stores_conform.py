"""The stores in PostgreSQL and their fakes behave alike: one suite for both."""

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from accounts.bootstrap import Accounts
from accounts.domain.credentials import Credential, CredentialId, VerificationToken
from accounts.domain.secrets import hash_secret
from accounts.domain.sessions import (
    AccessClaims,
    Origin,
    RefreshToken,
    RevocationReason,
    Session,
    SessionId,
)
from accounts.domain.users import Email, Role, User, UserId
from accounts.use_cases.ports import AccountsUnit
from octoco.ids import new_id
from octoco.ports import UnitsOfWork
from octoco.testing import FakeUnitsOfWork

from ..unit.fakes import FakeAccountsUnit

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


@pytest.fixture(params=["fake", "postgres"])
def units(request: pytest.FixtureRequest, service: Accounts) -> UnitsOfWork[AccountsUnit]:
    return service.units if request.param == "postgres" else FakeUnitsOfWork(FakeAccountsUnit())


def new_user() -> User:
    email = Email.parse(f"Conform-{secrets.token_hex(5)}@example.com")
    return User(UserId(new_id("usr")), email, "Thandi Nkosi", (Role.USER,), NOW)


def stored_user(units: UnitsOfWork[AccountsUnit]) -> User:
    user = new_user()
    assert units.run(lambda unit: unit.users.add(user))
    return user


def new_credential(user: User, *, created_at: datetime = NOW) -> Credential:
    return Credential(CredentialId(new_id("crd")), user.id, "$argon2id$fake", created_at)


def new_token(credential: Credential, *, expires_at: datetime = LATER) -> VerificationToken:
    return VerificationToken(
        hash_secret(secrets.token_hex()), credential.user_id, credential.id, NOW, expires_at
    )


def new_session(user: User) -> Session:
    return Session(
        id=SessionId(new_id("ses")),
        user_id=user.id,
        created_at=NOW,
        expires_at=NOW + timedelta(days=30),
        successor_salt=secrets.token_bytes(32),
        origin=Origin("198.51.100.7", "tests"),
    )


def new_refresh_token(session: Session, generation: int) -> RefreshToken:
    claims = AccessClaims.new(
        session, roles=(Role.ADMIN, Role.USER), now=NOW, lifetime=timedelta(minutes=15)
    )
    return RefreshToken(
        token_hash=hash_secret(secrets.token_hex()),
        session_id=session.id,
        generation=generation,
        derivation_key_id="key-1" if generation else None,
        access_claims=claims,
        issued_at=NOW,
        expires_at=NOW + timedelta(days=7),
    )


def test_users(units: UnitsOfWork[AccountsUnit]) -> None:
    user = stored_user(units)
    other_case = replace(new_user(), email=Email.parse(user.email.address.upper()))
    assert not units.run(lambda unit: unit.users.add(other_case))
    assert units.read(lambda unit: unit.users.find(other_case.id)) is None

    def finders(unit: AccountsUnit) -> list[User | None]:
        return [
            unit.users.find(user.id),
            unit.users.find_by_email(other_case.email),
            unit.users.lock(user.id),
            unit.users.lock_by_email(other_case.email),
        ]

    assert units.run(finders) == [user] * 4

    def change(unit: AccountsUnit) -> User | None:
        for _ in range(2):
            unit.users.grant_role(user.id, role=Role.FINANCE, granted_at=LATER)
        unit.users.rename(user.id, full_name="T. Nkosi")
        unit.users.mark_email_verified(user.id, verified_at=NOW)
        unit.users.mark_email_verified(user.id, verified_at=LATER)
        unit.users.freeze(user.id, frozen_at=NOW)
        unit.users.unfreeze(user.id, unfrozen_at=LATER)
        return unit.users.find(user.id)

    assert units.run(change) == replace(
        user,
        roles=(Role.FINANCE, Role.USER),
        full_name="T. Nkosi",
        email_verified_at=NOW,
        frozen_at=NOW,
        unfrozen_at=LATER,
    )
    assert units.read(lambda unit: unit.users.find(UserId(new_id("usr")))) is None


def test_credentials_and_verification_tokens(units: UnitsOfWork[AccountsUnit]) -> None:
    user = stored_user(units)
    early, late = new_credential(user), new_credential(user, created_at=LATER)
    kept, lost = new_token(early), new_token(late)
    expired = new_token(early, expires_at=NOW + timedelta(seconds=1))

    def store(unit: AccountsUnit) -> None:
        unit.credentials.add(late)
        unit.credentials.add(early)
        for token in (kept, lost, expired):
            unit.verification_tokens.add(token)

    units.run(store)
    assert units.read(lambda unit: unit.credentials.latest_of(user.id)) == late
    assert units.read(lambda unit: unit.verification_tokens.find(kept.token_hash)) == kept

    def open_at(now: datetime) -> int:
        return units.read(lambda unit: unit.verification_tokens.count_open(user.id, now=now))

    assert [open_at(NOW), open_at(expired.expires_at), open_at(LATER)] == [3, 2, 0]

    def verify(unit: AccountsUnit) -> None:
        unit.verification_tokens.use_all(user.id, used_at=NOW)
        unit.credentials.keep_only(early.id, user_id=user.id)
        unit.credentials.replace_hash(early.id, password_hash="$argon2id$stronger")

    units.run(verify)
    assert units.read(lambda unit: unit.credentials.latest_of(user.id)) == replace(
        early, password_hash="$argon2id$stronger"
    )
    assert units.read(lambda unit: unit.verification_tokens.find(lost.token_hash)) is None
    found = units.read(lambda unit: unit.verification_tokens.find(kept.token_hash))
    assert found == replace(kept, used_at=NOW)
    assert open_at(NOW) == 0


def test_sessions_and_refresh_tokens(units: UnitsOfWork[AccountsUnit]) -> None:
    session = new_session(stored_user(units))
    first, second = new_refresh_token(session, 0), new_refresh_token(session, 1)

    def store(unit: AccountsUnit) -> None:
        unit.sessions.add(session)
        unit.refresh_tokens.add(first)
        unit.refresh_tokens.add(second)
        unit.refresh_tokens.mark_rotated(first.token_hash, rotated_at=LATER)
        unit.sessions.touch(session.id, used_at=LATER, origin=Origin(None, None))

    units.run(store)
    rotated = replace(first, rotated_at=LATER)
    assert units.read(lambda unit: unit.refresh_tokens.find(first.token_hash)) == rotated
    assert units.read(lambda unit: unit.refresh_tokens.find_generation(session.id, 1)) == second
    assert units.read(lambda unit: unit.refresh_tokens.find_generation(session.id, 2)) is None
    assert units.run(lambda unit: unit.sessions.lock(session.id)) == session

    def revoke(unit: AccountsUnit) -> None:
        unit.sessions.revoke(session.id, revoked_at=LATER, reason=RevocationReason.LOGGED_OUT)
        unit.sessions.revoke(session.id, revoked_at=NOW, reason=RevocationReason.REUSE)

    units.run(revoke)
    assert units.read(lambda unit: unit.sessions.find(session.id)) == replace(
        session, revoked_at=LATER, revoked_reason=RevocationReason.LOGGED_OUT
    )


def test_what_has_expired_is_deleted_in_order(units: UnitsOfWork[AccountsUnit]) -> None:
    session = new_session(stored_user(units))
    token = new_refresh_token(session, 0)

    def store(unit: AccountsUnit) -> None:
        unit.sessions.add(session)
        unit.refresh_tokens.add(token)

    units.run(store)
    long_after = session.expires_at + timedelta(days=1)

    def delete(from_store: Callable[[AccountsUnit], int]) -> int:
        return units.run(from_store)

    def sessions(unit: AccountsUnit) -> int:
        return unit.sessions.delete_expired(before=long_after, limit=1000)

    def tokens(unit: AccountsUnit) -> int:
        return unit.refresh_tokens.delete_expired(before=long_after, limit=1000)

    delete(sessions)
    assert units.read(lambda unit: unit.sessions.find(session.id)), "it still has a token"
    assert delete(tokens) >= 1
    assert delete(sessions) >= 1
    assert units.read(lambda unit: unit.sessions.find(session.id)) is None
