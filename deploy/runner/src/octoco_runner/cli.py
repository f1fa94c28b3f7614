"""octoco-runner: the commands."""

import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

import click

from octoco.commands.printing import as_json
from octoco.messaging.published import IncompatibleContracts, PublishedContracts
from octoco_runner import api_docs, event_docs, message_status, system
from octoco_runner.environment_file import read_environment_file, write_environment_file
from octoco_runner.errors import RunnerError
from octoco_runner.layout import known_layout, state_directory
from octoco_runner.screen import Screen
from octoco_runner.story.play import Stage, play
from octoco_runner.supervision import log_of, tail_of
from octoco_runner.testing_servers import KINDS, run_tests, testing_servers

CONTEXT = {"help_option_names": ["-h", "--help"]}
INTERRUPTED = 130
FOLLOW_PAUSE_SECONDS = 0.3
SERVERS_OPTION = click.option(
    "--servers",
    "kind",
    type=click.Choice(KINDS),
    default="auto",
    show_default=True,
    help="Which servers: containers where a Docker engine answers, else embedded ones.",
)


@click.group(context_settings=CONTEXT)
def cli() -> None:
    """Runs Octoco Wallet on one machine: starts it, stops it, plays its story, tests it.

    Every port has a variable (OCTOCO_GATEWAY_PORT and so on); OCTOCO_PORT_OFFSET moves them all.
    OCTOCO_STATE_DIR is where everything is kept (.local beside the Makefile). DATABASE_URL (a
    superuser's address) and AMQP_URL name servers to use instead of the embedded ones.
    """


@cli.command()
def up() -> None:
    """Start everything, wait until it is ready, and leave it running."""
    screen = Screen()
    started = system.bring_up(screen)
    _print_addresses(
        screen, "Octoco Wallet is up." if started else "Octoco Wallet is already running."
    )


@cli.command()
def down() -> None:
    """Stop everything and leave the data."""
    stopped = system.take_down(Screen())
    Screen().say(
        "Stopped. The data is kept; start again with: make up" if stopped else "Nothing runs."
    )


@cli.command()
def clean() -> None:
    """Stop everything and remove the data, logs and secrets."""
    system.clean(Screen())
    Screen().say("Everything is stopped and its data removed.")


@cli.command()
def status() -> None:
    """Say what runs; exit status 0 when the whole system is up, 3 when not."""
    screen, found = Screen(), system.status()
    for program in found.programs:
        mark = screen.done if program.is_running else screen.warn
        mark(f"{program.name}: {program.state.lower()} ({program.detail})")
    if found.unsupervised:
        screen.warn(f"{found.unsupervised} processes run without supervision. Run: make up")
    screen.say("Octoco Wallet is up." if found.is_up else "Octoco Wallet is not up.")
    sys.exit(0 if found.is_up else 3)


@cli.command()
@click.option("--json", "json_wanted", is_flag=True, help="Print JSON.")
def messages(json_wanted: bool) -> None:  # noqa: FBT001 - click passes flags so
    """Say how much waits in the outboxes, queues and dead queues of all four services.

    Each service is asked as its own role, by its own command: "wallet messages --help" has the
    tools for what went wrong. Addresses come from the system started by "up", or from the
    environment (AMQP_URL, WALLET_DATABASE_URL and so on). Exit status: 1 if a queue is missing,
    2 if a service could not be asked.
    """
    found = message_status.statuses({**system.addresses(), **os.environ})
    if json_wanted:
        click.echo(as_json([{"service": one.service, "status": one.facts} for one in found]))
    else:
        click.echo(message_status.as_table(found))
    for one in found:
        if one.trouble:
            click.echo(f"{one.service}: {one.trouble}", err=True)
    sys.exit(message_status.exit_code(found))


@cli.command()
@click.argument("name")
@click.option("-n", "--lines", default=50, show_default=True, help="How many lines to begin with.")
@click.option("-f", "--follow", is_flag=True, help="Go on as lines are added, until Ctrl-C.")
def logs(name: str, lines: int, follow: bool) -> None:  # noqa: FBT001 - click passes flags so
    """Print the end of the log of the process NAME (see "status" for the names)."""
    layout = known_layout(state_directory())
    path = log_of(layout, name)
    if not path.exists():
        there = ", ".join(sorted(found.stem for found in layout.logs.glob("*.log")))
        raise RunnerError(f"There is no log of {name}. There are: {there or 'none yet'}.")
    place = path.stat().st_size
    for line in tail_of(path, lines=lines):
        click.echo(line)
    while follow:
        time.sleep(FOLLOW_PAUSE_SECONDS)
        # A log that has been turned over begins anew.
        place = 0 if path.stat().st_size < place else place
        with path.open("rb") as file:
            file.seek(place)
            added = file.read()
        place += len(added)
        click.echo(added.decode(errors="replace"), nl=False)


@cli.command()
def demo() -> None:
    """Start what is not running, play the story, and stop what was started.

    The exit status is the story's: 0 when all it saw was as expected.
    """
    screen = Screen()
    began = time.monotonic()
    screen.heading("Octoco Wallet: the demonstration")
    started = system.bring_up(screen)
    try:
        fits = play(Stage.from_environment({**os.environ, **system.addresses()}), screen)
    finally:
        if started:
            system.take_down(screen)
    screen.say(f"The demonstration took {time.monotonic() - began:.0f} s.")
    if fits:
        screen.say("To look around yourself: make up")
    sys.exit(0 if fits else 1)


@cli.command()
def story() -> None:
    """Play the story against a running system.

    GATEWAY_URL, SANDBOX_URL, MAILBOX_URL and WALLET_DATABASE_URL (or WALLET_LEDGER_VERIFY, a
    command) say where it is; what is not set is taken from the system started by "up".
    """
    own = {} if os.environ.get("GATEWAY_URL") else system.require_up()
    fits = play(Stage.from_environment({**own, **os.environ}), Screen())
    sys.exit(0 if fits else 1)


@cli.command()
@SERVERS_OPTION
@click.option("--env", "path", type=click.Path(path_type=Path), help="Also write a shell file.")
def servers(kind: str, path: Path | None) -> None:
    """Run only a PostgreSQL and a RabbitMQ, for tests by hand, until Ctrl-C.

    Prints what to set; --env writes it to a file for ". FILE". To have them in the background, add
    "&" in the shell: they end with this process.
    """
    screen = Screen()
    with testing_servers(kind=kind, screen=screen) as found:
        target = path or state_directory() / "test" / "env"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_environment_file(target, found.environment())
        try:
            screen.say(f"Ready. In another shell:  . {target}")
            screen.say("Ctrl-C stops them.")
            signal.pause()
        finally:
            target.unlink(missing_ok=True)


@cli.command()
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder to write the page into; the gateway serves it at /docs/.",
)
def docs(output: Path) -> None:
    """Write the API page: the four services' OpenAPI documents as one."""
    api_docs.write_docs(output, documents=api_docs.documents_of_services())
    Screen().done(f"The API page is in {output}")


@cli.command()
@click.option(
    "--page",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="File to write the page of all events into.",
)
@click.option(
    "--document",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="File to write the AsyncAPI document into.",
)
def events(page: Path, document: Path) -> None:
    """Write the page of all events, and the four services' AsyncAPI documents as one."""
    merged = event_docs.merge(api_docs.documents_of_services("asyncapi"))
    event_docs.write_event_docs(document=merged, document_path=document, page_path=page)
    Screen().done(f"The events are in {page} and {document}")


@cli.command()
def contracts() -> None:
    """Freeze the message schemas that are not frozen yet, unless one breaks what it promised."""
    screen = Screen()
    try:
        added = PublishedContracts().publish()
    except IncompatibleContracts as error:
        raise RunnerError(str(error)) from error
    for path in added:
        screen.say(f"  {path.name}")
    screen.done(f"Frozen: {len(added)}" if added else "Every schema is frozen as it is")


@cli.command(context_settings={**CONTEXT, "ignore_unknown_options": True})
@SERVERS_OPTION
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
def test(kind: str, pytest_arguments: tuple[str, ...]) -> None:
    """Run the tests on a PostgreSQL and a RabbitMQ of their own.

    PYTEST_ARGUMENTS are passed on, best after "--". Servers named by TEST_DATABASE_URL (a
    superuser's address) and TEST_AMQP_URL are used as they are.
    """
    sys.exit(run_tests(pytest_arguments, kind=kind, screen=Screen()))


def main() -> None:
    """Run the command line; a failure ends in one clear message and exit status 1."""
    # A closed terminal and a polite kill end us as Ctrl-C does: with everything put away.
    for number in (signal.SIGTERM, signal.SIGHUP):
        # Unless whoever started us wants it ignored, as nohup does.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        cli(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        Screen().say("Interrupted; everything that was started has been stopped.")
        sys.exit(INTERRUPTED)
    except RunnerError as error:
        Screen().error(error)
        sys.exit(1)


def _print_addresses(screen: Screen, first: str) -> None:
    known = read_environment_file(known_layout(state_directory()).environment_file)
    screen.heading(first)
    for what, url in (
        ("API gateway", known.get("GATEWAY_URL")),
        ("API page", f"{known.get('GATEWAY_URL')}/docs/"),
        ("Revio sandbox", f"{known.get('SANDBOX_URL')}/control/"),
        ("Mailbox", known.get("MAILBOX_URL")),
    ):
        screen.say(f"  {what:<14} {url}")
    environment = known_layout(state_directory()).environment_file
    screen.say(f"  {'For a shell':<14} . {environment}")
    screen.say("")
    screen.say("Next: make story (play it here) | make status | make logs NAME=wallet | make down")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
