"""octoco-mailbox: the command."""

import logging
import signal
import sys
from pathlib import Path
from types import FrameType

import click
from werkzeug.serving import make_server

from octoco_mailbox.faults import Faults
from octoco_mailbox.page import create_app
from octoco_mailbox.smtp import mail_server
from octoco_mailbox.store import MailStore


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """A local mailbox: takes every mail over SMTP, keeps it as a file, shows it on a page."""


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--smtp-port", default=8025, show_default=True, help="Where mails come in.")
@click.option("--http-port", default=8026, show_default=True, help="Where they are read.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("mail"),
    show_default=True,
    help="Folder of the .eml files; made when missing.",
)
def serve(*, host: str, smtp_port: int, http_port: int, folder: Path) -> None:
    """Receive and show mails until stopped."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    store, faults = MailStore(folder), Faults()
    try:
        showing = make_server(host, http_port, create_app(store, faults), threaded=True)
        receiving = mail_server(store, faults, host=host, port=smtp_port)
        # Last, for its thread would keep a process alive that fails after it.
        receiving.start()
    except OSError as error:
        raise click.ClickException(f"cannot listen: {error}") from error
    click.echo(f"Mails come in at {host}:{smtp_port} and are shown at http://{host}:{http_port}/")
    try:
        showing.serve_forever()
    finally:
        receiving.stop()


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
