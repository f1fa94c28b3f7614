"""The command line: the service's processes, and tools for its operators."""

import json
from pathlib import Path
from typing import Any, Final

import click

from octoco.cli import service_commands
from octoco.commands.events import asyncapi_command
from octoco.config import read_settings_or_exit
from octoco.errors import Unavailable
from octoco.worker import run_worker
from payments_gateway import config
from payments_gateway.bootstrap import Gateway, assemble, worker_parts
from payments_gateway.domain.cases import Case
from payments_gateway.entrypoints.consumer import subscriptions
from payments_gateway.entrypoints.declaration import EVENTS
from payments_gateway.entrypoints.http import openapi

MIGRATIONS: Final = Path(__file__).parents[3] / "migrations"


def _gateway() -> Gateway:
    return assemble(read_settings_or_exit(config.read))


def _run_worker() -> None:
    gateway = _gateway()
    run_worker(worker_parts(gateway, subscriptions=subscriptions(gateway)))


main: Final[click.Group] = service_commands(
    service="payments-gateway",
    summary="Everything about Revio: purchases, payouts, webhooks, bank accounts.",
    web_application="payments_gateway.entrypoints.http:web()",
    check_settings=lambda: read_settings_or_exit(config.read),
    run_worker=_run_worker,
    openapi=openapi,
    migrations=MIGRATIONS,
    listens_to=tuple(EVENTS.listens),
)
main.add_command(asyncapi_command(EVENTS))


@main.command(name="register-webhook")
def register_webhook() -> None:
    """Have Revio call REVIO_WEBHOOK_URL; a repeat only reads the keys again."""
    try:
        webhooks = _gateway().register_webhook()
    except Unavailable as error:
        raise click.ClickException(error.message) from None
    for webhook in webhooks:
        click.echo(f"{webhook.webhook_id}  {webhook.callback_url}")


@main.command()
@click.option("--limit", default=50, show_default=True, help="At most so many, newest first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def cases(limit: int, *, as_json: bool) -> None:
    """List open cases: what waits for a person."""
    found = _gateway().units.read(lambda unit: unit.cases.open_ones(limit=limit))
    for case in found:
        click.echo(json.dumps(_shown(case)) if as_json else _line(case))
    if not found and not as_json:
        click.echo("no open cases")


def _shown(case: Case) -> dict[str, Any]:
    return {
        "kind": case.kind.value,
        "subject_id": case.subject_id,
        "transaction_id": case.transaction_id,
        "amount": None if case.money is None else case.money.amount_text,
        "currency": None if case.money is None else case.money.currency,
        "status": case.status.value,
        "opened_at": case.opened_at.isoformat(),
        "evidence": dict(case.evidence),
    }


def _line(case: Case) -> str:
    money = "" if case.money is None else str(case.money)
    transaction = case.transaction_id or "-"
    return (
        f"{case.opened_at:%Y-%m-%d %H:%M:%S}  {case.kind.value:<26} {case.subject_id:<40} "
        f"{transaction:<31} {money}"
    )
