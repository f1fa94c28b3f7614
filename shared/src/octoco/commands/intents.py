"""`<service> intents ...`: what the service still wants to do outside, and a push for it."""

import getpass
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

import click

from octoco.commands.printing import age, as_json, explained, plain, table
from octoco.commands.servers import service_database
from octoco.errors import Refusal
from octoco.intents.overview import IntentOverview, IntentState, Push, ShownIntent
from octoco.telemetry.logs import MASK, is_secret_name

# Numbers of accounts and cards; ids have letters beside their digits.
_LONG_NUMBER: Final = re.compile(r"(?<![0-9A-Za-z])[0-9]{4,}([0-9]{4})(?![0-9A-Za-z])")
_FAILING: Final = "intents"


def intent_commands(service: str) -> click.Group:
    """Build the group of commands that look at a service's intents and push them.

    They need DATABASE_URL and nothing else. They end with 0; with 1 if there is no such intent or
    it is finished; with 2 and one line if the database cannot be asked.

    Args:
        service: Its name.
    """

    @click.group(name="intents", help="See the calls that are still to be made, and push them.")
    def group() -> None:
        pass

    for command in (_list_command(service), _show_command(service), _push_command(service)):
        group.add_command(command)
    return group


def masked(value: Any) -> Any:
    """Return JSON-ready values without what must not be shown.

    Masked is what has a name that speaks of a secret, and of a long number all but its last four
    digits.
    """
    if isinstance(value, dict):
        return {
            name: MASK if is_secret_name(name) else masked(item) for name, item in value.items()
        }
    if isinstance(value, list):
        return [masked(item) for item in value]
    if isinstance(value, str):
        return _LONG_NUMBER.sub(r"****\1", value)
    if isinstance(value, int) and not isinstance(value, bool):
        return masked(str(value)) if _LONG_NUMBER.search(str(value)) else value
    return value


def _list_command(service: str) -> click.Command:
    @click.command(
        name="list",
        help=explained(
            "List intents that are not finished, next due first.\n\n"
            "CALL says whether the last call was answered: after `unanswered` nobody knows what "
            "it did.\n\nExit status: 2 if the database is away.",
            f"{service} intents list --stuck",
        ),
    )
    @click.option("--kind", help="Of this kind only.")
    @click.option("--due", is_flag=True, help="Only what is due already.")
    @click.option(
        "--stuck",
        is_flag=True,
        help="Only what nobody has in hand and is 5 minutes late or was tried 5 times.",
    )
    @click.option(
        "--limit",
        type=click.IntRange(1, 100_000),
        default=50,
        show_default=True,
        help="At most so many.",
    )
    @click.option("--json", "json_wanted", is_flag=True, help="Print JSON.")
    def list_command(
        *, kind: str | None, limit: int, due: bool, stuck: bool, json_wanted: bool
    ) -> None:
        with service_database(application_name=f"{service}-tool", failing=_FAILING) as database:
            found = IntentOverview(database).unfinished(
                kind=kind, due=due, stuck=stuck, limit=limit
            )
        if json_wanted:
            click.echo(as_json([_facts(intent) for intent in found]))
            return
        click.echo(table(_HEADERS, [_row(intent) for intent in found], right={"TRIES"}))
        click.echo(f"{len(found)} shown" + (", there may be more" * (len(found) == limit)))

    return list_command


def _show_command(service: str) -> click.Command:
    @click.command(
        name="show",
        help=explained(
            "Show one intent, finished or not, and who has pushed it. Secrets are masked.\n\n"
            "Exit status: 1 if there is none, 2 if the database is away.",
            f"{service} intents show poll_payout txn_01KAPQ6V3T8C4N2B7W9K3M5R1S",
        ),
    )
    @click.argument("kind")
    @click.argument("subject")
    @click.option("--json", "json_wanted", is_flag=True, help="Print JSON.")
    def show_command(kind: str, subject: str, *, json_wanted: bool) -> None:
        with service_database(application_name=f"{service}-tool", failing=_FAILING) as database:
            try:
                intent, pushes = IntentOverview(database).find(kind=kind, subject_id=subject)
            except Refusal as error:
                raise click.ClickException(error.message) from None
        facts = {
            **_facts(intent),
            "data": masked(intent.data),
            "pushes": [asdict(push) for push in pushes],
        }
        click.echo(as_json(facts) if json_wanted else _page(facts, pushes))

    return show_command


def _push_command(service: str) -> click.Command:
    @click.command(
        name="push",
        help=explained(
            "Make an intent due now. Whoever has it in hand keeps it, and what is known about its "
            "call stays. It is kept who pushed it, and why.\n\n"
            "Exit status: 1 if there is none or it is finished, 2 if the database is away.",
            f"{service} intents push poll_payout txn_01KAPQ6V3T8C4N2B7W9K3M5R1S "
            "--reason 'the bank says it is paid'",
        ),
    )
    @click.argument("kind")
    @click.argument("subject")
    @click.option("--reason", help="Why; kept with the push.")
    @click.option("--by", help="Who says so.  [default: the account's name]")
    @click.option("--json", "json_wanted", is_flag=True, help="Print JSON.")
    def push_command(
        kind: str, subject: str, *, reason: str | None, by: str | None, json_wanted: bool
    ) -> None:
        with service_database(application_name=f"{service}-tool", failing=_FAILING) as database:
            try:
                before = IntentOverview(database).push(
                    kind=kind,
                    subject_id=subject,
                    pushed_by=by or _account(),
                    reason=reason,
                )
            except Refusal as error:
                raise click.ClickException(error.message) from None
        if json_wanted:
            click.echo(as_json({"pushed": True, "before": _facts(before)}))
            return
        click.echo(f"{plain(kind)} {plain(subject)}: {_told(before)}")

    return push_command


_HEADERS: Final = ("KIND", "SUBJECT", "STATE", "DUE", "TRIES", "CALL", "WHY")


def _row(intent: ShownIntent) -> tuple[object, ...]:
    late = intent.late_seconds
    due = f"{age(late)} ago" if late >= 0 else f"in {age(-late)}"
    return (
        intent.kind,
        intent.subject_id,
        intent.state.value,
        due,
        intent.attempts,
        _call(intent),
        masked(intent.last_reason),
    )


def _call(intent: ShownIntent) -> str:
    if intent.begun_at is None:
        return "never begun"
    return "answered" if intent.answered_at is not None else "unanswered"


def _facts(intent: ShownIntent) -> dict[str, Any]:
    facts = asdict(intent)
    del facts["data"], facts["is_unanswered"]
    return {
        **facts,
        "state": intent.state.value,
        "late_seconds": round(max(intent.late_seconds, 0.0), 3),
        "call": _call(intent),
        "last_reason": masked(intent.last_reason),
    }


def _page(facts: dict[str, Any], pushes: Sequence[Push]) -> str:
    named = {name: value for name, value in facts.items() if name not in {"data", "pushes"}}
    width = max(map(len, named)) + 2
    lines = [f"{name:<{width}}{plain(value)}" for name, value in named.items()]
    lines += [f"{'data':<{width}}{plain(facts['data'])}"]
    lines += [
        f"{'pushed':<{width}}{plain(push.pushed_at)} by {plain(push.pushed_by)}:"
        f" {plain(push.reason)}"
        for push in pushes
    ]
    return "\n".join(lines)


def _told(before: ShownIntent) -> str:
    if before.state is IntentState.IN_HAND:
        return "in hand at this moment; what comes of that decides when it is due again"
    if before.state is IntentState.DUE:
        return f"was due already, for {age(before.late_seconds)}"
    return f"due now, and not in {age(-before.late_seconds)}"


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
