"""Dead messages on the real broker: seen without being moved, replayed and discarded once."""

import hashlib
import itertools
import json
import random
import struct
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pika
import pika.data
import pika.exceptions
import psycopg2
import psycopg2.errors
import pytest

from octoco.database import Database, PostgresUnit, PostgresUnitsOfWork
from octoco.events import Event
from octoco.messaging import scan
from octoco.messaging.contracts import Contracts
from octoco.messaging.dead_letters import (
    DeadLettersBusy,
    DeadMessage,
    ReplayRefused,
    Wanted,
    read_dead_message,
)
from octoco.messaging.discarded import DiscardedMessages
from octoco.messaging.failures import own_headers
from octoco.messaging.masking import Masking
from octoco.messaging.scan import QueueScan
from octoco.testing import eventually
from octoco.testing.provisions import ProvisionedSchema
from octoco.testing.wire import Fate, Wire
from octoco.worker import Worker, WorkerParts

from .conftest import EVENT_TYPE
from .dead_things import DIED_AT, DeadThings, things

__all__ = ["things"]

OTHER_TYPE = "probe.thing.unheard.v1"
ALL = Wanted()
# The class and the number of basic.ack, as they stand on the wire.
ACK = b"\x00\x3c\x00\x50"


def ignore(_message: DeadMessage, _is_done: object) -> None:
    """Hear of it, and do nothing."""


@pytest.fixture
def discarded(database: Database, contracts: Contracts) -> DiscardedMessages:
    return DiscardedMessages(database=database, masking=Masking(contracts))


@pytest.fixture
def wire(amqp_url: str) -> Iterator[Wire]:
    host = pika.URLParameters(amqp_url)
    with Wire(host.host, host.port) as laid:
        yield laid


def cut_before_acks(wire: Wire) -> None:
    wire.watch = lambda sent: Fate.NEVER_ARRIVES if ACK in sent else Fate.ARRIVES


def through(wire: Wire, url: str) -> str:
    parts = pika.URLParameters(url)
    return url.replace(f"{parts.host}:{parts.port}", f"127.0.0.1:{wire.port}")


def test_looking_again_and_again_finds_the_same_in_the_same_order(things: DeadThings) -> None:
    ids = [f"msg_{number:04}" for number in range(400)]
    for message_id in ids:
        things.add(message_id)
    for _ in range(2):
        with things.letters() as letters, letters.look() as messages:
            assert [message.id for message in messages] == ids
    assert things.dead() == ids


def test_many_windows_give_back_in_the_order_in_which_they_took(
    things: DeadThings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "FIRST_WINDOW", 3)
    monkeypatch.setattr(scan, "WINDOW_MAX", 3)
    ids = [f"msg_{number:03}" for number in range(100)]
    for message_id in ids:
        things.add(message_id)
    for _ in range(3):
        with things.letters() as letters, letters.look() as messages:
            assert [message.id for message in messages] == ids


def test_a_look_ends_when_all_is_back(things: DeadThings) -> None:
    for number in range(500):
        things.add(f"msg_{number}")
    with things.letters() as letters:
        for _ in range(10):
            with letters.look() as messages:
                next(messages)
            assert letters.depth() == 500


def test_who_looks_at_a_few_leaves_all_where_they_were(things: DeadThings) -> None:
    ids = [f"msg_{number:02}" for number in range(60)]
    for message_id in ids:
        things.add(message_id)
    with things.letters() as letters:
        for few in (40, 1, 17, 1):
            with letters.look() as messages:
                assert [message.id for message in itertools.islice(messages, few)] == ids[:few]
    assert things.dead() == ids


def test_a_window_is_as_small_as_its_bodies_are_large(
    things: DeadThings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        things.add(f"msg_{number:02}", body=b"x" * 500_000)
    held: list[int] = []
    filled = scan._Window.fill

    def fill(window: scan._Window, *, keeps: bool) -> None:
        filled(window, keeps=keeps)
        held.append(window.count)

    monkeypatch.setattr(scan._Window, "fill", fill)
    with things.letters() as letters, letters.look() as messages:
        assert sum(len(message.body) for message in messages) == 40 * 500_000
    assert held == [16, 8, 8, 8]
    assert things.depth() == 40


@pytest.mark.parametrize("seed", range(4))
def test_a_filter_takes_out_what_fits_and_leaves_the_rest_in_its_order(
    things: DeadThings, seed: int
) -> None:
    chance = random.Random(seed)
    kinds = {}
    for number in range(150):
        message_id = f"msg_{number:03}"
        kinds[message_id] = (
            chance.choice([EVENT_TYPE, OTHER_TYPE]),
            chance.choice(["RuntimeError: broken", "Unavailable: away"]),
            DIED_AT + timedelta(minutes=chance.randrange(10)),
        )
        event_type, reason, failed_at = kinds[message_id]
        things.add(message_id, event_type=event_type, reason=reason, failed_at=failed_at)
    wanted = Wanted(
        event_type=chance.choice([None, OTHER_TYPE]),
        reason=chance.choice([None, "AWAY"]),
        since=chance.choice([None, DIED_AT + timedelta(minutes=5)]),
        ids=chance.choice([None, frozenset(chance.sample(sorted(kinds), 70))]),
    )
    fitting = [
        message_id
        for message_id, (event_type, reason, failed_at) in kinds.items()
        if (wanted.event_type in (None, event_type))
        and (wanted.reason is None or "away" in reason)
        and (wanted.since is None or failed_at >= wanted.since)
        and (wanted.ids is None or message_id in wanted.ids)
    ]
    with things.letters() as letters:
        letters.replay(wanted, on_looked=ignore)
    assert things.replayed() == fitting
    assert things.dead() == [message_id for message_id in kinds if message_id not in set(fitting)]


def test_a_copy_begins_anew_and_keeps_what_it_went_through(things: DeadThings) -> None:
    things.add("msg_1", headers={"x-octoco-replayed": 2, "x-death": [], "traceparent": "00-1-2-01"})
    with things.letters() as letters:
        letters.replay(ALL, on_looked=ignore)
    ((properties, body),) = things.drain(things.topology.queue)
    assert body == b'{"n": 1}'
    assert properties.delivery_mode == 2
    headers = properties.headers
    assert (headers["x-octoco-attempt"], headers["x-octoco-replayed"]) == (0, 3)
    assert headers["traceparent"] == "00-1-2-01"
    assert json.loads(headers["x-octoco-history"])[0]["reason"] == "RuntimeError: broken"
    assert "x-death" not in headers


def test_replayed_twice_it_is_handled_once(
    things: DeadThings,
    database: Database,
    units: PostgresUnitsOfWork[PostgresUnit],
    contracts: Contracts,
    schema: ProvisionedSchema,
) -> None:
    def handle(unit: PostgresUnit, event: Event) -> None:
        unit.connection.exec_driver_sql(
            "INSERT INTO effects VALUES (%s, %s)", (event.id, event.data["n"])
        )

    worker = Worker(
        WorkerParts(
            service="probe",
            database_url=schema.service_url,
            database=database,
            units=units,
            contracts=contracts,
            amqp_url=things.url,
            subscriptions={EVENT_TYPE: handle},
            topology=things.topology,
        )
    )
    # A crash after the copy leaves the original: the same message is dead and on its way.
    things.add("msg_1")
    things.add("msg_1")
    with things.letters() as letters:
        letters.replay(ALL, on_looked=ignore)
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        eventually(lambda: worker.readiness()["broker"], what="a consumer")
        eventually(lambda: things.depth(things.topology.queue) == 0, what="an empty queue")
    finally:
        stop.set()
        thread.join(30)
    effects = database.read(lambda c: c.exec_driver_sql("SELECT event_id FROM effects").all())
    assert [row.event_id for row in effects] == ["msg_1"]
    assert things.depth(things.topology.queue) == things.depth() == 0


def test_a_crash_between_copy_and_ack_leaves_both(things: DeadThings, wire: Wire) -> None:
    for number in range(3):
        things.add(f"msg_{number}")
    cut_before_acks(wire)
    with (
        pytest.raises(pika.exceptions.AMQPError),
        things.letters(through(wire, things.url)) as letters,
    ):
        letters.replay(ALL, on_looked=ignore)
    eventually(lambda: things.depth() == 3, what="the messages given back")
    assert things.replayed() == ["msg_0"]
    with things.letters() as letters:
        letters.replay(ALL, on_looked=ignore)
    assert things.replayed() == ["msg_0", "msg_1", "msg_2"]
    assert things.depth() == 0


def test_one_at_a_time_works_on_dead_messages(things: DeadThings) -> None:
    things.add("msg_1")
    with things.letters() as letters, letters.look() as messages:
        assert next(messages).id == "msg_1"
        with (
            things.letters(turn_seconds=0.1) as others,
            pytest.raises(DeadLettersBusy),
            others.look(),
        ):
            raise AssertionError("two at once")


def test_two_who_replay_all_at_once_replay_each_once(things: DeadThings) -> None:
    ids = [f"msg_{number:03}" for number in range(200)]
    for message_id in ids:
        things.add(message_id)
    replayed: list[str] = []

    def replay() -> None:
        with things.letters() as letters:
            letters.replay(ALL, on_looked=lambda message, _: replayed.append(message.id))

    operators = [threading.Thread(target=replay) for _ in range(2)]
    for operator in operators:
        operator.start()
    for operator in operators:
        operator.join(30)
    assert replayed == ids
    assert things.replayed() == ids


def test_what_dies_while_others_are_replayed_is_left_alone(things: DeadThings) -> None:
    for number in range(20):
        things.add(f"msg_{number:02}")

    def die_again(message: DeadMessage, _is_done: object) -> None:
        things.add(f"{message.id}_again")

    with things.letters() as letters:
        letters.replay(ALL, on_looked=die_again)
    assert things.dead() == [f"msg_{number:02}_again" for number in range(20)]


def test_a_replay_that_no_queue_takes_leaves_the_message_dead(things: DeadThings) -> None:
    things.add("msg_1")
    connection = pika.BlockingConnection(pika.URLParameters(things.url))
    connection.channel().queue_delete(things.topology.queue)
    connection.close()
    with things.letters() as letters, pytest.raises(ReplayRefused):
        letters.replay(ALL, on_looked=ignore)
    assert things.dead() == ["msg_1"]


def test_whatever_lies_in_the_queue_can_be_seen_and_discarded(
    things: DeadThings, discarded: DiscardedMessages
) -> None:
    no_text = b"\xff\xfe\x00"
    no_id = f"sha256:{hashlib.sha256(no_text).hexdigest()[:16]}"
    things.add_raw(None, no_text, None)
    things.add_raw("id\x00\x1b[31m", b"not json", {"x-octoco-history": "[1, {}]", "t": b"\xff"})
    things.add_raw("msg_deep", b"[" * 5000, {"x-octoco-attempt": "seven", "x-death": ["odd"]})
    things.add_raw("msg_list", b"[1e999, NaN]", {"x-octoco-failed-at": "yesterday", "n": None})
    with things.letters() as letters:
        with letters.look() as messages:
            found = list(messages)
        letters.discard(
            Wanted(ids=frozenset(message.id for message in found)),
            discarded=discarded,
            reason="nobody's",
            by="test",
            on_looked=ignore,
        )
    assert found[0].id == no_id
    assert [message.attempt for message in found] == [None] * 4
    assert things.depth() == 0
    kept = {message.id: message for message in discarded.newest(limit=10)}
    assert kept[no_id].body == {"base64": "//4A"}
    assert kept["id\\x00\x1b[31m"].body == "not json"
    assert kept["msg_deep"].body == "[" * 5000


def test_what_the_client_alone_could_not_read_is_seen_replayed_and_discarded_like_the_rest(
    things: DeadThings, discarded: DiscardedMessages, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = datetime(1, 1, 1, tzinfo=UTC)
    write = pika.data.encode_value

    def write_far(pieces: list[bytes], value: Any) -> int:
        if value is not far:
            return int(write(pieces, value))
        pieces.append(struct.pack(">cQ", b"T", 2**62))
        return 9

    monkeypatch.setattr(pika.data, "encode_value", write_far)
    things.add("msg_far", headers={"when": far})
    things.add("msg_deep", headers={"x-octoco-history": "[" * 60_000})
    odd: dict[Any, Any] = {b"\xff": 1, "x-octoco-replayed": 2**63 - 1}
    things.add("msg_odd", headers=odd)
    things.add("msg_well")
    with things.letters() as letters:
        with letters.look() as messages:
            assert [one.id for one in messages] == ["msg_far", "msg_deep", "msg_odd", "msg_well"]
        meant = Wanted(ids=frozenset(["msg_odd", "msg_far"]))
        letters.discard(meant, discarded=discarded, reason="odd", by="test", on_looked=ignore)
        things.add("msg_odd", headers=odd)
        letters.replay(ALL, on_looked=ignore)
    assert things.replayed() == ["msg_deep", "msg_well", "msg_odd"]
    kept = {message.id: message for message in discarded.newest(limit=10)}
    assert kept["msg_far"].headers["when"] == str(2**62)


def test_what_the_broker_let_die_says_so() -> None:
    death = {
        "reason": "delivery_limit",
        "queue": "wallet.events",
        "time": DIED_AT.replace(tzinfo=None),
    }
    message = read_dead_message(pika.BasicProperties(headers={"x-death": [death]}), b"{}")
    assert message.reason == "RabbitMQ: delivery_limit in wallet.events"
    assert message.failed_at == DIED_AT


def test_numbers_that_the_client_can_read_and_not_write_become_text() -> None:
    assert own_headers({"n": 1.5, "deep": [{"m": 2.5}], "x-death": []}) == {
        "n": "1.5",
        "deep": [{"m": "2.5"}],
    }


def test_what_a_schema_marks_is_masked_wherever_it_stands_and_however_broken_the_body_is(
    tmp_path: Path,
) -> None:
    marked = {"type": "string", "x-octoco-secret": True}
    schema = {
        "properties": {
            "plain": {"type": "string"},
            "one_time": marked,
            "codes": {"items": marked},
            "all": {"items": {"properties": {"inner": marked}}},
        }
    }
    (tmp_path / "probe.marked.v1.json").write_text(json.dumps(schema))
    masking = Masking(Contracts(tmp_path))
    body = (
        b'{"plain": "a", "one_time": "s1", "codes": ["s0"], "all": [{"inner": "s2"}], "token": 3}'
    )
    masked = {"plain": "a", "one_time": "***", "all": [{"inner": "***"}], "token": "***"}
    assert masking.body("probe.marked.v1", body) == {**masked, "codes": ["***"]}
    # Whoever says that it is something else, or says nothing, shows no more.
    assert masking.body("probe.unknown.v1", body) == {**masked, "codes": "***"}
    assert masking.body(None, body) == {**masked, "codes": "***"}
    cut = masking.body(
        "probe.marked.v1", b'{"one_time": "s1", "all": [{"inner": "s2"}], "password": "s4'
    )
    assert cut == '{"one_time": "***", "all": [{"inner": "***"}], "password": "***"'
    nested = masking.body(None, b'{"n": 1, "secrets": [{"a": "s5"}, ')
    assert nested == '{"n": 1, "secrets": "***"'


def test_what_is_discarded_is_kept_for_good_without_its_secrets(
    things: DeadThings, discarded: DiscardedMessages, schema: ProvisionedSchema
) -> None:
    body = b'{"n": 1, "token_encrypted": "gAAAA", "deep": [{"password": "x"}]}'
    things.add("msg_secret", body=body, headers={"x-api-key-secret": "y"})
    with things.letters() as letters:
        letters.discard(
            Wanted(ids=frozenset({"msg_secret"})),
            discarded=discarded,
            reason="a test",
            by="thandi",
            on_looked=ignore,
        )
    kept = discarded.newest(limit=1)[0]
    assert (kept.id, kept.event_type, kept.reason, kept.by) == (
        "msg_secret",
        EVENT_TYPE,
        "a test",
        "thandi",
    )
    assert kept.body == {"n": 1, "token_encrypted": "***", "deep": [{"password": "***"}]}
    assert kept.headers["x-api-key-secret"] == "***"
    assert kept.headers["x-octoco-reason"] == "RuntimeError: broken"
    for statement in (
        "UPDATE discarded_messages SET reason = 'another'",
        "DELETE FROM discarded_messages",
        "TRUNCATE discarded_messages",
    ):
        connection = psycopg2.connect(schema.service_url)
        with connection.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(statement)
        connection.close()


def test_copies_of_one_id_are_discarded_together_and_each_body_is_kept(
    things: DeadThings, discarded: DiscardedMessages
) -> None:
    things.add("msg_twin", body=b'{"n": 1}')
    things.add("msg_other")
    things.add("msg_twin", body=b'{"n": 1}')
    things.add("msg_twin", body=b'{"n": 2}')
    with things.letters() as letters:
        letters.discard(
            Wanted(ids=frozenset({"msg_twin"})),
            discarded=discarded,
            reason="twins",
            by="test",
            on_looked=ignore,
        )
    assert things.dead() == ["msg_other"]
    bodies = [kept.body["n"] for kept in discarded.newest(limit=10) if kept.reason == "twins"]
    assert sorted(bodies) == [1, 2]


def test_a_crash_between_keeping_and_ack_leaves_it_dead_and_a_second_discard_takes_it_out(
    things: DeadThings, discarded: DiscardedMessages, wire: Wire
) -> None:
    things.add("msg_crash")
    cut_before_acks(wire)
    wanted = Wanted(ids=frozenset({"msg_crash"}))

    def discard(url: str, reason: str) -> None:
        with things.letters(url) as letters:
            letters.discard(wanted, discarded=discarded, reason=reason, by="test", on_looked=ignore)

    with pytest.raises(pika.exceptions.AMQPError):
        discard(through(wire, things.url), "first")
    eventually(lambda: things.depth() == 1, what="the message given back")
    discard(things.url, "second")
    assert things.depth() == 0
    kept = [each.reason for each in discarded.newest(limit=10) if each.id == "msg_crash"]
    assert kept == ["first"]


def test_a_queue_is_told_empty_only_if_it_is(things: DeadThings) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(things.url))
    with QueueScan(connection, things.topology.dead_queue) as empty:
        assert list(empty.messages()) == []
    things.add("msg_1")

    class Busy(QueueScan):
        """Of a broker that is too busy to count."""

        def _ask(self) -> scan._Answer:
            return scan._Answer(0, super()._ask().consumer_count)

    with Busy(connection, things.topology.dead_queue) as looked:
        assert [each.properties.message_id for each in looked.messages()] == ["msg_1"]
    connection.close()
    assert things.dead() == ["msg_1"]
