"""`<service> messages topology ...`: the queues as declared and as the broker has them."""

from collections.abc import Callable, Collection
from typing import Final

import click
import pika.exceptions

from octoco.commands.printing import as_json, explained, plain
from octoco.commands.servers import broker_connection
from octoco.messaging.contracts import Contracts
from octoco.messaging.topology import Topology
from octoco.messaging.topology_check import Findings, TopologyCheck, as_facts, refusal_of

_CHECKING: Final = "topology check"
_DECLARING: Final = "topology declare"


def topology_commands(
    *,
    topology: Topology,
    listens_to: Collection[str],
    contracts: Callable[[], Contracts],
) -> click.Group:
    """Build the group of commands for a service's part of the topology; they need AMQP_URL.

    Args:
        topology: As declared.
        listens_to: The event types that the service handles.
        contracts: Loads the message schemas, which name all event types.
    """

    @click.group(
        name="topology",
        help=explained(
            "Hold exchange, queues and bindings against the broker, or declare them.",
        ),
    )
    def group() -> None:
        pass

    group.add_command(_check_command(topology, listens_to, contracts))
    group.add_command(_declare_command(topology, listens_to))
    return group


def _check_command(
    topology: Topology, listens_to: Collection[str], contracts: Callable[[], Contracts]
) -> click.Command:
    @click.command(
        name="check",
        help=explained(
            "Say what differs from what is declared, a line each.\n\n"
            "AMQP lists no bindings, so a probe is published for each event type; every consumer "
            "of ours that gets it answers and acks it, and nothing else happens. A queue that "
            "nobody consumes cannot answer, and a policy is seen by nobody here.\n\n"
            "Exit status: 1 if something differs, 2 if the broker is away.",
            f"{topology.service} messages topology check",
            f"{topology.service} messages topology check --no-probe --json",
        ),
    )
    @click.option(
        "--probe/--no-probe",
        default=True,
        show_default=True,
        help="Whether to ask running consumers which event types reach them.",
    )
    @click.option("--json", "json_wanted", is_flag=True, help="Print JSON.")
    def check_command(*, probe: bool, json_wanted: bool) -> None:
        with broker_connection(failing=_CHECKING) as connection:
            findings = TopologyCheck(
                connection=connection,
                topology=topology,
                listens_to=listens_to,
                known_types=contracts().event_types,
            ).run(with_probes=probe)
        click.echo(as_json(as_facts(findings)) if json_wanted else _lines(findings))
        if findings.differences:
            raise SystemExit(1)

    return check_command


def _declare_command(topology: Topology, listens_to: Collection[str]) -> click.Command:
    @click.command(
        name="declare",
        help=explained(
            "Declare what is missing; what is there already stays as it is.\n\n"
            "The worker does the same whenever it connects. What exists with other arguments has "
            "to be emptied and deleted by hand first.\n\n"
            "Exit status: 1 if something exists and is another one, 2 if the broker is away.",
            f"{topology.service} messages topology declare",
        ),
    )
    @click.option("--json", "json_wanted", is_flag=True, help="Print JSON.")
    def declare_command(*, json_wanted: bool) -> None:
        types = sorted(listens_to)
        with broker_connection(failing=_DECLARING) as connection:
            try:
                topology.declare(connection.channel(), types)
            except pika.exceptions.ChannelClosedByBroker as error:
                raise click.ClickException(plain(refusal_of(error))) from None
        declared = {
            "exchange": topology.exchange_name,
            "queues": [queue.name for queue in topology.queues],
            "bindings": types,
        }
        if json_wanted:
            click.echo(as_json(declared))
        else:
            click.echo(f"declared {len(topology.queues)} queues and {len(types)} bindings")

    return declare_command


def _lines(findings: Findings) -> str:
    lines = [plain(line) for line in findings.differences] or ["nothing differs"]
    return "\n".join([*lines, *(f"not checked: {plain(line)}" for line in findings.unchecked)])
