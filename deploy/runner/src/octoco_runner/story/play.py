"""Playing the whole story and judging it."""

import json
import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from octoco_runner.commands import run
from octoco_runner.errors import RunnerError, StoryFailed
from octoco_runner.screen import Screen
from octoco_runner.services import script
from octoco_runner.story import chapters
from octoco_runner.story.client import Api, Sandbox
from octoco_runner.story.record import Record

VERIFY_SECONDS_MAX = 120
VERIFICATION = ("LEDGER_SEAL_PUBLIC_KEYS", "LEDGER_SEAL_HEADS_FILE")


@dataclass(frozen=True)
class Stage:
    """Where the story is played."""

    gateway_url: str
    sandbox_url: str
    mailbox_url: str
    ledger_verification: tuple[list[str], dict[str, str]]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Stage":
        """Read GATEWAY_URL, SANDBOX_URL, MAILBOX_URL and how the ledger is verified.

        WALLET_LEDGER_VERIFY is a command that prints the verification as JSON; without it the
        wallet's own command is run on WALLET_DATABASE_URL, with LEDGER_SEAL_PUBLIC_KEYS and
        LEDGER_SEAL_HEADS_FILE.

        Raises:
            RunnerError: one of them is missing.
        """
        names = ("GATEWAY_URL", "SANDBOX_URL", "MAILBOX_URL")
        missing = [name for name in names if not environment.get(name)]
        command = shlex.split(environment.get("WALLET_LEDGER_VERIFY", ""))
        own = dict(os.environ)
        if not command and environment.get("WALLET_DATABASE_URL"):
            command = [str(script("wallet")), "ledger", "verify", "--json"]
            own["DATABASE_URL"] = environment["WALLET_DATABASE_URL"]
            own |= {name: environment[name] for name in VERIFICATION if name in environment}
        if not command:
            missing.append("WALLET_DATABASE_URL (or WALLET_LEDGER_VERIFY)")
        if missing:
            raise RunnerError(f"To play the story, set {', '.join(missing)}; or run: make demo")
        gateway, sandbox, mailbox = (environment[name] for name in names)
        return cls(gateway, sandbox, mailbox, ledger_verification=(command, own))


def play(stage: Stage, screen: Screen) -> bool:
    """Play the story with visible progress and show what was seen against what was expected.

    Returns:
        True when everything was as expected.
    """
    record = Record(screen)
    person = chapters.Person(
        api=Api(stage.gateway_url),
        sandbox=Sandbox(stage.sandbox_url),
        record=record,
        mailbox_url=stage.mailbox_url,
    )
    try:
        _tell(person, stage, screen)
    except StoryFailed as failure:
        record.saw("The story goes on to its end", expected="the end", saw=failure)
    screen.console.print()
    screen.console.print(record.table())
    wrong = sum(not seen.fits for seen in record.observations)
    if wrong:
        screen.say(
            f"{wrong} of {len(record.observations)} observations differ from what was expected."
        )
    else:
        screen.say(f"All {len(record.observations)} observations are as expected.")
    return record.fits


def _tell(person: chapters.Person, stage: Stage, screen: Screen) -> None:
    screen.heading("1. A new user registers")
    chapters.registering(person)
    screen.heading("2. They pay in R250.00")
    deposit_id = chapters.depositing(person)
    screen.heading("3. They add a bank account and withdraw")
    paid_out_id, returned_id = chapters.withdrawing(person)
    screen.heading("4. Their history, and the ledger")
    chapters.remembering(
        person, deposit_id=deposit_id, paid_out_id=paid_out_id, returned_id=returned_id
    )
    person.record.saw("The ledger is verified", expected="sound", saw=_verify_ledger(stage))


def _verify_ledger(stage: Stage) -> str:
    command, environment = stage.ledger_verification
    try:
        said = run(command, environment=environment, timeout_seconds=VERIFY_SECONDS_MAX)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"could not be run: {type(error).__name__}"
    if said.returncode == 0:
        return "sound"
    try:
        return json.dumps(json.loads(said.stdout))
    except ValueError:
        return f"exit status {said.returncode}: {(said.stderr or said.stdout).strip()[-500:]}"
