"""Logging in, refreshing, logging out."""

from datetime import timedelta

import pytest

from accounts.domain.audit import AuditAction
from accounts.domain.errors import (
    EmailNotVerified,
    InvalidCredentials,
    InvalidFullName,
    RefreshTokenExpired,
    RefreshTokenInvalid,
    RefreshTokenReused,
    SessionRevoked,
    UserNotFound,
)
from accounts.domain.sessions import SessionId
from accounts.domain.users import Role, UserId
from accounts.use_cases.get_me import get_me
from accounts.use_cases.grant_role import grant_role
from accounts.use_cases.log_in import log_in
from accounts.use_cases.log_out import log_out
from accounts.use_cases.purge_ended import purge_ended
from accounts.use_cases.update_me import update_me

from .fakes import EMAIL, ORIGIN, PASSWORD, World


@pytest.fixture
def world() -> World:
    world = World()
    world.register_and_verify()
    return world


def only_ids(world: World) -> tuple[UserId, SessionId]:
    ((session_id, session),) = world.unit.sessions.by_id.items()
    return session.user_id, session_id


def test_the_right_password_opens_a_session(world: World) -> None:
    tokens = world.log_in()
    assert tokens.expires_in_seconds == 15 * 60
    assert world.unit.audit_log.actions[-1] is AuditAction.LOGGED_IN


def test_tokens_do_not_show_in_what_is_printed(world: World) -> None:
    tokens = world.log_in()
    assert tokens.refresh_token not in repr(tokens)
    assert tokens.refresh_token not in repr(world.unit.refresh_tokens.by_hash)


def test_a_wrong_password_and_an_unknown_address_get_one_answer_for_the_same_work(
    world: World,
) -> None:
    with pytest.raises(InvalidCredentials) as wrong:
        world.log_in(password="something else entirely")
    with pytest.raises(InvalidCredentials) as unknown:
        log_in(world.ports, email="nobody@example.com", password=PASSWORD, origin=ORIGIN)
    with pytest.raises(InvalidCredentials) as malformed:
        log_in(world.ports, email="no address", password=PASSWORD, origin=ORIGIN)
    assert wrong.value.message == unknown.value.message == malformed.value.message
    assert len(world.hasher.verified) == 3
    assert world.unit.audit_log.actions[-3:] == [AuditAction.LOGIN_FAILED] * 3


def test_an_unverified_address_is_told_only_to_who_knows_the_password() -> None:
    world = World()
    world.register()
    with pytest.raises(InvalidCredentials):
        world.log_in(password="something else entirely")
    with pytest.raises(EmailNotVerified):
        world.log_in()
    assert not world.unit.sessions.by_id
    assert world.unit.audit_log.actions[-1] is AuditAction.LOGIN_FAILED


def test_a_hash_of_weaker_parameters_is_replaced_at_login(world: World) -> None:
    world.hasher.version = 2
    world.log_in()
    assert world.unit.credentials.stored[0].password_hash.startswith("$2$")
    world.log_in()


def test_a_refresh_token_is_exchanged_for_the_next_pair(world: World) -> None:
    first = world.log_in()
    second = world.refresh(first.refresh_token)
    third = world.refresh(second.refresh_token)
    assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3
    assert len({first.access_token, second.access_token, third.access_token}) == 3


def test_a_repeat_within_the_grace_gets_the_very_same_pair(world: World) -> None:
    first = world.log_in()
    second = world.refresh(first.refresh_token)
    world.clock.advance(timedelta(seconds=9.9))
    repeat = world.refresh(first.refresh_token)
    assert (repeat.refresh_token, repeat.access_token) == (
        second.refresh_token,
        second.access_token,
    )
    assert repeat.expires_in_seconds < second.expires_in_seconds
    world.refresh(repeat.refresh_token)


def test_a_repeat_after_the_grace_ends_the_whole_family(world: World) -> None:
    first = world.log_in()
    second = world.refresh(first.refresh_token)
    world.clock.advance(timedelta(seconds=10))
    with pytest.raises(RefreshTokenReused):
        world.refresh(first.refresh_token)
    with pytest.raises(SessionRevoked):
        world.refresh(second.refresh_token)
    with pytest.raises(SessionRevoked):
        world.refresh(first.refresh_token)
    assert world.unit.audit_log.actions.count(AuditAction.SESSION_REVOKED_FOR_REUSE) == 1


def test_a_token_whose_successor_was_used_is_a_copy_even_within_the_grace(world: World) -> None:
    first = world.log_in()
    second = world.refresh(first.refresh_token)
    third = world.refresh(second.refresh_token)
    with pytest.raises(RefreshTokenReused):
        world.refresh(first.refresh_token)
    with pytest.raises(SessionRevoked):
        world.refresh(third.refresh_token)


def test_other_sessions_survive_the_end_of_one_family(world: World) -> None:
    stolen, other = world.log_in(), world.log_in()
    world.refresh(stolen.refresh_token)
    world.clock.advance(timedelta(minutes=1))
    with pytest.raises(RefreshTokenReused):
        world.refresh(stolen.refresh_token)
    world.refresh(other.refresh_token)


def test_a_repeat_is_derived_with_the_key_that_made_it_even_after_rotation(world: World) -> None:
    first = world.log_in()
    second = world.refresh(first.refresh_token)
    world.refresh_secrets.keys["key-2"] = b"two"
    assert world.refresh(first.refresh_token).refresh_token == second.refresh_token
    del world.refresh_secrets.keys["key-1"]
    with pytest.raises(RefreshTokenInvalid):
        world.refresh(first.refresh_token)
    # What the client did receive still works.
    world.refresh(second.refresh_token)


def test_refresh_tokens_expire(world: World) -> None:
    first = world.log_in()
    world.clock.advance(timedelta(days=7))
    with pytest.raises(RefreshTokenExpired):
        world.refresh(first.refresh_token)


def test_a_session_ends_after_thirty_days_however_active(world: World) -> None:
    tokens = world.log_in()
    for _ in range(4):
        world.clock.advance(timedelta(days=6.9))
        tokens = world.refresh(tokens.refresh_token)
    world.clock.advance(timedelta(days=2.4))
    with pytest.raises(RefreshTokenExpired):
        world.refresh(tokens.refresh_token)


def test_a_token_that_was_never_issued_is_refused_and_ends_nothing(world: World) -> None:
    tokens = world.log_in()
    with pytest.raises(RefreshTokenInvalid):
        world.refresh("rft_guess")
    world.refresh(tokens.refresh_token)


def test_logging_out_ends_the_session_once(world: World) -> None:
    tokens = world.log_in()
    user_id, session_id = only_ids(world)
    for _ in range(2):
        log_out(world.ports, user_id=user_id, session_id=session_id, origin=ORIGIN)
    assert world.unit.audit_log.actions.count(AuditAction.LOGGED_OUT) == 1
    with pytest.raises(SessionRevoked):
        world.refresh(tokens.refresh_token)
    with pytest.raises(SessionRevoked):
        get_me(world.ports, user_id=user_id, session_id=session_id)


def test_nobody_can_end_or_use_the_session_of_another(world: World) -> None:
    world.log_in()
    _, session_id = only_ids(world)
    stranger = UserId("usr_00000000000000000000000000")
    log_out(world.ports, user_id=stranger, session_id=session_id, origin=ORIGIN)
    assert not world.unit.sessions.by_id[session_id].revoked
    with pytest.raises(SessionRevoked):
        get_me(world.ports, user_id=stranger, session_id=session_id)


def test_a_user_changes_their_name_and_nothing_happens_if_it_is_the_same(world: World) -> None:
    world.log_in()
    user_id, session_id = only_ids(world)
    for name in ("Thandi M. Nkosi", " Thandi M.  Nkosi", None):
        user = update_me(
            world.ports, user_id=user_id, session_id=session_id, full_name=name, origin=ORIGIN
        )
        assert user.full_name == "Thandi M. Nkosi"
    assert world.unit.audit_log.actions.count(AuditAction.PROFILE_UPDATED) == 1
    with pytest.raises(InvalidFullName):
        update_me(world.ports, user_id=user_id, session_id=session_id, full_name="", origin=ORIGIN)


def test_what_ended_long_ago_is_deleted_and_nothing_else(world: World) -> None:
    old = world.log_in()
    world.refresh(old.refresh_token)
    world.clock.advance(timedelta(days=30))
    world.log_in()
    assert purge_ended(world.ports) == 0
    world.clock.advance(timedelta(days=8))
    assert purge_ended(world.ports) == 3, "two refresh tokens and the verification token"
    world.clock.advance(timedelta(days=23))
    assert purge_ended(world.ports) == 1, "the session"
    assert len(world.unit.sessions.by_id) == len(world.unit.refresh_tokens.by_hash) == 1


def test_a_granted_role_is_in_the_next_access_token(world: World) -> None:
    tokens = world.log_in()
    for _ in range(2):
        assert grant_role(world.ports, email=EMAIL, role="finance").roles == (
            Role.FINANCE,
            Role.USER,
        )
    assert world.unit.audit_log.actions.count(AuditAction.ROLE_GRANTED) == 1
    world.refresh(tokens.refresh_token)
    newest = max(world.unit.refresh_tokens.by_hash.values(), key=lambda token: token.generation)
    assert newest.access_claims.roles == (Role.FINANCE, Role.USER)
    with pytest.raises(UserNotFound):
        grant_role(world.ports, email="nobody@example.com", role="admin")
