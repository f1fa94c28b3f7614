"""The command line of accounts."""

import sys
from pathlib import Path

import click

from accounts.adapters.tokens.signing_keys import write_new_signing_key
from accounts.bootstrap import SERVICE, build, worker_parts
from accounts.config import Settings, read
from accounts.entrypoints.declaration import EVENTS
from accounts.entrypoints.http import openapi
from accounts.use_cases.freeze_user import freeze_user, unfreeze_user
from accounts.use_cases.grant_role import grant_role
from octoco.cli import service_commands
from octoco.clock import SystemClock
from octoco.commands.events import asyncapi_command
from octoco.config import read_settings_or_exit
from octoco.errors import ConfigurationError, OctocoError
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


main = service_commands(
    service=SERVICE,
    summary="Who the user is: registration, verification, sessions, tokens.",
    web_application="accounts.entrypoints.http:web()",
    check_settings=_check_settings,
    run_worker=lambda: run_worker(worker_parts(build(_settings()))),
    openapi=openapi,
    migrations=MIGRATIONS,
)
main.add_command(asyncapi_command(EVENTS))


@main.command(name="grant-role", help="Give a registered user a role; the way to the first admin.")
@click.argument("email")
@click.argument("role")
def grant_role_command(email: str, role: str) -> None:
    try:
        user = grant_role(build(_settings()).ports, email=email, role=role)
    except OctocoError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{user.id} has the roles: {', '.join(role.value for role in user.roles)}")


@main.command(name="freeze", help="Stop a user: no login, no deposit, no withdrawal.")
@click.argument("email")
@click.option("--reason", required=True, help="Why; kept in the audit log, told to nobody.")
def freeze_command(email: str, reason: str) -> None:
    try:
        user = freeze_user(build(_settings()).ports, email=email, reason=reason)
    except OctocoError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{user.id} is frozen since {user.frozen_at}")


@main.command(name="unfreeze", help="Let a frozen user go on.")
@click.argument("email")
@click.option("--reason", required=True, help="Why; kept in the audit log, told to nobody.")
def unfreeze_command(email: str, reason: str) -> None:
    try:
        user = unfreeze_user(build(_settings()).ports, email=email, reason=reason)
    except OctocoError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{user.id} is not frozen")


@main.command(
    name="rotate-signing-key",
    help="Add a key to TOKEN_SIGNING_KEYS_DIR; it signs in 15 s, older keys stay published.",
)
def rotate_signing_key() -> None:
    folder: Path = read_settings_or_exit(lambda env: env.path("TOKEN_SIGNING_KEYS_DIR"))
    click.echo(write_new_signing_key(folder, now=SystemClock().now()))
