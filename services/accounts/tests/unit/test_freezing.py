"""Freezing a user and letting them go on."""

from datetime import timedelta

import pytest

from accounts.domain.audit import AuditAction
from accounts.domain.errors import FreezeReasonMissing, UserFrozen, UserNotFound
from accounts.use_cases.freeze_user import freeze_user, unfreeze_user

from .fakes import EMAIL, World


@pytest.fixture
def world() -> World:
    world = World()
    world.register_and_verify()
    return world


def freeze(world: World) -> None:
    freeze_user(world.ports, email=EMAIL, reason="a chargeback")


def unfreeze(world: World) -> None:
    unfreeze_user(world.ports, email=EMAIL, reason="it was won")


def test_a_frozen_user_neither_logs_in_nor_refreshes_until_they_may_go_on(world: World) -> None:
    tokens = world.log_in()
    freeze(world)
    with pytest.raises(UserFrozen):
        world.log_in()
    with pytest.raises(UserFrozen):
        world.refresh(tokens.refresh_token)
    unfreeze(world)
    world.log_in()
    # The token was not used up by being refused.
    world.refresh(tokens.refresh_token)


def test_a_freeze_is_told_and_written_down_once_with_its_reason(world: World) -> None:
    for _ in range(2):
        freeze(world)
    for _ in range(2):
        unfreeze(world)
    told = [message for message in world.unit.outbox.messages if "frozen" in message.TYPE]
    assert [message.TYPE for message in told] == [
        "accounts.user.frozen.v1",
        "accounts.user.unfrozen.v1",
    ]
    actions = world.unit.audit_log.actions
    assert actions.count(AuditAction.USER_FROZEN) == actions.count(AuditAction.USER_UNFROZEN) == 1
    assert "a chargeback" not in str([message.to_data() for message in told])


def test_the_instants_of_freezes_and_their_ends_never_fall_or_meet(world: World) -> None:
    # The clock stands still, or goes back a little between two machines.
    freeze(world)
    world.clock.advance(timedelta(seconds=-1))
    unfreeze(world)
    freeze(world)
    user = next(iter(world.unit.users.by_id.values()))
    assert user.is_frozen
    instants = [
        next(value for name, value in message.to_data().items() if name.endswith("_at"))
        for message in world.unit.outbox.messages
        if "frozen" in message.TYPE
    ]
    assert len(set(instants)) == 3
    assert user.frozen_at is not None
    assert user.unfrozen_at is not None
    assert user.frozen_at > user.unfrozen_at


def test_a_wrong_password_is_not_told_of_a_freeze(world: World) -> None:
    freeze(world)
    with pytest.raises(Exception, match="wrong"):
        world.log_in(password="something else entirely")


@pytest.mark.parametrize("reason", ["", "  ", "x" * 1001])
def test_a_freeze_needs_a_reason(world: World, reason: str) -> None:
    for act in (freeze_user, unfreeze_user):
        with pytest.raises(FreezeReasonMissing):
            act(world.ports, email=EMAIL, reason=reason)


def test_nobody_else_is_frozen(world: World) -> None:
    with pytest.raises(UserNotFound):
        freeze_user(world.ports, email="nobody@example.com", reason="why")
