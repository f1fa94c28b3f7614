"""The command line of the wallet."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from octoco.cli import service_commands
from octoco.commands.events import asyncapi_command
from octoco.commands.servers import give_up
from octoco.config import read_settings_or_exit
from octoco.errors import Unavailable
from octoco.worker import WorkerParts, run_worker
from wallet.adapters.postgres.unit import PostgresWalletUnit
from wallet.bootstrap import SERVICE, Wallet, build, build_sealing
from wallet.config import Settings, read, read_seals
from wallet.entrypoints.declaration import EVENTS
from wallet.entrypoints.http import openapi
from wallet.entrypoints.ledger_provider import print_provider_balance
from wallet.entrypoints.ledger_reading import print_balance, print_statement, print_trial_balance
from wallet.entrypoints.ledger_verification import (
    new_seal_key,
    print_seal_public_keys,
    verify,
)
from wallet.entrypoints.worker import worker_parts
from wallet.sagas.document import sagas_document
from wallet.use_cases.find_overdue_sagas import find_overdue_sagas

MIGRATIONS = Path(__file__).parents[3] / "migrations"
_OVERDUE_SHOWN_MAX = 1000


def _settings() -> Settings:
    return read_settings_or_exit(read)


@contextmanager
def _wallet() -> Iterator[Wallet]:
    wallet = build(_settings())
    try:
        yield wallet
    finally:
        wallet.database.dispose()


def _worker() -> WorkerParts[PostgresWalletUnit]:
    seal_settings = read_settings_or_exit(read_seals)
    wallet = build(_settings())
    sealing = read_settings_or_exit(lambda _: build_sealing(wallet, seal_settings))
    return worker_parts(wallet, sealing=sealing)


main = service_commands(
    service=SERVICE,
    summary="The ledger and the transactions of users: the only place that moves money.",
    web_application="wallet.entrypoints.http:web()",
    check_settings=_settings,
    run_worker=lambda: run_worker(_worker()),
    openapi=openapi,
    migrations=MIGRATIONS,
    listens_to=tuple(EVENTS.listens),
)
main.add_command(asyncapi_command(EVENTS))


@main.group(help="Look at the ledger; nothing here changes it.")
def ledger() -> None:
    pass


ledger.add_command(verify)
ledger.add_command(print_balance)
ledger.add_command(print_statement)
ledger.add_command(print_trial_balance)
ledger.add_command(print_provider_balance)
ledger.add_command(new_seal_key)
ledger.add_command(print_seal_public_keys)


@main.command(help="List the sagas that are past the deadline of their step.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def sagas(*, as_json: bool) -> None:
    try:
        with _wallet() as wallet:
            now = wallet.clock.now()
            overdue = wallet.units.read(
                lambda unit: find_overdue_sagas(unit, at=now, limit=_OVERDUE_SHOWN_MAX)
            )
    except Unavailable as error:
        give_up("cannot list sagas", error.message)
    rows = [
        {
            "transaction_id": saga.transaction_id,
            "kind": saga.kind.value,
            "status": saga.status.value,
            "step": saga.step,
            "since": saga.since.isoformat(),
            "due_at": saga.due_at.isoformat(),
        }
        for saga in overdue
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo("  ".join(row.values()))
    click.echo(f"{len(rows)} overdue")


@main.command(help="Print docs/sagas.md from the table of legal moves and the lists of steps.")
def diagrams() -> None:
    click.echo(sagas_document(), nl=False)


if __name__ == "__main__":
    main()
