"""The Flask application of accounts."""

from collections.abc import Mapping
from typing import Any

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from accounts.adapters.tokens.signing_keys import SigningKeys
from accounts.bootstrap import SERVICE, Accounts, build
from accounts.config import read
from accounts.entrypoints.http.auth import auth
from accounts.entrypoints.http.context import install
from accounts.entrypoints.http.keys import keys
from accounts.entrypoints.http.me import me
from accounts.entrypoints.http.pages import FORM_PATH, pages
from accounts.entrypoints.http.refusals import REFUSAL_STATUS
from octoco.config import read_settings_or_exit
from octoco.database import Database
from octoco.http import HttpParts, create_app
from octoco.http.app import openapi_document
from octoco.http.authentication import TokenKeys
from octoco.telemetry.logs import configure_logging
from octoco.telemetry.traces import configure_traces


class OwnKeys:
    """The service's own keys; it need not ask itself for them over HTTP."""

    def __init__(self, signing_keys: SigningKeys) -> None:
        self._signing_keys = signing_keys

    def find(self, kid: str) -> Any | None:
        key = self._signing_keys.find(kid)
        return key.private_key.public_key() if key else None


class NoKeys:
    """For printing the OpenAPI document, where nobody asks."""

    def find(self, kid: str) -> Any | None:
        raise AssertionError(f"no keys here, {kid} among them")


def application(accounts: Accounts) -> Flask:
    """Build the application of a service that was put together."""
    app = _application(accounts.database, OwnKeys(accounts.signing_keys))
    install(app, accounts)
    return app


def web() -> Flask:
    """Build the application from the environment; gunicorn calls this."""
    settings = read_settings_or_exit(read)
    configure_logging(service=SERVICE, process="web", level=settings.log_level)
    configure_traces(service=SERVICE, process="web")
    app = application(build(settings))
    # The API gateway writes X-Forwarded-For anew; only its own entry, the last, is believed.
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1)  # type: ignore[method-assign]
    return app


def openapi() -> Mapping[str, Any]:
    """Return the OpenAPI document; needs no environment."""
    unused = Database("postgresql://unused", application_name=SERVICE)
    return openapi_document(_application(unused, NoKeys()))


def _application(database: Database, token_keys: TokenKeys) -> Flask:
    return create_app(
        HttpParts(
            service=SERVICE,
            title="Octoco Wallet: accounts",
            database=database,
            token_keys=token_keys,
            blueprints=(auth, me, keys, pages),
            refusal_status=REFUSAL_STATUS,
            raw_body_paths=frozenset({FORM_PATH}),
        )
    )
