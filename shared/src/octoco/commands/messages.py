"""`<service> messages ...`: how much lies where, and the tools for what went wrong."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from typing import Any, Final

import click

from octoco.commands.dead import dead_commands
from octoco.commands.printing import age, as_json, explained, plain, table
from octoco.commands.servers import broker_connection, service_database
from octoco.commands.topology import topology_commands
from octoco.database.engine import Database
from octoco.messaging.contracts import Contracts
from octoco.messaging.dead_letters import DeadLetters, DeadLettersBusy
from octoco.messaging.overview import (
    QueueDepth,
    TableDepths,
    Waiting,
    outbox_rows,
    queue_depths,
    table_depths,
)
from octoco.messaging.topology import Topology

_FAILING: Final = "messages"
# Nobody who wants to see how things stand waits for somebody who replays.
_TURN_SECONDS: Final = 0.5
# Who looks at one dead message has to fetch them all.
_LOOKED_AT_MAX: Final = 10_000
_JSON_OPTION: Final = click.option("--json", "json_wanted", is_flag=True, help="Print JSON.")


def message_commands(
    *,
    topology: Topology,
    listens_to: Collection[str],
    contracts: Callable[[], Contracts] = Contracts,
) -> click.Group:
    """Build the group of commands for a service's messages.

    They need DATABASE_URL and AMQP_URL and nothing else. They end with 2 and one line if a server
    cannot be asked.

    Args:
        topology: Names the service's queues.
        listens_to: The event types that the service handles.
        contracts: Loads the message schemas.
    """

    @click.group(
        name="messages",
        help=explained(
            "See the messages of this service, and act on those that went wrong.\n\n"
            "All of it is safe on a live system: looking changes nothing, replaying and "
            "discarding twice do no harm.",
        ),
    )
    def group() -> None:
        pass

    group.add_command(_status_command(topology))
    group.add_command(_outbox_command(topology))
    group.add_command(dead_commands(topology=topology, contracts=contracts))
    group.add_command(
        topology_commands(topology=topology, listens_to=listens_to, contracts=contracts)
    )
    return group


def _status_command(topology: Topology) -> click.Command:
    @click.command(
        name="status",
        help=explained(
            "Say how much waits where, for how long, and who consumes.\n\n"
            "Held back is an aggregate whose first message has waited in the outbox for more than "
            "5 s: no queue takes it, the broker refuses it, or nobody relays.\n\n"
            "Exit status: 1 if a queue is missing, 2 if a server is away.",
            f"{topology.service} messages status",
            f"{topology.service} messages status --json | jq .dead_queue.messages",
        ),
    )
    @_JSON_OPTION
    def status_command(*, json_wanted: bool) -> None:
        with (
            service_database(
                application_name=topology.service, failing=f"{_FAILING} status"
            ) as database,
            broker_connection(failing=f"{_FAILING} status") as connection,
        ):
            tables = table_depths(database)
            queues = queue_depths(connection, topology)
            oldest = _oldest_dead(connection, topology, database, queues[1])
        facts = _status(topology.service, tables, queues, oldest)
        click.echo(as_json(facts) if json_wanted else _status_table(facts))
        if facts["missing_queues"]:
            click.echo(f"missing: {', '.join(facts['missing_queues'])}", err=True)
            raise SystemExit(1)

    return status_command


def _outbox_command(topology: Topology) -> click.Command:
    @click.command(
        name="outbox",
        help=explained(
            "List what waits in the outbox, oldest first.\n\n"
            "BEHIND counts the messages of the same aggregate that go first: the one with 0 is "
            "what all of them wait for.",
            f"{topology.service} messages outbox --type wallet.deposit.completed.v1 --limit 10",
        ),
    )
    @click.option("--type", "event_type", help="Of this event type only.")
    @click.option(
        "--limit",
        type=click.IntRange(1, 100_000),
        default=50,
        show_default=True,
        help="At most so many.",
    )
    @_JSON_OPTION
    def outbox_command(event_type: str | None, limit: int, *, json_wanted: bool) -> None:
        with service_database(
            application_name=topology.service, failing=f"{_FAILING} outbox"
        ) as database:
            rows = outbox_rows(database, event_type=event_type, limit=limit)
        if json_wanted:
            click.echo(as_json([asdict(row) for row in rows]))
            return
        if rows:
            click.echo(
                table(
                    ("MESSAGE ID", "TYPE", "AGGREGATE", "WAITS", "BEHIND"),
                    [
                        (r.message_id, r.event_type, r.aggregate_id, age(r.age_seconds), r.behind)
                        for r in rows
                    ],
                    right={"BEHIND"},
                )
            )
        click.echo(f"{len(rows)} waiting" + (", there may be more" * (len(rows) == limit)))

    return outbox_command


def _oldest_dead(
    connection: Any, topology: Topology, database: Database, dead: QueueDepth
) -> float | None:
    if not dead.messages or dead.messages > _LOOKED_AT_MAX:
        return None
    letters = DeadLetters(
        connection=connection, topology=topology, database=database, turn_seconds=_TURN_SECONDS
    )
    try:
        return letters.oldest_age_seconds()
    except DeadLettersBusy:
        return None


def _status(
    service: str, tables: TableDepths, queues: Collection[QueueDepth], oldest: float | None
) -> dict[str, Any]:
    queue, dead, *tiers = queues
    return {
        "service": service,
        "outbox": {
            **_waiting(tables.outbox),
            "held_back_aggregates": tables.held_back_aggregates,
        },
        "parked_events": _waiting(tables.parked_events),
        "due_intents": _waiting(tables.due_intents),
        "queue": asdict(queue),
        "retry_queues": [{"name": tier.name, "messages": tier.messages} for tier in tiers],
        "dead_queue": {
            "name": dead.name,
            "messages": dead.messages,
            "oldest_age_seconds": None if oldest is None else round(oldest, 3),
        },
        "missing_queues": [each.name for each in queues if each.messages is None],
    }


def _waiting(waiting: Waiting) -> dict[str, Any]:
    oldest = waiting.oldest_age_seconds
    return {
        "count": waiting.count,
        "oldest_age_seconds": None if oldest is None else round(oldest, 3),
    }


def _status_table(facts: Mapping[str, Any]) -> str:
    outbox, queue, dead = facts["outbox"], facts["queue"], facts["dead_queue"]
    held_back = outbox["held_back_aggregates"]
    rows: list[tuple[object, ...]] = [
        (
            "outbox",
            *_counted(outbox),
            _counting(held_back, "aggregate") + " held back" if held_back else None,
        ),
        ("parked events", *_counted(facts["parked_events"]), None),
        ("due intents", *_counted(facts["due_intents"]), None),
        (queue["name"], queue["messages"], None, _counting(queue["consumers"], "consumer")),
        *((tier["name"], tier["messages"], None, None) for tier in facts["retry_queues"]),
        (dead["name"], dead["messages"], age(dead["oldest_age_seconds"]), None),
    ]
    missing = set(facts["missing_queues"])
    shown = [(*row[:3], "missing") if row[0] in missing else row for row in rows]
    return table(("WHERE", "WAITING", "OLDEST", "NOTE"), shown, right={"WAITING", "OLDEST"})


def _counted(waiting: Mapping[str, Any]) -> tuple[object, object]:
    return waiting["count"], plain(age(waiting["oldest_age_seconds"]))


def _counting(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
