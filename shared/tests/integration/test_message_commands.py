"""`<service> messages ...` as an operator types it, on the real broker and database."""

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import click
import pika
import pytest
from click.testing import CliRunner, Result

from octoco.commands.messages import message_commands
from octoco.database import Database, PostgresUnit, PostgresUnitsOfWork
from octoco.messaging.connecting import connecting_to
from octoco.messaging.contracts import Contracts
from octoco.messaging.queue_watch import QueueWatch
from octoco.messaging.topology import Topology
from octoco.telemetry.metrics import QUEUE_MESSAGES, TOPOLOGY_DIFFERS
from octoco.testing import eventually
from octoco.testing.provisions import ProvisionedSchema
from octoco.worker import Worker, WorkerParts

from .conftest import EVENT_TYPE, Happened
from .dead_things import DIED_AT, DeadThings, things

__all__ = ["things"]

Units = PostgresUnitsOfWork[PostgresUnit]
OTHER_TYPE = "probe.thing.unheard.v1"
NOBODY = "127.0.0.1:1"


class Operator:
    """Types commands into the probe's command line."""

    def __init__(self, group: click.Group, environment: Mapping[str, str]) -> None:
        self.group = group
        self.environment = dict(environment)

    def types(self, *words: str, **environment: str) -> Result:
        return CliRunner().invoke(self.group, words, env={**self.environment, **environment})

    def reads(self, *words: str, exit_code: int = 0) -> Any:
        result = self.types(*words, "--json")
        assert result.exit_code == exit_code, result.output
        return json.loads(result.stdout)


@pytest.fixture
def operator(things: DeadThings, schema: ProvisionedSchema, contracts: Contracts) -> Operator:
    group = message_commands(
        topology=things.topology, listens_to=(EVENT_TYPE,), contracts=lambda: contracts
    )
    return Operator(group, {"DATABASE_URL": schema.service_url, "AMQP_URL": things.url})


@pytest.fixture
def working(
    things: DeadThings,
    database: Database,
    units: Units,
    contracts: Contracts,
    schema: ProvisionedSchema,
) -> Callable[..., Any]:
    @contextmanager
    def work(topology: Topology | None = None) -> Iterator[Worker[PostgresUnit]]:
        worker = Worker(
            WorkerParts(
                service="probe",
                database_url=schema.service_url,
                database=database,
                units=units,
                contracts=contracts,
                amqp_url=things.url,
                subscriptions={EVENT_TYPE: lambda _unit, _event: None},
                topology=topology or things.topology,
            )
        )
        stop = threading.Event()
        thread = threading.Thread(target=worker.run, args=(stop,))
        thread.start()
        try:
            eventually(lambda: worker.readiness()["broker"], what="a consumer")
            yield worker
        finally:
            stop.set()
            thread.join(30)

    return work


def channel_of(things: DeadThings) -> Any:
    return things._connection.channel()


def ways(group: click.Group, *before: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*before, name), command
        if isinstance(command, click.Group):
            yield from ways(command, *before, name)


def test_every_command_explains_itself_with_an_example(operator: Operator) -> None:
    found = list(ways(operator.group))
    assert len(found) == 11
    for words, command in found:
        shown = operator.types(*words, "--help")
        assert shown.exit_code == 0
        if not isinstance(command, click.Group):
            assert f"probe messages {' '.join(words)}" in shown.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["outbox"],
        ["dead", "list"],
        ["dead", "show", "msg_1"],
        ["dead", "replay", "--all"],
        ["dead", "discard", "msg_1", "--reason", "r", "--by", "b"],
        ["dead", "discarded"],
        ["topology", "check"],
        ["topology", "declare"],
    ],
)
def test_a_server_that_is_away_is_one_line_and_two(operator: Operator, words: list[str]) -> None:
    away = {"AMQP_URL": f"amqp://guest:secret@{NOBODY}/"}
    if words[0] == "outbox" or words[-1] == "discarded":
        away = {"DATABASE_URL": f"postgresql://probe:secret@{NOBODY}/none"}
    result = operator.types(*words, **away)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert "secret" not in result.stderr
    nothing = operator.types(*words, DATABASE_URL="postgresql://x:secret@[", AMQP_URL="amqp://[")
    assert nothing.exit_code == 2
    assert len(nothing.stderr.splitlines()) == 1
    assert "secret" not in nothing.stderr


def test_status_says_how_much_waits_where(
    operator: Operator, things: DeadThings, units: Units, database: Database
) -> None:
    for number in (1, 2):
        units.run(partial(announce, Happened("thing", number)))
    units.run(lambda unit: unit.intents.add(kind="call", subject_id="a"))
    later = datetime.now(UTC) + timedelta(hours=1)
    units.run(lambda unit: unit.intents.add(kind="call", subject_id="b", due_at=later))
    with database._statements.connect() as connection:
        connection.exec_driver_sql(
            "INSERT INTO parked_events (event_id, event, waits_for, parked_at)"
            " VALUES ('msg_early', '{}', 'user 1', clock_timestamp() - interval '90 s')"
        )
    things.add("msg_dead", failed_at=datetime.now(UTC) - timedelta(hours=2, minutes=3))
    facts = operator.reads("status")
    assert facts["service"] == "probe"
    assert facts["outbox"]["count"] == 2
    assert facts["outbox"]["held_back_aggregates"] == 0
    assert facts["parked_events"]["count"] == 1
    assert facts["parked_events"]["oldest_age_seconds"] >= 90
    assert facts["due_intents"]["count"] == 1
    assert facts["queue"] == {"name": things.topology.queue, "messages": 0, "consumers": 0}
    assert facts["dead_queue"]["messages"] == 1
    assert 7380 <= facts["dead_queue"]["oldest_age_seconds"] < 7500
    shown = operator.types("status").stdout
    assert re.search(r"^outbox +2 +\d+ s +-$", shown, re.MULTILINE)
    assert re.search(r"\.dead +1 +2 h 3 min +-$", shown, re.MULTILINE)
    assert "0 consumers" in shown


def announce(message: Happened, unit: PostgresUnit) -> str:
    return unit.outbox.add(message)


def test_status_names_a_missing_queue_and_ends_with_one(
    operator: Operator, things: DeadThings
) -> None:
    channel_of(things).queue_delete(things.topology.retry_queue(1))
    facts = operator.reads("status", exit_code=1)
    assert facts["missing_queues"] == [things.topology.retry_queue(1)]
    assert "missing" in operator.types("status").stdout


def test_status_tells_what_is_held_back(
    operator: Operator, units: Units, database: Database, schema: ProvisionedSchema
) -> None:
    for thing in ("one", "one", "two"):
        units.run(partial(announce, Happened(thing, 1)))
    with database._statements.connect() as connection:
        # The service's role cannot change a row, so an older one takes its place.
        connection.exec_driver_sql(
            "INSERT INTO outbox (message_id, event_type, aggregate_id, occurred_at, data,"
            " correlation_id, stored_at) VALUES ('msg_old', 'probe.old.v1', 'one', now(), '{}',"
            " 'cor_1', clock_timestamp() - interval '6 s')"
        )
    assert operator.reads("status")["outbox"]["held_back_aggregates"] == 1
    rows = operator.reads("outbox")
    assert [(row["aggregate_id"], row["behind"]) for row in rows] == [
        ("one", 0),
        ("one", 1),
        ("two", 0),
        ("one", 2),
    ]
    (old,) = operator.reads("outbox", "--type", "probe.old.v1")
    assert (old["message_id"], old["behind"]) == ("msg_old", 2)
    assert "1 waiting, there may be more" in operator.types("outbox", "--limit", "1").stdout


def test_dead_messages_are_listed_by_what_is_asked_for(
    operator: Operator, things: DeadThings
) -> None:
    things.add("msg_1", headers={"x-octoco-replayed": 3})
    things.add("msg_2", event_type=OTHER_TYPE, reason="Unavailable: away")
    things.add("msg_3", failed_at=DIED_AT + timedelta(minutes=30))
    things.add_raw(None, b"\x1b[2Jno event")

    def ids(*words: str) -> list[str]:
        return [message["message_id"] for message in operator.reads("dead", "list", *words)]

    assert ids()[:3] == ["msg_1", "msg_2", "msg_3"]
    assert ids("--type", OTHER_TYPE) == ["msg_2"]
    assert ids("--reason", "AWAY") == ["msg_2"]
    assert ids("--since", "2026-11-22T12:15:00Z") == ["msg_3"]
    assert ids("--limit", "2") == ["msg_1", "msg_2"]
    shown = operator.types("dead", "list").stdout
    assert re.search(
        r"^msg_1 +probe\.thing\.happened\.v1 +2026-11-22 12:00:00Z +5 +3 +Runt", shown, re.MULTILINE
    )
    assert "4 shown of 4 dead" in shown
    assert things.depth() == 4
    for wrong in ("yesterday", "2026-11-22T12:00:00", "2 weeks"):
        assert operator.types("dead", "list", "--since", wrong).exit_code == 2


def test_since_is_also_an_age(operator: Operator, things: DeadThings) -> None:
    things.add("msg_old", failed_at=datetime.now(UTC) - timedelta(minutes=100))
    things.add("msg_new", failed_at=datetime.now(UTC) - timedelta(minutes=80))
    for age in ("90m", "5400s"):
        found = operator.reads("dead", "list", "--since", age)
        assert [message["message_id"] for message in found] == ["msg_new"]


def test_a_dead_message_is_shown_with_all_it_tells_and_no_secret(
    operator: Operator, things: DeadThings
) -> None:
    body = b'{"n": 1, "token_encrypted": "gAAAAtoken", "name": "\\u001b[31mred"}'
    things.add(
        "msg_1", body=body, headers={"x-octoco-stack": "File x\n  raise \x1b[31mError\x07\r"}
    )
    (facts,) = operator.reads("dead", "show", "msg_1")
    assert facts["reason"] == "RuntimeError: broken"
    assert (facts["correlation_id"], facts["causation_id"]) == ("cor_1", "msg_0")
    assert facts["history"][0]["attempt"] == 5
    assert facts["body"] == {"n": 1, "token_encrypted": "***", "name": "\x1b[31mred"}
    shown = operator.types("dead", "show", "msg_1").stdout
    assert "gAAAAtoken" not in shown
    assert not any(obeyed in shown for obeyed in "\x1b\x07\r")
    assert "Error\\x07\\r" in shown
    for told in ("reason", "failed at", "FAILED", "BODY (", "STACK", "cloudEvents_subject"):
        assert told in shown
    assert things.depth() == 1
    missing = operator.types("dead", "show", "msg_none")
    assert (missing.exit_code, missing.stderr) == (1, "msg_none is not dead\n")


def test_a_long_body_is_cut_on_the_screen_and_whole_in_json(
    operator: Operator, things: DeadThings
) -> None:
    things.add("msg_1", body=json.dumps({"n": 1, "long": "x" * 1_000_000}).encode())
    shown = operator.types("dead", "show", "msg_1").stdout
    assert len(shown) < 15_000
    assert "--json shows all of it" in shown
    (facts,) = operator.reads("dead", "show", "msg_1")
    assert len(facts["body"]["long"]) == 1_000_000


def test_copies_of_one_id_are_all_shown(operator: Operator, things: DeadThings) -> None:
    things.add("msg_1", body=b'{"n": 1}')
    things.add("msg_1", body=b'{"n": 2}')
    assert [each["body"]["n"] for each in operator.reads("dead", "show", "msg_1")] == [1, 2]
    assert "-- copy 2 of 2" in operator.types("dead", "show", "msg_1").stdout


def test_replay_takes_ids_filters_or_all_and_says_what_it_did(
    operator: Operator, things: DeadThings
) -> None:
    for number in range(6):
        things.add(f"msg_{number}", event_type=OTHER_TYPE if number > 3 else EVENT_TYPE)
    some = operator.types("dead", "replay", "msg_0", "msg_none")
    assert (some.exit_code, some.stdout) == (1, "1 replayed\n")
    assert some.stderr == "msg_none is not dead\n"
    assert operator.reads("dead", "replay", "--type", OTHER_TYPE) == {
        "replayed": 2,
        "not_found": [],
    }
    assert operator.types("dead", "replay", "--all", "--since", "2026-11-23T00:00:00Z").stdout == (
        "0 replayed\n"
    )
    assert operator.types("dead", "replay", "--all").stdout == "3 replayed\n"
    assert operator.types("dead", "replay", "--all").stdout == "0 replayed\n"
    assert things.replayed() == ["msg_0", "msg_4", "msg_5", "msg_1", "msg_2", "msg_3"]
    for wrong in ([], ["--all", "msg_1"], ["--all", "--type", "x"]):
        assert operator.types("dead", "replay", *wrong).exit_code == 2


def test_a_replay_that_no_queue_takes_is_said_in_one_line_that_quotes_nothing(
    operator: Operator, things: DeadThings, caplog: pytest.LogCaptureFixture
) -> None:
    things.add("msg_1")
    channel_of(things).queue_delete(things.topology.queue)
    result = operator.types("dead", "replay", "--all")
    assert result.exit_code == 2
    assert result.stderr == (f"dead replay: there is no queue {things.topology.queue}\n")
    assert caplog.text == ""
    assert things.dead() == ["msg_1"]


def test_who_discards_must_say_why_and_is_kept(operator: Operator, things: DeadThings) -> None:
    things.add("msg_gone", reason="Refused: no")
    assert operator.types("dead", "discard", "msg_gone", "--by", "thandi").exit_code == 2
    blank = operator.types("dead", "discard", "msg_gone", "--by", "thandi", "--reason", " ")
    assert blank.exit_code == 2
    done = operator.types("dead", "discard", "msg_gone", "--by", "thandi", "--reason", "case 17")
    assert (done.exit_code, done.stdout) == (0, "1 discarded\n")
    again = operator.types("dead", "discard", "msg_gone", "--by", "x", "--reason", "y")
    assert again.exit_code == 1
    (kept,) = [
        each for each in operator.reads("dead", "discarded") if each["message_id"] == "msg_gone"
    ]
    assert (kept["discarded_by"], kept["reason"]) == ("thandi", "case 17")
    assert kept["headers"]["x-octoco-reason"] == "Refused: no"
    assert kept["body"] == {"n": 1}
    assert "case 17" in operator.types("dead", "discarded").stdout


def test_a_topology_as_declared_differs_in_nothing(
    operator: Operator, working: Callable[..., Any]
) -> None:
    with working():
        assert operator.reads("topology", "check") == {"differences": [], "unchecked": []}
        assert operator.types("topology", "check").stdout == "nothing differs\n"


def test_a_missing_binding_is_found_and_declared_again(
    operator: Operator, things: DeadThings, working: Callable[..., Any]
) -> None:
    topology = things.topology
    with working():
        channel_of(things).queue_unbind(topology.queue, topology.exchange_name, EVENT_TYPE)
        result = operator.types("topology", "check")
        assert result.exit_code == 1
        assert result.stdout == (
            f"binding {topology.exchange_name} -> {topology.queue}: {EVENT_TYPE}: missing\n"
        )
        assert operator.types("topology", "declare").stdout == "declared 4 queues and 1 bindings\n"
        assert operator.types("topology", "check").exit_code == 0


def test_foreign_bindings_are_found(
    operator: Operator, things: DeadThings, working: Callable[..., Any]
) -> None:
    topology = things.topology
    channel = channel_of(things)
    channel.queue_declare("", exclusive=True)
    foreign = channel.queue_declare("", exclusive=True).method.queue
    with working():
        channel.queue_bind(topology.queue, topology.exchange_name, OTHER_TYPE)
        channel.queue_bind(foreign, topology.exchange_name, "probe.#")
        found = operator.reads("topology", "check", exit_code=1)["differences"]
    assert (
        f"binding {topology.exchange_name} -> {topology.queue}: {OTHER_TYPE}: not declared" in found
    )
    (wild,) = [line for line in found if line.startswith("exchange ")]
    assert "a queue that does not answer takes keys that no event has, such as probe." in wild
    assert things.depth() == 0


def test_a_probe_has_no_effect_and_leaves_no_trace(
    operator: Operator, things: DeadThings, working: Callable[..., Any]
) -> None:
    with working():
        for _ in range(3):
            assert operator.types("topology", "check").exit_code == 0
    depths = operator.reads("status")
    assert depths["queue"]["messages"] == 0
    assert depths["dead_queue"]["messages"] == 0
    assert all(tier["messages"] == 0 for tier in depths["retry_queues"])


def test_bindings_of_a_queue_that_nobody_consumes_are_said_not_to_be_checked(
    operator: Operator, things: DeadThings
) -> None:
    found = operator.reads("topology", "check")
    assert found["differences"] == []
    assert found["unchecked"] == [
        f"bindings of {things.topology.queue}: nobody consumes it, so nobody answers"
    ]
    assert "not checked: bindings: not asked for" in (
        operator.types("topology", "check", "--no-probe").stdout
    )


def test_missing_queues_and_wrong_arguments_are_each_a_line(
    operator: Operator, things: DeadThings
) -> None:
    topology = things.topology
    channel = channel_of(things)
    channel.queue_delete(topology.retry_queue(0))
    channel.queue_delete(topology.dead_queue)
    channel.queue_declare(topology.dead_queue, durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_delete(topology.retry_queue(1))
    arguments = {**topology.queues[3].arguments, "x-message-ttl": 7}
    channel.queue_declare(topology.retry_queue(1), durable=True, arguments=arguments)
    result = operator.types("topology", "check", "--no-probe")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[:3] == [
        f"queue {topology.dead_queue}: x-delivery-limit is none, declared is 1000000000",
        f"queue {topology.retry_queue(0)}: missing",
        f"queue {topology.retry_queue(1)}: x-message-ttl is 7, declared is 400",
    ]
    declared = operator.types("topology", "declare")
    assert declared.exit_code == 1
    assert "x-delivery-limit is none" in declared.stderr


def test_a_missing_exchange_and_one_of_another_type_are_found(
    operator: Operator, things: DeadThings
) -> None:
    name = things.topology.exchange_name
    channel = channel_of(things)
    channel.exchange_delete(name)
    assert operator.reads("topology", "check", exit_code=1)["differences"] == [
        f"exchange {name}: missing"
    ]
    channel.exchange_declare(name, "direct", durable=True)
    assert operator.reads("topology", "check", exit_code=1)["differences"] == [
        f"exchange {name}: type is direct, declared is topic"
    ]


def test_a_watch_measures_depths_and_binds_again_what_was_unbound(
    operator: Operator, things: DeadThings
) -> None:
    topology = things.topology
    things.add("msg_1")
    channel_of(things).queue_unbind(topology.queue, topology.exchange_name, EVENT_TYPE)
    watch = QueueWatch(
        connect=connecting_to(things.url), topology=topology, event_types=(EVENT_TYPE,)
    )
    connection = pika.BlockingConnection(pika.URLParameters(things.url))
    watch.look(connection)
    assert QUEUE_MESSAGES.labels(queue=topology.dead_queue)._value.get() == 1
    assert TOPOLOGY_DIFFERS._value.get() == 0
    things._channel.basic_publish(topology.exchange_name, EVENT_TYPE, b"{}", mandatory=True)
    assert things.depth(topology.queue) == 1
    channel_of(things).queue_delete(topology.dead_queue)
    channel_of(things).queue_declare(topology.dead_queue, durable=True)
    watch.look(connection)
    assert TOPOLOGY_DIFFERS._value.get() == 1
    connection.close()
