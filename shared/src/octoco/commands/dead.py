"""`<service> messages dead ...`: see dead messages, and replay or discard them."""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

from octoco.commands.printing import as_json, explained, plain, plain_lines, table
from octoco.commands.servers import broker_connection, give_up, service_database
from octoco.database.engine import Database
from octoco.messaging.contracts import Contracts
from octoco.messaging.dead_letters import DeadLetters, DeadMessage, ReplayRefused, Wanted
from octoco.messaging.discarded import DiscardedMessage, DiscardedMessages
from octoco.messaging.masking import Masking
from octoco.messaging.topology import Topology

_BODY_CHARACTERS: Final = 8_000
_REASON_CHARACTERS: Final = 100
_PROGRESS_FROM: Final = 100
_SHORT: Final = (
    "message_id",
    "type",
    "reason",
    "failed_at",
    "first_failed_at",
    "attempt",
    "replayed",
    "correlation_id",
    "causation_id",
)
_AGE: Final = re.compile(r"([0-9]{1,6})([smhd])", re.ASCII)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Since(click.ParamType[datetime]):
    """An instant of RFC 3339 with its offset from UTC, or how long ago it was."""

    name = "since"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        if ago := _AGE.fullmatch(str(value)):
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        try:
            found = datetime.fromisoformat(str(value))
        except ValueError:
            found = None
        if found is None or found.tzinfo is None:
            self.fail(
                f"{value!r} is neither an instant such as 2026-11-22T12:00:00Z nor an age such "
                "as 90m, 2h or 3d",
                param,
                ctx,
            )
        return found.astimezone(UTC)


_TYPE_OPTION: Final = click.option("--type", "event_type", help="Of this event type only.")
_REASON_OPTION: Final = click.option(
    "--reason", help="Whose reason has this text in it, in any case of letters."
)
_SINCE_OPTION: Final = click.option(
    "--since", type=Since(), help="Died then or later: 2026-11-22T12:00:00Z, or 90m, 2h, 3d ago."
)
_JSON_OPTION: Final = click.option("--json", "json_wanted", is_flag=True, help="Print JSON.")
_LIMIT_OPTION: Final = click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=50,
    show_default=True,
    help="At most so many.",
)


def dead_commands(*, topology: Topology, contracts: Callable[[], Contracts]) -> click.Group:
    """Build the group of commands for a service's dead messages.

    Args:
        topology: Names the service's queues.
        contracts: Loads the message schemas, which mark what is secret.
    """

    @click.group(
        name="dead",
        help=explained(
            "See dead messages, and replay or discard them. Secrets are masked.\n\n"
            "Who has no message id goes by `sha256:` and the beginning of its body's hash. One at "
            "a time works on a service's dead messages; others wait for up to 10 s.",
        ),
    )
    def group() -> None:
        pass

    def add(*commands: click.Command) -> None:
        for command in commands:
            group.add_command(command)

    add(_list_command(topology), _show_command(topology, contracts))
    add(_replay_command(topology), *_discard_commands(topology, contracts))
    return group


def _list_command(topology: Topology) -> click.Command:
    @click.command(
        name="list",
        help=explained(
            "List dead messages, oldest first; all of them stay where they are.",
            f"{topology.service} messages dead list --type payments.deposit.paid.v1 --since 2h",
        ),
    )
    @_TYPE_OPTION
    @_REASON_OPTION
    @_SINCE_OPTION
    @_LIMIT_OPTION
    @_JSON_OPTION
    def list_command(
        *,
        event_type: str | None,
        reason: str | None,
        since: datetime | None,
        limit: int,
        json_wanted: bool,
    ) -> None:
        wanted = Wanted(event_type=event_type, reason=reason, since=since)
        found: list[DeadMessage] = []
        with _dead_letters(topology, failing="dead list") as letters:
            depth = letters.depth()
            with letters.look() as messages:
                for message in messages:
                    if wanted.fits(message):
                        found.append(message.without_body())
                    if len(found) == limit:
                        break
        if json_wanted:
            click.echo(as_json([_facts(message) for message in found]))
            return
        if found:
            click.echo(
                table(
                    ("MESSAGE ID", "TYPE", "DIED", "TRY", "REPLAYED", "REASON"),
                    [_row(message) for message in found],
                    right={"TRY", "REPLAYED"},
                )
            )
        click.echo(f"{len(found)} shown of {depth} dead")

    return list_command


def _show_command(topology: Topology, contracts: Callable[[], Contracts]) -> click.Command:
    @click.command(
        name="show",
        help=explained(
            "Show a dead message: why it died, its history, headers and body; it stays.\n\n"
            "If several have the id, all are shown. --json shows all of a long body.\n\n"
            "Exit status: 1 if there is no such message.",
            f"{topology.service} messages dead show msg_01KAPQ6V3T8C4N2B7W9K3M5R1S",
        ),
    )
    @click.argument("message_id")
    @_JSON_OPTION
    def show_command(message_id: str, *, json_wanted: bool) -> None:
        masking = Masking(contracts())
        wanted = Wanted(ids=frozenset({message_id}))
        with (
            _dead_letters(topology, failing="dead show") as letters,
            letters.look() as messages,
        ):
            found = [message for message in messages if wanted.fits(message)]
        if json_wanted:
            click.echo(as_json([_all_facts(message, masking) for message in found]))
        else:
            for place, message in enumerate(found, start=1):
                if len(found) > 1:
                    click.echo(f"-- copy {place} of {len(found)}")
                click.echo(_page(_all_facts(message, masking)))
        if not found:
            click.echo(f"{plain(message_id)} is not dead", err=True)
            raise SystemExit(1)

    return show_command


def _replay_command(topology: Topology) -> click.Command:
    @click.command(
        name="replay",
        help=explained(
            "Give dead messages back to this service, and to no other one.\n\n"
            "Each counts as new: it has all its tries again. Replaying what was handled already "
            "does no harm, the inbox knows it. What dies meanwhile is left alone.\n\n"
            "Exit status: 1 if a named message is not dead, 2 if a server is away; those before "
            "it are replayed.",
            f"{topology.service} messages dead replay msg_01KAPQ6V3T8C4N2B7W9K3M5R1S",
            f"{topology.service} messages dead replay --type payments.deposit.paid.v1 --since 2h",
            f"{topology.service} messages dead replay --all",
        ),
    )
    @click.argument("message_ids", nargs=-1, metavar="[MESSAGE_ID]...")
    @_TYPE_OPTION
    @_REASON_OPTION
    @_SINCE_OPTION
    @click.option("--all", "all_wanted", is_flag=True, help="All that --since lets through.")
    @_JSON_OPTION
    def replay_command(
        *,
        message_ids: tuple[str, ...],
        event_type: str | None,
        reason: str | None,
        since: datetime | None,
        all_wanted: bool,
        json_wanted: bool,
    ) -> None:
        is_filtered = any((event_type, reason))
        if not (message_ids or is_filtered or all_wanted):
            raise click.UsageError("Name messages, or say --type, --reason or --all.")
        if all_wanted and (message_ids or is_filtered):
            raise click.UsageError("--all goes with --since alone.")
        wanted = Wanted(
            ids=frozenset(message_ids) or None, event_type=event_type, reason=reason, since=since
        )
        tally = _Tally("replayed", message_ids, json_wanted=json_wanted)
        with _dead_letters(topology, failing="dead replay") as letters, tally.progress(letters):
            try:
                letters.replay(wanted, on_looked=tally.looked)
            except ReplayRefused as error:
                give_up("dead replay", str(error))
        tally.end()

    return replay_command


def _discard_commands(
    topology: Topology, contracts: Callable[[], Contracts]
) -> tuple[click.Command, click.Command]:
    @click.command(
        name="discard",
        help=explained(
            "Take dead messages out for good. Who did it and why is kept, with the message.\n\n"
            "The table discarded_messages keeps them, without secrets; the service's role cannot "
            "change or delete what is in it. All copies of a message go at once.\n\n"
            "Exit status: 1 if one of them is not dead, 2 if a server is away; those before it "
            "are discarded.",
            f"{topology.service} messages dead discard msg_01KAPQ6V3T8C4N2B7W9K3M5R1S "
            "--reason 'a test deposit, case 17' --by thandi",
        ),
    )
    @click.argument("message_ids", nargs=-1, required=True, metavar="MESSAGE_ID...")
    @click.option("--reason", required=True, help="Why it need not be handled; kept.")
    @click.option("--by", required=True, metavar="WHO", help="Who says so; kept.")
    @_JSON_OPTION
    def discard_command(
        *, message_ids: tuple[str, ...], reason: str, by: str, json_wanted: bool
    ) -> None:
        if not (reason.strip() and by.strip()):
            raise click.UsageError("--reason and --by must say something.")
        tally = _Tally("discarded", message_ids, json_wanted=json_wanted)
        with _servers(topology, failing="dead discard") as (database, connection):
            letters = DeadLetters(connection=connection, topology=topology, database=database)
            with tally.progress(letters):
                letters.discard(
                    Wanted(ids=frozenset(message_ids)),
                    discarded=DiscardedMessages(database=database, masking=Masking(contracts())),
                    reason=reason.strip(),
                    by=by.strip(),
                    on_looked=tally.looked,
                )
        tally.end()

    @click.command(
        name="discarded",
        help=explained(
            "List what was discarded, newest first; --json shows headers and bodies as well.",
            f"{topology.service} messages dead discarded --limit 10",
        ),
    )
    @_LIMIT_OPTION
    @_JSON_OPTION
    def discarded_command(limit: int, *, json_wanted: bool) -> None:
        with service_database(
            application_name=topology.service, failing="dead discarded"
        ) as database:
            found = DiscardedMessages(database=database, masking=Masking(contracts())).newest(
                limit=limit
            )
        if json_wanted:
            click.echo(as_json([_discarded_facts(message) for message in found]))
            return
        if found:
            rows = [(m.id, m.event_type, m.at, m.by, m.reason) for m in found]
            click.echo(table(("MESSAGE ID", "TYPE", "DISCARDED", "BY", "REASON"), rows))
        click.echo(f"{len(found)} shown" + (", there may be more" * (len(found) == limit)))

    return discard_command, discarded_command


class _Tally:
    """Counts what was done to dead messages, and says it at the end.

    Args:
        done: The word for it.
        message_ids: Those that were named; each must be found.
        json_wanted: Whether to say it in JSON.
    """

    def __init__(self, done: str, message_ids: tuple[str, ...], *, json_wanted: bool) -> None:
        self._done = done
        self._missing = dict.fromkeys(message_ids)
        self._json_wanted = json_wanted
        self._count = 0
        self._step: Callable[[], None] = lambda: None

    @contextmanager
    def progress(self, letters: DeadLetters) -> Iterator[None]:
        """Show a bar while many are looked through, where somebody looks at the screen."""
        depth = letters.depth()
        with click.progressbar(
            length=depth,
            label=f"{depth} dead",
            file=sys.stderr,
            hidden=depth < _PROGRESS_FROM or not sys.stderr.isatty(),
        ) as bar:
            self._step = lambda: bar.update(1)
            try:
                yield
            except BaseException:
                if self._count:
                    click.echo(f"{self._count} {self._done} before it ended", err=True)
                raise

    def looked(self, message: DeadMessage, is_done: bool) -> None:  # noqa: FBT001 - a callback
        self._step()
        if is_done:
            self._count += 1
            self._missing.pop(message.id, None)

    def end(self) -> None:
        missing = list(self._missing)
        if self._json_wanted:
            click.echo(as_json({self._done: self._count, "not_found": missing}))
        else:
            click.echo(f"{self._count} {self._done}")
        for message_id in missing:
            click.echo(f"{plain(message_id)} is not dead", err=True)
        if missing:
            raise SystemExit(1)


@contextmanager
def _servers(topology: Topology, *, failing: str) -> Iterator[tuple[Database, Any]]:
    with (
        service_database(application_name=topology.service, failing=failing) as database,
        broker_connection(failing=failing) as connection,
    ):
        yield database, connection


@contextmanager
def _dead_letters(topology: Topology, *, failing: str) -> Iterator[DeadLetters]:
    with _servers(topology, failing=failing) as (database, connection):
        yield DeadLetters(connection=connection, topology=topology, database=database)


def _row(message: DeadMessage) -> tuple[object, ...]:
    reason = message.reason or ""
    return (
        message.id,
        message.event_type,
        message.failed_at,
        message.attempt,
        message.replayed or None,
        reason if len(reason) <= _REASON_CHARACTERS else f"{reason[:_REASON_CHARACTERS]}…",
    )


def _facts(message: DeadMessage) -> dict[str, Any]:
    return {
        "message_id": message.id,
        "type": message.event_type,
        "reason": message.reason,
        "failed_at": message.failed_at,
        "first_failed_at": message.first_failed_at,
        "attempt": message.attempt,
        "replayed": message.replayed,
        "correlation_id": message.correlation_id,
        "causation_id": message.causation_id,
    }


def _all_facts(message: DeadMessage, masking: Masking) -> dict[str, Any]:
    return {
        **_facts(message),
        "history": [dict(entry) for entry in message.history],
        "stack": message.stack,
        "headers": masking.headers(message.headers),
        "body_bytes": len(message.body),
        "body": masking.body(message.event_type, message.body),
    }


def _page(facts: Mapping[str, Any]) -> str:
    short = {name: facts[name] for name in _SHORT if facts[name] is not None}
    width = max(map(len, short))
    lines = [f"{name.replace('_', ' '):<{width}}  {plain(value)}" for name, value in short.items()]
    if facts["history"]:
        entries = [
            (entry.get("at"), entry.get("attempt"), entry.get("reason"))
            for entry in facts["history"]
        ]
        lines += ["", table(("FAILED", "TRY", "REASON"), entries, right={"TRY"})]
    shown_above = ("x-octoco-", "cloudEvents_correlationid", "cloudEvents_causationid")
    headers = [
        (name, value)
        for name, value in facts["headers"].items()
        if not name.startswith(shown_above)
    ]
    if headers:
        lines += ["", table(("HEADER", "VALUE"), headers)]
    lines += ["", f"BODY ({facts['body_bytes']} bytes)", _body_text(facts["body"])]
    if facts["stack"]:
        lines += ["", "STACK", plain_lines(facts["stack"])]
    return "\n".join(lines)


def _body_text(body: Any) -> str:
    text = body if isinstance(body, str) else as_json(body)
    if len(text) <= _BODY_CHARACTERS:
        return plain_lines(text)
    return f"{plain_lines(text[:_BODY_CHARACTERS])}\n… --json shows all of it"


def _discarded_facts(message: DiscardedMessage) -> dict[str, Any]:
    return {
        "message_id": message.id,
        "type": message.event_type,
        "discarded_at": message.at,
        "discarded_by": message.by,
        "reason": message.reason,
        "headers": message.headers,
        "body": message.body,
    }
