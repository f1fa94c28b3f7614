"""octoco-runner: the commands."""

import signal
import sys
from types import FrameType

import click

from octoco_runner.errors import RunnerError
from octoco_runner.screen import Screen
from octoco_runner.testing_servers import KINDS, run_tests

CONTEXT = {"help_option_names": ["-h", "--help"]}
INTERRUPTED = 130


@click.group(context_settings=CONTEXT)
def cli() -> None:
    """Runs Octoco Wallet on one machine: starts it, stops it, plays its story, tests it."""


@cli.command(context_settings={**CONTEXT, "ignore_unknown_options": True})
@click.option(
    "--servers",
    "kind",
    type=click.Choice(KINDS),
    default="auto",
    show_default=True,
    help="Which servers: containers where a Docker engine answers, else embedded ones.",
)
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


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
