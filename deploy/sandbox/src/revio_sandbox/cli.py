"""The command line: `revio-sandbox serve`."""

import fcntl
import logging
import os
import sys
import time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click

from revio_sandbox.config import (
    DEFAULT_BRAND_ID,
    DEFAULT_COMPANY_ID,
    DEFAULT_SECRET_KEY,
    ConfigurationError,
    Settings,
)
from revio_sandbox.server import SandboxServer

EXIT_CONFIGURATION = 2
LOCK_WAIT_SECONDS = 3.0


class DecimalType(click.ParamType[Decimal]):
    """A decimal number, kept exact."""

    name = "decimal"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Decimal:
        """Read the number or fail with click's own message."""
        try:
            return Decimal(str(value))
        except InvalidOperation:
            self.fail(f"{value!r} is not a number", param, ctx)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """A Revio simulator: purchases, checkout, payouts, signed webhooks, and faults to order."""


@main.command(context_settings={"show_default": True})
@click.option("--host", envvar="SANDBOX_HOST", default="127.0.0.1", help="Address to listen on.")
@click.option(
    "--port",
    envvar="SANDBOX_PORT",
    default=8090,
    type=click.IntRange(1, 65535),
    help="Port to listen on.",
)
@click.option(
    "--data",
    envvar="SANDBOX_DATA",
    default="revio-sandbox-data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory for the store and the keys; made when missing.",
)
@click.option(
    "--public-url",
    envvar="SANDBOX_PUBLIC_URL",
    default="",
    show_default="http://HOST:PORT",
    help="Address in checkout_url and execution_url.",
)
@click.option(
    "--execution-base-url",
    envvar="SANDBOX_EXECUTION_BASE_URL",
    default="",
    show_default="the public URL",
    help="Address in execution_url, where the merchant's server is on another network than payers.",
)
@click.option(
    "--secret-key",
    envvar="SANDBOX_SECRET_KEY",
    default=DEFAULT_SECRET_KEY,
    help="Bearer key of the API.",
)
@click.option(
    "--brand-id", envvar="SANDBOX_BRAND_ID", default=DEFAULT_BRAND_ID, help="The merchant's brand."
)
@click.option(
    "--company-id", envvar="SANDBOX_COMPANY_ID", default=DEFAULT_COMPANY_ID, help="The company."
)
@click.option(
    "--merchant-name",
    envvar="SANDBOX_MERCHANT_NAME",
    default="Octoco Wallet",
    help="Name on the checkout page.",
)
@click.option(
    "--clock-scale",
    envvar="SANDBOX_CLOCK_SCALE",
    default=1.0,
    type=float,
    help="Divides webhook retry intervals and the refund limit.",
)
@click.option(
    "--fee-percent",
    envvar="SANDBOX_FEE_PERCENT",
    default="2.9",
    type=DecimalType(),
    help="Fee on purchases.",
)
@click.option(
    "--payout-fee",
    envvar="SANDBOX_PAYOUT_FEE",
    default=500,
    type=int,
    help="Fee on a payout, minor units.",
)
@click.option(
    "--payout-balance",
    envvar="SANDBOX_PAYOUT_BALANCE",
    default=100_000_000,
    type=int,
    help="What payouts draw on, minor units of each currency.",
)
@click.option(
    "--payout-seconds",
    envvar="SANDBOX_PAYOUT_SECONDS",
    default=1.0,
    type=float,
    help="From pending to the payout's end.",
)
@click.option(
    "--pending-seconds",
    envvar="SANDBOX_PENDING_SECONDS",
    default=1.0,
    type=float,
    help="From pending to the end of a payment or refund.",
)
@click.option(
    "--card-pending/--no-card-pending",
    envvar="SANDBOX_CARD_PENDING",
    default=False,
    help="Let every card payment pass pending_execute.",
)
@click.option(
    "--key-bits",
    envvar="SANDBOX_KEY_BITS",
    default=3072,
    type=click.IntRange(2048, 4096),
    help="Size of the RSA keys that are made from now on.",
)
@click.option(
    "--threads",
    envvar="SANDBOX_THREADS",
    default=32,
    type=click.IntRange(2, 256),
    help="Requests served at once.",
)
@click.option(
    "--log-level",
    envvar="SANDBOX_LOG_LEVEL",
    default="info",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="What is written to stderr.",
)
def serve(
    *, host: str, port: int, data: Path, threads: int, log_level: str, public_url: str, **given: Any
) -> None:
    """Serve until stopped. State is kept in the data directory and survives a restart."""
    try:
        settings = Settings(
            data_dir=data.resolve(), public_url=public_url or _address(host, port), **given
        )
    except ConfigurationError as error:
        click.echo(f"revio-sandbox: {error}", err=True)
        sys.exit(EXIT_CONFIGURATION)
    _take_directory(settings.data_dir)
    logging.basicConfig(
        level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    click.echo(
        f"Revio sandbox: {settings.public_url} (control: {settings.url('/control/')})", err=True
    )
    SandboxServer(settings, host=host, port=port, threads=threads, log_level=log_level).run()


def _take_directory(directory: Path) -> None:
    """Lock the data directory for the life of this process and of the worker that inherits it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        click.echo(f"revio-sandbox: SANDBOX_DATA {directory} cannot be used: {error}", err=True)
        sys.exit(EXIT_CONFIGURATION)
    # A worker whose parent was killed notices within a second or so: a restart waits for that.
    deadline = time.monotonic() + LOCK_WAIT_SECONDS
    while not _lock(descriptor):
        if time.monotonic() > deadline:
            click.echo(
                f"revio-sandbox: SANDBOX_DATA {directory} is in use by another sandbox", err=True
            )
            sys.exit(EXIT_CONFIGURATION)
        time.sleep(0.1)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _address(host: str, port: int) -> str:
    everywhere = host in ("0.0.0.0", "::")  # noqa: S104  # Compared with, not bound to.
    return f"http://{'127.0.0.1' if everywhere else host}:{port}"


if __name__ == "__main__":
    main()
