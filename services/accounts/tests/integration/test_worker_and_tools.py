"""The worker publishes what was announced; the command line does what it says."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pika
import pytest
from click.testing import CliRunner

from accounts.bootstrap import Accounts, worker_parts
from accounts.config import Settings
from accounts.entrypoints.cli import main
from octoco.messaging.topology import Topology
from octoco.testing import eventually
from octoco.worker import Worker

from .people import Person


def test_the_worker_publishes_what_registration_announced(
    service: Accounts,
    amqp_url: str,
    topology_of: Callable[..., Topology],
    new_person: Callable[[], Person],
) -> None:
    topology = topology_of("accounts")
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    channel = connection.channel()
    topology.declare(channel, ())
    listening = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(listening, topology.exchange_name, "accounts.#")
    person = new_person()
    stop = threading.Event()
    worker = Worker(worker_parts(service, topology=topology))
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    received: list[str] = []

    def all_three() -> bool:
        method, _, body = channel.basic_get(listening, auto_ack=True)
        if method is not None and json.loads(body).get("email") == person.email:
            received.append(method.routing_key)
        return len(received) == 3

    try:
        eventually(all_three, what="three messages")
    finally:
        stop.set()
        thread.join(30)
        connection.close()
    assert received == [
        "accounts.user.registered.v1",
        "accounts.user.email_verification_requested.v1",
        "accounts.user.email_verified.v1",
    ]


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    return {
        "DATABASE_URL": settings.database_url,
        "AMQP_URL": settings.amqp_url,
        "TOKEN_SIGNING_KEYS_DIR": str(settings.token_signing_keys_dir),
        "MAIL_TOKEN_KEYS": ",".join(settings.mail_token_keys),
        "ARGON2_TIME_COST": "1",
        "ARGON2_MEMORY_KIBIBYTES": "64",
    }


def test_an_operator_makes_the_first_admin(
    environment: dict[str, str], new_person: Callable[[], Person]
) -> None:
    person = new_person()
    done = CliRunner().invoke(main, ["grant-role", person.email, "admin"], env=environment)
    assert done.exit_code == 0, done.output
    assert done.output.endswith("has the roles: admin, user\n")
    unknown = CliRunner().invoke(
        main, ["grant-role", "nobody@example.com", "admin"], env=environment
    )
    assert unknown.exit_code == 1
    assert "Nobody is registered" in unknown.output
    no_role = CliRunner().invoke(main, ["grant-role", person.email, "root"], env=environment)
    assert "The roles are" in no_role.output


def test_an_operator_freezes_a_user_and_lets_them_go_on(
    environment: dict[str, str], new_person: Callable[[], Person]
) -> None:
    person = new_person()
    reason = ["--reason", "a chargeback"]
    frozen = CliRunner().invoke(main, ["freeze", person.email, *reason], env=environment)
    assert frozen.exit_code == 0, frozen.output
    assert "is frozen since" in frozen.output
    unfrozen = CliRunner().invoke(main, ["unfreeze", person.email, *reason], env=environment)
    assert unfrozen.output.endswith("is not frozen\n")
    without = CliRunner().invoke(main, ["freeze", person.email, "--reason", " "], env=environment)
    assert (without.exit_code, "Give a reason" in without.output) == (1, True)
    nobody = CliRunner().invoke(main, ["unfreeze", "nobody@example.com", *reason], env=environment)
    assert "Nobody is registered" in nobody.output


def test_a_rotated_key_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "keys"
    done = CliRunner().invoke(
        main, ["rotate-signing-key"], env={"TOKEN_SIGNING_KEYS_DIR": str(folder)}
    )
    (written,) = folder.iterdir()
    assert written.name == f"{done.output.strip()}.pem"
    assert written.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", None),
        ("MAIL_TOKEN_KEYS", "not-a-key"),
        ("TOKEN_SIGNING_KEYS_DIR", "/nonexistent"),
        ("WORKER_PORT", "secret-looking"),
    ],
)
def test_a_wrong_setting_stops_the_process_with_one_line_that_names_it(
    environment: dict[str, str], variable: str, value: str | None
) -> None:
    changed = {**os.environ, **environment}
    changed.pop(variable, None)
    if value is not None:
        changed[variable] = value
    ended = subprocess.run(
        [sys.executable, "-c", "from accounts.entrypoints.cli import main; main(['worker'])"],
        env=changed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert variable in line
    assert value is None or value not in line
