"""The Flask application of notifications."""

from collections.abc import Mapping
from typing import Any

from flask import Flask

from notifications.bootstrap import SERVICE, Notifications, build
from notifications.config import read
from notifications.entrypoints.http.notifications import EXTENSION, notifications
from notifications.entrypoints.http.refusals import REFUSAL_STATUS
from octoco.config import read_settings_or_exit
from octoco.database import Database
from octoco.http import HttpParts, create_app
from octoco.http.app import openapi_document
from octoco.http.authentication import JwksKeys, TokenKeys
from octoco.telemetry.logs import configure_logging
from octoco.telemetry.traces import configure_traces


def application(service: Notifications, *, token_keys: TokenKeys | None = None) -> Flask:
    """Build the application of a service that was put together.

    Args:
        service: As bootstrap made it.
        token_keys: Public keys of access tokens; those that accounts publishes if None.
    """
    app = _application(service.database, token_keys or JwksKeys(service.settings.jwks_url))
    app.extensions[EXTENSION] = service
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
    return openapi_document(_application(unused, JwksKeys("http://unused.invalid")))


def _application(database: Database, token_keys: TokenKeys) -> Flask:
    return create_app(
        HttpParts(
            service=SERVICE,
            title="Octoco Wallet: notifications",
            database=database,
            token_keys=token_keys,
            blueprints=(notifications,),
            refusal_status=REFUSAL_STATUS,
        )
    )
