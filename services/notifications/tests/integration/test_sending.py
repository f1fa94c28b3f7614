"""Mails sent by the real executor to a real SMTP server, and what happens when either breaks."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from notifications.adapters.postgres.unit import PostgresNotificationsUnit
from notifications.bootstrap import Notifications, build
from notifications.config import Settings
from notifications.entrypoints.consumer import subscriptions
from octoco.clock import FixedClock
from octoco.events import Event
from octoco.ids import new_id
from octoco.intents.executor import LEASE_SECONDS, Executor
from octoco.intents.leases import PostgresIntentLeases
from octoco.testing.provisions import ProvisionedSchema

from .happenings import TOKEN, deposit_completed, registered, verification_requested
from .mail_server import Postbox


class Bench:
    """The service with a clock that the test moves and an executor it turns by hand."""

    def __init__(self, settings: Settings) -> None:
        self.clock = FixedClock(datetime.now(UTC))
        self.service = build(settings, clock=self.clock)
        self.executor: Executor[PostgresNotificationsUnit] = Executor(
            leases=PostgresIntentLeases(self.service.database, clock=self.clock),
            units=self.service.units,
            handlers={"send_email": self.service.send_email},
        )
        self._handlers = subscriptions(self.service)

    def handle(self, event: Event) -> None:
        self.service.units.run(
            lambda unit: unit.inbox.record(event.id) and self._handlers[event.type](unit, event)
        )

    def perform(self) -> bool:
        return self.executor.perform_next()

    def delivery_of(self, event: Event) -> Any:
        (row,) = self.service.database.statement(
            "SELECT * FROM deliveries WHERE message_id = :id", {"id": event.id}
        )
        return row


@pytest.fixture
def bench(service: Notifications, settings: Settings) -> Iterator[Bench]:
    bench = Bench(settings)
    yield bench
    bench.service.database.dispose()


def test_a_mail_has_both_bodies_and_every_header(bench: Bench, postbox: Postbox) -> None:
    user_id = new_id("usr")
    paid = deposit_completed(user_id)
    bench.handle(registered(user_id))
    bench.handle(paid)
    assert bench.perform()
    (mail,) = postbox.mails
    assert mail["Subject"] == "Your deposit of R250.00 has arrived"
    assert mail["From"] == "Octoco Wallet <no-reply@wallet.example>"
    assert mail["Message-ID"] == f"<{bench.delivery_of(paid).id}@wallet.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"]
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert "New balance:  R250.00" in text.get_content()
    assert html is not None
    assert "<strong>R250.00</strong>" in html.get_content()
    assert postbox.recipients == [f"{user_id.lower()}@example.com"]
    assert bench.delivery_of(paid).status == "sent"


def test_a_redelivered_event_is_mailed_once(bench: Bench, postbox: Postbox) -> None:
    user_id = new_id("usr")
    paid = deposit_completed(user_id)
    bench.handle(registered(user_id))
    for _ in range(3):
        bench.handle(paid)
        bench.service.database.statement("DELETE FROM inbox", {})
    while bench.perform():
        pass
    assert len(postbox.mails) == 1


def test_the_token_is_mailed_and_then_gone_from_the_database(
    bench: Bench, postbox: Postbox, schema: ProvisionedSchema, mail_key: str
) -> None:
    asked = verification_requested(new_id("usr"), mail_key)
    bench.handle(asked)
    assert bench.delivery_of(asked).token_encrypted
    assert bench.perform()
    (mail,) = postbox.mails
    text = mail.get_body(("plain",))
    assert text is not None
    assert TOKEN in text.get_content()
    assert bench.delivery_of(asked).token_encrypted is None
    connection = psycopg2.connect(schema.owner_url)
    with connection.cursor() as cursor:
        for table in ("deliveries", "intents", "inbox", "outbox"):
            cursor.execute(f"SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} t")
            stored = str(cursor.fetchone())
            assert TOKEN not in stored
            assert asked.data["token_encrypted"] not in stored
    connection.close()


def test_a_process_killed_between_the_servers_taking_it_and_the_record_repeats_once(
    bench: Bench, settings: Settings, postbox: Postbox, mail_key: str
) -> None:
    asked = verification_requested(new_id("usr"), mail_key)
    bench.handle(asked)

    def run_until_killed() -> None:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("perform_one.py"))],
            stdin=subprocess.PIPE,
            text=True,
        )
        # The server has the whole mail when it kills its client.
        postbox.on_mail = lambda: os.kill(process.pid, signal.SIGKILL)
        process.communicate(json.dumps(asdict(settings)), timeout=60)
        assert process.returncode == -signal.SIGKILL

    run_until_killed()
    assert (len(postbox.mails), bench.delivery_of(asked).status) == (1, "sending")
    assert not bench.perform(), "the dead process's lease has not ended"

    postbox.on_mail = lambda: None
    bench.clock.advance(timedelta(seconds=LEASE_SECONDS + 30))
    assert bench.perform()
    row = bench.delivery_of(asked)
    assert (len(postbox.mails), row.status, row.repeats) == (2, "sent", 1)
    first, second = (mail["Message-ID"] for mail in postbox.mails)
    assert first == second
    bench.clock.advance(timedelta(days=1))
    assert not bench.perform()


def test_a_connection_lost_after_the_body_repeats_once_and_then_stops(
    bench: Bench, postbox: Postbox
) -> None:
    user_id = new_id("usr")
    paid = deposit_completed(user_id)
    bench.handle(registered(user_id))
    bench.handle(paid)
    postbox.drop_after_body = 2
    for _ in range(4):
        bench.perform()
        bench.clock.advance(timedelta(hours=1))
    row = bench.delivery_of(paid)
    assert (len(postbox.mails), row.status, row.failure_reason) == (
        2,
        "failed",
        "outcome_unknown",
    )


def test_a_server_that_says_later_is_asked_later(bench: Bench, postbox: Postbox) -> None:
    user_id = new_id("usr")
    paid = deposit_completed(user_id)
    bench.handle(registered(user_id))
    bench.handle(paid)
    postbox.rcpt_answers = ["450 greylisted"]
    postbox.data_answers = ["452 no room"]
    assert bench.perform()
    assert bench.delivery_of(paid).status == "waiting"
    assert not bench.perform(), "it is not due yet"
    bench.clock.advance(timedelta(seconds=5))
    assert bench.perform()
    bench.clock.advance(timedelta(seconds=30))
    assert bench.perform()
    row = bench.delivery_of(paid)
    assert (row.status, row.repeats, len(postbox.mails)) == ("sent", 0, 1)


def test_a_server_that_is_away_is_asked_again(
    bench: Bench, settings: Settings, postbox: Postbox
) -> None:
    user_id = new_id("usr")
    paid = deposit_completed(user_id)
    bench.handle(registered(user_id))
    bench.handle(paid)
    astray = Bench(replace(settings, smtp_url="smtp://127.0.0.1:1"))
    assert astray.perform()
    astray.service.database.dispose()
    assert bench.delivery_of(paid).status == "waiting"
    bench.clock.advance(timedelta(minutes=1))
    assert bench.perform()
    assert len(postbox.mails) == 1


@pytest.mark.parametrize("step", ["rcpt_answers", "data_answers"])
def test_a_mail_refused_for_good_is_not_tried_again(
    bench: Bench, postbox: Postbox, step: str
) -> None:
    user_id = new_id("usr")
    paid = deposit_completed(user_id)
    bench.handle(registered(user_id))
    bench.handle(paid)
    setattr(postbox, step, ["550 no such user"])
    assert bench.perform()
    row = bench.delivery_of(paid)
    assert (row.status, row.failure_reason) == ("failed", "refused_by_server")
    bench.clock.advance(timedelta(days=1))
    assert not bench.perform()
    assert not postbox.mails


def test_the_database_itself_refuses_to_keep_the_token_of_an_ended_delivery(
    bench: Bench, schema: ProvisionedSchema, mail_key: str
) -> None:
    asked = verification_requested(new_id("usr"), mail_key)
    bench.handle(asked)
    connection = psycopg2.connect(schema.owner_url)
    with connection.cursor() as cursor, pytest.raises(psycopg2.errors.CheckViolation):
        cursor.execute("UPDATE deliveries SET status = 'sent', sent_at = now()")
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM deliveries",
        "UPDATE deliveries SET to_address = 'a@example.com'",
        "DROP TABLE deliveries",
    ],
)
def test_the_services_role_may_not(schema: ProvisionedSchema, statement: str) -> None:
    connection = psycopg2.connect(schema.service_url)
    with connection.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute(statement)
    connection.close()
