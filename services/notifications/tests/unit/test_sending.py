"""Sending: every step with {succeeds, refuses, breaks, process dies}."""

from datetime import timedelta

import pytest

from notifications.domain.deliveries import (
    TRANSITIONS,
    DeliveryStatus,
    FailureReason,
)
from notifications.domain.outcomes import RefusedForGood, RefusedForNow, Unclear
from notifications.use_cases.list_deliveries import list_deliveries
from octoco.intents.intent import Again, Done

from .fakes import MONEY, USER_ID, World, event, registered, verification_requested


@pytest.fixture
def world() -> World:
    world = World()
    world.handle(verification_requested())
    return world


def test_a_mail_is_sent_once_and_its_token_forgotten(world: World) -> None:
    assert world.perform() == Done()
    assert (world.only.status, world.only.sent_at) == (DeliveryStatus.SENT, world.clock.now())
    assert world.only.token is None
    assert world.perform() == Done()
    assert len(world.mailer.sent) == 1
    assert world.counter.ended_as == ["sent"]


def test_a_process_that_dies_before_the_record_causes_one_repeat_with_the_same_id(
    world: World,
) -> None:
    first = world.prepare()
    assert first is not None
    world.send_email.call(first)
    # The process dies here: nothing is recorded, and the intent is leased again.
    assert world.perform() == Done()
    assert (world.only.status, world.only.repeats) == (DeliveryStatus.SENT, 1)
    assert world.counter.repeats == 1
    assert [mail.message_id for mail in world.mailer.sent] == [world.only.id] * 2


def test_a_second_death_ends_the_delivery_instead_of_a_third_copy(world: World) -> None:
    for _ in range(2):
        mail = world.prepare()
        assert mail is not None
        world.send_email.call(mail)
    assert world.prepare() is None
    assert world.only.failure_reason is FailureReason.OUTCOME_UNKNOWN
    assert world.only.token is None
    assert len(world.mailer.sent) == 2


def test_a_connection_that_breaks_within_the_body_counts_as_such_a_death(world: World) -> None:
    world.mailer.answers = [Unclear("lost"), Unclear("lost")]
    assert isinstance(world.perform(), Again)
    assert isinstance(world.perform(), Again)
    assert world.perform() == Done()
    assert len(world.mailer.sent) == 2
    assert world.counter.ended_as == ["outcome_unknown"]


def test_a_server_that_is_away_is_asked_again_without_counting_a_repeat(world: World) -> None:
    world.mailer.answers = [RefusedForNow("connecting")] * 5
    for _ in range(5):
        assert isinstance(world.perform(), Again)
        assert world.only.status is DeliveryStatus.WAITING
    assert world.perform() == Done()
    assert (world.only.status, world.only.repeats) == (DeliveryStatus.SENT, 0)


def test_a_mail_refused_for_good_ends_and_is_counted(world: World) -> None:
    world.mailer.answers = [RefusedForGood("RCPT: 550")]
    assert world.perform() == Done()
    assert world.only.failure_reason is FailureReason.REFUSED_BY_SERVER
    assert world.only.token is None
    assert world.counter.ended_as == ["refused_by_server"]


def test_an_expired_token_is_not_sent(world: World) -> None:
    world.clock.advance(timedelta(days=1))
    assert world.prepare() is None
    assert world.only.failure_reason is FailureReason.TOKEN_EXPIRED
    assert not world.mailer.sent


def test_a_token_no_key_reads_is_not_sent() -> None:
    world = World()
    request = verification_requested()
    world.handle(event(request.type, **{**request.data, "token_encrypted": "someone else's"}))
    assert world.prepare() is None
    assert world.only.failure_reason is FailureReason.TOKEN_UNREADABLE


def test_after_three_days_nobody_is_told_any_more() -> None:
    world = World()
    world.handle(registered())
    world.handle(
        event("wallet.deposit.failed.v1", **MONEY, status="failed", reason_code="lost_card")
    )
    world.mailer.answers = [RefusedForNow("connecting")]
    world.perform()
    world.clock.advance(timedelta(days=3))
    assert world.prepare() is None
    assert world.only.failure_reason is FailureReason.GAVE_UP


def test_tokens_do_not_show_in_what_is_printed(world: World) -> None:
    mail = world.prepare()
    assert "token-to-be-mailed" not in repr((mail, world.only))


def test_ended_deliveries_stay_as_they_are() -> None:
    for final in (DeliveryStatus.SENT, DeliveryStatus.FAILED):
        assert TRANSITIONS.is_final(final)


def test_a_user_reads_their_deliveries_page_by_page_and_nobody_elses() -> None:
    world = World()
    for _ in range(5):
        world.handle(verification_requested())
    first = list_deliveries(world.units, user_id=USER_ID, before=None, limit=3)
    second = list_deliveries(world.units, user_id=USER_ID, before=first.next_before, limit=3)
    assert [len(first.items), len(second.items)] == [3, 2]
    assert second.next_before is None
    assert len({item.id for item in (*first.items, *second.items)}) == 5
    assert not list_deliveries(world.units, user_id="usr_x", before=None, limit=3).items
