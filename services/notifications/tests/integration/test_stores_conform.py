"""The stores in PostgreSQL and their fakes behave alike: one suite for both."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from notifications.bootstrap import Notifications
from notifications.domain.deliveries import (
    Delivery,
    DeliveryId,
    EncryptedToken,
    FailureReason,
    Template,
)
from notifications.domain.recipients import Recipient
from notifications.use_cases.ports import NotificationsUnit
from octoco.ids import new_id
from octoco.ports import UnitsOfWork
from octoco.testing import FakeUnitsOfWork

from ..unit.fakes import FakeNotificationsUnit

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)


@pytest.fixture(params=["fake", "postgres"])
def units(request: pytest.FixtureRequest, service: Notifications) -> UnitsOfWork[NotificationsUnit]:
    if request.param == "postgres":
        return service.units
    return FakeUnitsOfWork(FakeNotificationsUnit())


def new_delivery(user_id: str) -> Delivery:
    return Delivery(
        id=DeliveryId(new_id("dlv")),
        message_id=new_id("msg"),
        template=Template.EMAIL_VERIFICATION,
        user_id=user_id,
        to_address="thandi@example.com",
        locale="en_ZA",
        facts={"full_name": "Thandi Nkosi"},
        created_at=NOW,
        token=EncryptedToken("ciphertext", NOW + timedelta(hours=24)),
    )


def test_recipients(units: UnitsOfWork[NotificationsUnit]) -> None:
    recipient = Recipient(new_id("usr"), "a@example.com", "A")
    assert units.read(lambda unit: unit.recipients.find(recipient.user_id)) is None
    moved = replace(recipient, email="b@example.com", full_name="B")
    for version in (recipient, recipient, moved):
        units.run(lambda unit, version=version: unit.recipients.store(version))  # type: ignore[misc]
        assert units.read(lambda unit: unit.recipients.find(recipient.user_id)) == version


def test_a_delivery_passes_through_its_states(units: UnitsOfWork[NotificationsUnit]) -> None:
    delivery = new_delivery(new_id("usr"))
    again = replace(delivery, id=DeliveryId(new_id("dlv")))
    assert units.run(lambda unit: unit.deliveries.add(delivery))
    assert not units.run(lambda unit: unit.deliveries.add(again))
    other = replace(again, template=Template.WELCOME, token=None)
    assert units.run(lambda unit: unit.deliveries.add(other))
    begun = delivery.begin(NOW, in_doubt=False)
    for version in (
        begun,
        begun.postpone(),
        begun.begin(NOW, in_doubt=True),
        begun.begin(NOW, in_doubt=True).succeed(NOW),
    ):
        units.run(lambda unit, version=version: unit.deliveries.save(version))  # type: ignore[misc]
        assert units.run(lambda unit: unit.deliveries.lock(delivery.id)) == version
    failed = other.begin(NOW, in_doubt=False).fail(FailureReason.REFUSED_BY_SERVER)
    units.run(lambda unit: unit.deliveries.save(failed))
    assert units.run(lambda unit: unit.deliveries.lock(other.id)) == failed


def test_pages_are_newest_first_and_ones_own(units: UnitsOfWork[NotificationsUnit]) -> None:
    mine, theirs = new_id("usr"), new_id("usr")
    deliveries = [replace(new_delivery(user_id), token=None) for user_id in (mine, theirs, mine)]
    for delivery in deliveries:
        units.run(lambda unit, delivery=delivery: unit.deliveries.add(delivery))  # type: ignore[misc]
    newest, oldest = sorted((deliveries[0], deliveries[2]), key=lambda one: one.id, reverse=True)

    def page(before: DeliveryId | None, limit: int) -> list[Delivery]:
        return list(
            units.read(lambda unit: unit.deliveries.page_of(mine, before=before, limit=limit))
        )

    assert page(None, 10) == [newest, oldest]
    assert page(None, 1) == [newest]
    assert page(newest.id, 10) == [oldest]
    assert page(oldest.id, 10) == []
