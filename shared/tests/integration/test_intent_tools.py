"""`<service> intents list | show | push` on a real database."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest
from click.testing import CliRunner, Result

from octoco.commands.intents import intent_commands
from octoco.database import Database, PostgresUnit, PostgresUnitsOfWork
from octoco.intents.leases import PostgresIntentLeases
from octoco.testing.provisions import ProvisionedSchema

Units = PostgresUnitsOfWork[PostgresUnit]
Tool = Callable[..., Result]

LATER = datetime.now(UTC) + timedelta(days=1)
TOKEN = "evt_a-token-nobody-may-see"


@pytest.fixture
def tool(schema: ProvisionedSchema, monkeypatch: pytest.MonkeyPatch) -> Tool:
    monkeypatch.setenv("DATABASE_URL", schema.service_url)
    commands = intent_commands("probe")
    return lambda *arguments: CliRunner().invoke(commands, list(arguments))


@pytest.fixture(autouse=True)
def intents(database: Database, units: Units) -> None:
    """A mail that waits, one that is due, and payouts: stuck, in hand and finished."""

    def work(unit: PostgresUnit) -> None:
        unit.intents.add(
            kind="mail",
            subject_id="waiting",
            due_at=LATER,
            data={
                "token": TOKEN,
                "to": {"account_number": "62000000001"},
                "lines": ["account 62000000001, branch 250"],
                "attempts": 3,
                "card": 4111111111111111,
            },
        )
        for kind, subject in (
            ("mail", "due"),
            ("payout", "stuck"),
            ("payout", "in hand"),
            ("payout", "finished"),
        ):
            unit.intents.add(kind=kind, subject_id=subject)

    units.run(work)
    for subject, changes in (
        ("stuck", "due_at = now() - interval '6 minutes', begun_at = now(), attempts = 2"),
        ("in hand", "leased_until = now() + interval '1 minute', lease = 7, due_at = now()"),
        ("finished", "finished_at = now()"),
    ):
        database.statement(
            f"UPDATE intents SET {changes} WHERE subject_id = :subject", {"subject": subject}
        )
    database.statement(
        "UPDATE intents SET last_reason = 'provider said 62000000001' WHERE subject_id = 'stuck'",
        {},
    )


def listed(tool: Tool, *options: str) -> list[dict[str, Any]]:
    result = tool("list", "--json", *options)
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.output)
    return found


def test_what_is_not_finished_is_listed_next_due_first(tool: Tool) -> None:
    subjects = [intent["subject_id"] for intent in listed(tool)]
    assert subjects[0] == "stuck"
    assert subjects[-1] == "waiting"
    assert sorted(subjects) == ["due", "in hand", "stuck", "waiting"]


@pytest.mark.parametrize(
    ("options", "subjects"),
    [
        (("--kind", "mail"), {"waiting", "due"}),
        (("--due",), {"due", "stuck", "in hand"}),
        (("--stuck",), {"stuck"}),
        (("--kind", "mail", "--due"), {"due"}),
        (("--limit", "1"), {"stuck"}),
        (("--kind", "unheard of"), set()),
    ],
)
def test_the_list_is_narrowed_down(
    tool: Tool, options: tuple[str, ...], subjects: set[str]
) -> None:
    assert {intent["subject_id"] for intent in listed(tool, *options)} == subjects


def test_an_intent_tried_five_times_is_stuck_though_it_is_not_due(
    tool: Tool, database: Database
) -> None:
    database.statement("UPDATE intents SET attempts = 5 WHERE subject_id = 'waiting'", {})
    assert {i["subject_id"] for i in listed(tool, "--stuck")} == {"stuck", "waiting"}


def test_the_list_says_where_each_stands_and_whether_its_call_was_answered(tool: Tool) -> None:
    by_subject = {intent["subject_id"]: intent for intent in listed(tool)}
    assert {name: (i["state"], i["call"]) for name, i in by_subject.items()} == {
        "waiting": ("waiting", "never begun"),
        "due": ("due", "never begun"),
        "stuck": ("due", "unanswered"),
        "in hand": ("in hand", "never begun"),
    }
    table = tool("list").output
    assert "provider said ****0001" in table
    assert "6 min ago" in table
    assert table.splitlines()[-1] == "4 shown"


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_secrets_and_numbers_of_accounts_are_not_shown(
    tool: Tool, options: tuple[str, ...]
) -> None:
    result = tool("show", "mail", "waiting", *options)
    assert result.exit_code == 0
    assert TOKEN not in result.output
    assert "62000000001" not in result.output
    assert "4111111111111111" not in result.output
    assert "account ****0001, branch 250" in result.output
    assert "62000000001" not in tool("show", "payout", "stuck", *options).output


def row_of(database: Database, subject: str) -> Any:
    (row,) = database.statement(
        "SELECT *, due_at <= now() AS is_due FROM intents WHERE subject_id = :subject",
        {"subject": subject},
    )
    return row


def test_a_pushed_intent_is_due_now_and_it_is_kept_who_pushed_it_and_why(
    tool: Tool, database: Database
) -> None:
    result = tool("push", "mail", "waiting", "--reason", "the user asks", "--by", "thandi")
    assert result.exit_code == 0
    assert result.output.startswith("mail waiting: due now, and not in ")
    assert row_of(database, "waiting").is_due
    shown = json.loads(tool("show", "mail", "waiting", "--json").output)
    (push,) = shown["pushes"]
    assert (push["pushed_by"], push["reason"]) == ("thandi", "the user asks")
    assert "by thandi: the user asks" in tool("show", "mail", "waiting").output


def test_a_push_says_who_is_logged_in_if_nobody_is_named(
    tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "operator")
    assert tool("push", "mail", "due", "--json").exit_code == 0
    (push,) = json.loads(tool("show", "mail", "due", "--json").output)["pushes"]
    assert (push["pushed_by"], push["reason"]) == ("operator", None)


@pytest.mark.parametrize("subject", ["stuck", "in hand"])
def test_a_push_touches_no_lease_no_count_and_no_mark(
    tool: Tool, database: Database, subject: str
) -> None:
    before = row_of(database, subject)
    result = tool("push", "payout", subject)
    assert result.exit_code == 0
    assert ("in hand at this moment" if subject == "in hand" else "was due already") in (
        result.output
    )
    assert row_of(database, subject) == before


def test_what_is_in_hand_is_not_leased_to_another_by_a_push(tool: Tool, database: Database) -> None:
    assert tool("push", "payout", "in hand").exit_code == 0
    leased = PostgresIntentLeases(database).lease_due(
        places={"payout": 9}, most=9, lease_seconds=60
    )
    assert [one.intent.subject_id for one in leased] == ["stuck"]


def test_a_finished_intent_is_not_pushed(tool: Tool, database: Database) -> None:
    before = row_of(database, "finished")
    result = tool("push", "payout", "finished", "--reason", "once more")
    assert result.exit_code == 1
    assert "was finished at" in result.output
    assert "not performed again" in result.output
    assert row_of(database, "finished") == before
    assert json.loads(tool("show", "payout", "finished", "--json").output)["pushes"] == []


@pytest.mark.parametrize("command", ["show", "push"])
def test_an_intent_that_is_not_there_ends_with_1(tool: Tool, command: str) -> None:
    result = tool(command, "payout", "unheard of")
    assert (result.exit_code, result.output) == (
        1,
        "Error: There is no intent payout unheard of.\n",
    )


@pytest.mark.parametrize("statement", ["DELETE FROM", "UPDATE"])
def test_the_services_role_cannot_change_who_pushed_what(
    schema: ProvisionedSchema, statement: str
) -> None:
    sql = f"{statement} intent_pushes" + (" SET pushed_by = 'x'" if statement == "UPDATE" else "")
    connection = psycopg2.connect(schema.service_url)
    with connection.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute(sql)
    connection.close()


@pytest.mark.parametrize("arguments", [("list",), ("show", "a", "b"), ("push", "a", "b")])
def test_a_database_that_is_away_is_one_line_and_2(
    tool: Tool, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://probe:secret@127.0.0.1:1/probe")
    result = tool(*arguments)
    assert (result.exit_code, result.output) == (
        2,
        "intents: The database is not available.\n",
    )


@pytest.mark.parametrize("arguments", [(), ("list",), ("show",), ("push",)])
def test_every_command_explains_itself(tool: Tool, arguments: tuple[str, ...]) -> None:
    result = tool(*arguments, "--help")
    assert result.exit_code == 0
    assert result.output.startswith("Usage:")


def test_an_option_that_does_not_exist_ends_with_2(tool: Tool) -> None:
    assert tool("list", "--everything").exit_code == 2
