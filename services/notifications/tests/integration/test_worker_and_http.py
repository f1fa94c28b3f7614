"""The whole worker on real RabbitMQ, and the HTTP door."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pika
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask.testing import FlaskClient

from notifications.bootstrap import Notifications, worker_parts
from notifications.config import Settings
from notifications.entrypoints.cli import main
from notifications.entrypoints.consumer import subscriptions
from notifications.entrypoints.http.app import application
from octoco.events import Event
from octoco.ids import new_id
from octoco.messaging.topology import Topology
from octoco.messaging.wire import to_properties
from octoco.testing import eventually
from octoco.worker import Worker

from .happenings import TOKEN, deposit_completed, registered, verification_requested
from .mail_server import Postbox

SIGNING_KEY = Ed25519PrivateKey.generate()


class OneKey:
    def find(self, kid: str) -> Any | None:
        return SIGNING_KEY.public_key() if kid == "test" else None


@contextmanager
def running(service: Notifications, topology: Topology) -> Iterator[None]:
    stop = threading.Event()
    worker = Worker(worker_parts(service, subscriptions=subscriptions(service), topology=topology))
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        eventually(lambda: worker.readiness()["broker"], what="the consumer")
        yield
    finally:
        stop.set()
        thread.join(30)


def publish(amqp_url: str, topology: Topology, *events: Event) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    channel = connection.channel()
    channel.confirm_delivery()
    for event in events:
        properties, body = to_properties(event)
        channel.basic_publish(topology.exchange_name, event.type, body, properties, mandatory=True)
    connection.close()


@pytest.fixture
def client(service: Notifications) -> FlaskClient:
    return application(service, token_keys=OneKey()).test_client()


def bearer(user_id: str) -> dict[str, str]:
    now = datetime.now(UTC)
    claims = {
        "iss": "octoco-accounts",
        "aud": "octoco",
        "sub": user_id,
        "sid": new_id("ses"),
        "jti": new_id("tok"),
        "roles": ["user"],
        "type": "access",
        "iat": now,
        "exp": now + timedelta(minutes=5),
    }
    token = jwt.encode(claims, SIGNING_KEY, "EdDSA", headers={"kid": "test"})
    return {"Authorization": f"Bearer {token}"}


def body_of(answer: Any) -> Any:
    return answer.json


def test_events_become_mails_whatever_their_order_and_however_often(
    service: Notifications,
    amqp_url: str,
    topology_of: Callable[..., Topology],
    postbox: Postbox,
    client: FlaskClient,
    mail_key: str,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    user_id = new_id("usr")
    paid = deposit_completed(user_id)
    asked = verification_requested(user_id, mail_key)
    known = registered(user_id)
    topology = topology_of("notifications")
    with caplog.at_level(logging.INFO), running(service, topology):
        # The money comes before the user is known, and everything comes three times.
        publish(amqp_url, topology, paid, asked, paid, asked)
        eventually(lambda: len(postbox.mails) == 1, what="the verification mail")
        publish(amqp_url, topology, known, paid, asked, known)
        eventually(lambda: len(postbox.mails) == 2, within_seconds=20, what="both mails")
        publish(amqp_url, topology, paid, asked, known)
        settled = "SELECT 1 FROM intents WHERE finished_at IS NULL"
        eventually(lambda: not service.database.statement(settled, {}), what="idle executor")
        parked = "SELECT 1 FROM parked_events"
        eventually(
            lambda: not service.database.statement(parked, {}),
            within_seconds=20,
            what="nothing parked",
        )
    assert sorted(mail["Subject"] for mail in postbox.mails) == [
        "Verify your e-mail address",
        "Your deposit of R250.00 has arrived",
    ]
    out = capsys.readouterr()
    # The mail server of the test runs in this process too, and may say what it likes.
    ours = [record.getMessage() for record in caplog.records if record.name != "mail.log"]
    seen = "".join(ours) + out.out + out.err
    assert TOKEN not in seen
    assert asked.data["token_encrypted"] not in seen
    assert f"{user_id.lower()}@example.com" not in seen

    page = body_of(client.get("/v1/notifications", headers=bearer(user_id)))
    assert [(item["template"], item["status"]) for item in page["items"]] == [
        ("deposit_completed", "sent"),
        ("email_verification", "sent"),
    ]
    assert page["items"][0]["subject"] == "Your deposit of R250.00 has arrived"
    assert page["items"][0]["sent_at"]
    assert set(page["items"][0]) == {
        "id", "template", "subject", "status", "created_at", "sent_at",
    }  # fmt: skip
    assert page["next_cursor"] is None


def test_pages_follow_each_other_and_show_nobody_elses(
    service: Notifications, client: FlaskClient, mail_key: str
) -> None:
    mine, theirs = new_id("usr"), new_id("usr")
    handlers = subscriptions(service)
    for user_id in (mine, theirs, mine, mine):
        event = verification_requested(user_id, mail_key)
        service.units.run(lambda unit, event=event: handlers[event.type](unit, event))  # type: ignore[misc]
    first = body_of(client.get("/v1/notifications?limit=2", headers=bearer(mine)))
    cursor = first["next_cursor"]
    second = body_of(
        client.get("/v1/notifications", query_string={"cursor": cursor}, headers=bearer(mine))
    )
    assert [len(first["items"]), len(second["items"]), second["next_cursor"]] == [2, 1, None]
    assert len({item["id"] for item in (*first["items"], *second["items"])}) == 3


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "invalid_request"),
        ("limit=101", "invalid_request"),
        ("limit=x", "invalid_request"),
        ("cursor=abc", "invalid_cursor"),
        ("cursor=ZGx2XyUwMA==", "invalid_cursor"),
        ("cursor=%E2%82%AC", "invalid_cursor"),
    ],
)
def test_a_bad_page_is_refused(client: FlaskClient, query: str, code: str) -> None:
    answer = client.get(f"/v1/notifications?{query}", headers=bearer(new_id("usr")))
    assert (answer.status_code, body_of(answer)["code"]) == (422, code)


def test_without_a_token_nothing_is_shown(client: FlaskClient) -> None:
    answer = client.get("/v1/notifications")
    assert (answer.status_code, body_of(answer)["code"]) == (401, "token_missing")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SMTP_URL", None),
        ("SMTP_URL", "http://mail"),
        ("MAIL_FROM", "nobody"),
        ("MAIL_TOKEN_KEYS", "short"),
    ],
)
def test_a_wrong_setting_stops_the_process_with_one_line_that_names_it(
    settings: Settings, variable: str, value: str | None
) -> None:
    environment: dict[str, str | None] = {
        "DATABASE_URL": settings.database_url,
        "AMQP_URL": settings.amqp_url,
        "JWKS_URL": settings.jwks_url,
        "SMTP_URL": settings.smtp_url,
        "MAIL_FROM": settings.mail_from,
        "MAIL_TOKEN_KEYS": settings.mail_token_keys[0],
        "PUBLIC_URL": settings.public_url,
        variable: value,
    }
    ended = CliRunner().invoke(main, ["worker"], env=environment)
    assert ended.exit_code == 2
    assert variable in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
