"""The commands that every service's command line has."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from octoco.commands.intents import intent_commands
from octoco.commands.messages import message_commands
from octoco.config import read_settings_or_exit
from octoco.database.migrate import migrate as migrate_schema
from octoco.messaging.topology import Topology
from octoco.telemetry.logs import configure_logging
from octoco.telemetry.traces import are_wanted, configure_traces


def service_commands(
    *,
    service: str,
    summary: str,
    web_application: str,
    check_settings: Callable[[], object],
    run_worker: Callable[[], None],
    openapi: Callable[[], Mapping[str, Any]],
    migrations: Path,
    listens_to: Sequence[str] = (),
) -> click.Group:
    """Build the group of commands a service starts from; it adds its own tools to it.

    Args:
        service: Its name.
        summary: One sentence for --help.
        web_application: gunicorn's name of the application: `wallet.entrypoints.http:web()`.
        check_settings: Reads the service's settings; exits with one line if they are wrong.
        run_worker: Runs the worker until it is told to stop.
        openapi: Makes the OpenAPI document, without any environment.
        migrations: The folder with Alembic's env.py and versions/.
        listens_to: The event types that it handles.
    """

    @click.group(name=service, help=summary)
    def group() -> None:
        pass

    @group.command(help="Bring the schema to its newest version (MIGRATION_DATABASE_URL).")
    def migrate() -> None:
        url: str = read_settings_or_exit(lambda env: env.str("MIGRATION_DATABASE_URL"))
        migrate_schema(url=url, migrations=migrations)
        click.echo(f"{service}: schema is up to date")

    @group.command(help="Answer HTTP with gunicorn on WEB_HOST:WEB_PORT.")
    def web() -> None:
        read_settings_or_exit(
            lambda env: (env.int("WEB_PORT"), env.int("WEB_WORKERS", 1), env.int("WEB_THREADS", 16))
        )
        check_settings()
        read_settings_or_exit(lambda _: are_wanted(os.environ))
        environment = dict(os.environ)
        if int(environment.get("WEB_WORKERS", "1")) > 1:
            environment.setdefault("PROMETHEUS_MULTIPROC_DIR", _fresh_metrics_dir(service))
        settings = ["-c", "python:octoco.http.gunicorn_settings"]
        arguments = [sys.executable, "-m", "gunicorn", *settings, web_application]
        os.execve(sys.executable, arguments, environment)  # noqa: S606 - the program is our own

    @group.command(help="Consume events, relay the outbox, perform intents, run jobs.")
    def worker() -> None:
        check_settings()
        read_settings_or_exit(lambda _: are_wanted(os.environ))
        configure_logging(
            service=service, process="worker", level=os.environ.get("LOG_LEVEL", "info")
        )
        configure_traces(service=service, process="worker")
        run_worker()

    @group.command(name="openapi", help="Print the OpenAPI document as JSON.")
    def print_openapi() -> None:
        click.echo(json.dumps(openapi(), indent=2))

    group.add_command(intent_commands(service))
    group.add_command(message_commands(topology=Topology(service), listens_to=listens_to))
    return group


def _fresh_metrics_dir(service: str) -> str:
    directory = Path(tempfile.gettempdir()) / f"octoco-metrics-{service}-{os.getpid()}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
    return str(directory)
