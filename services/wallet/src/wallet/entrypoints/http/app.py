"""The Flask application of the wallet."""

from collections.abc import Mapping
from typing import Any

from flask import Flask

from octoco.config import read_settings_or_exit
from octoco.database import Database
from octoco.http import HttpParts, create_app
from octoco.http.app import openapi_document
from octoco.http.authentication import TokenKeys
from octoco.telemetry.logs import configure_logging
from octoco.telemetry.traces import configure_traces
from wallet.bootstrap import SERVICE, Wallet, build
from wallet.config import read
from wallet.entrypoints.http.admin.adjustments import admin_adjustments
from wallet.entrypoints.http.admin.review import admin_reviews
from wallet.entrypoints.http.admin.suspense import admin_suspense
from wallet.entrypoints.http.context import install
from wallet.entrypoints.http.refusals import REFUSAL_STATUS
from wallet.entrypoints.http.statements import statements
from wallet.entrypoints.http.transactions import money


class NoKeys:
    """For printing the OpenAPI document, where nobody asks."""

    def find(self, kid: str) -> Any | None:
        raise AssertionError(f"no keys here, {kid} among them")


def application(wallet: Wallet) -> Flask:
    """Build the application of a service that was put together."""
    app = _application(wallet.database, wallet.token_keys)
    install(app, wallet)
    return app


def web() -> Flask:
    """Build the application from the environment; gunicorn calls this."""
    settings = read_settings_or_exit(read)
    configure_logging(service=SERVICE, process="web", level=settings.log_level)
    configure_traces(service=SERVICE, process="web")
    return application(build(settings))


def openapi() -> Mapping[str, Any]:
    """Return the OpenAPI document; needs no environment."""
    unused = Database("postgresql://unused", application_name=SERVICE)
    return openapi_document(_application(unused, NoKeys()))


def _application(database: Database, token_keys: TokenKeys) -> Flask:
    return create_app(
        HttpParts(
            service=SERVICE,
            title="Octoco Wallet: wallet",
            database=database,
            token_keys=token_keys,
            blueprints=(money, admin_reviews, statements, admin_adjustments, admin_suspense),
            refusal_status=REFUSAL_STATUS,
        )
    )
