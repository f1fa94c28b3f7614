"""The command line of notifications."""

import sys
from pathlib import Path

from notifications.bootstrap import SERVICE, build, worker_parts
from notifications.config import Settings, read
from notifications.entrypoints.consumer import subscriptions
from notifications.entrypoints.declaration import EVENTS
from notifications.entrypoints.http import openapi
from octoco.cli import service_commands
from octoco.commands.events import asyncapi_command
from octoco.config import read_settings_or_exit
from octoco.errors import ConfigurationError
from octoco.worker import run_worker

MIGRATIONS = Path(__file__).parents[3] / "migrations"


def _settings() -> Settings:
    return read_settings_or_exit(read)


def _check_settings() -> None:
    try:
        build(_settings()).database.dispose()
    except ConfigurationError as error:
        sys.stderr.write(f"configuration: {error}\n")
        raise SystemExit(2) from None


def _run_worker() -> None:
    service = build(_settings())
    run_worker(worker_parts(service, subscriptions=subscriptions(service)))


main = service_commands(
    service=SERVICE,
    summary="Tells people what happened: templates and deliveries, no decisions.",
    web_application="notifications.entrypoints.http:web()",
    check_settings=_check_settings,
    run_worker=_run_worker,
    openapi=openapi,
    migrations=MIGRATIONS,
    listens_to=tuple(EVENTS.listens),
)
main.add_command(asyncapi_command(EVENTS))
