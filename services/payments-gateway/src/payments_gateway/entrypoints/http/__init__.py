"""The gateway's HTTP application."""

import os
from collections.abc import Mapping
from typing import Any, Final

from cryptography.fernet import Fernet
from flask import Flask

from octoco.config import read_settings_or_exit
from octoco.errors import Refusal
from octoco.http.app import HttpParts, create_app, openapi_document
from octoco.http.authentication import JwksKeys, TokenKeys
from octoco.telemetry.logs import configure_logging
from octoco.telemetry.traces import configure_traces
from payments_gateway import config
from payments_gateway.bootstrap import Gateway, assemble
from payments_gateway.domain import errors
from payments_gateway.domain.provider import Merchant
from payments_gateway.entrypoints.http import bank_accounts, webhooks

# Every refusal of the domain has its HTTP status here and nowhere else.
REFUSAL_STATUS: Final[Mapping[type[Refusal], int]] = {
    errors.InvalidBankAccount: 422,
    errors.TooManyBankAccounts: 409,
    errors.BankAccountNotFound: 404,
    errors.SignatureMissing: 401,
    errors.SignatureInvalid: 401,
    errors.ProviderRefused: 422,
}


def make_app(gateway: Gateway, *, token_keys: TokenKeys) -> Flask:
    """Build the application of an assembled gateway."""
    return create_app(
        HttpParts(
            service="payments-gateway",
            title="Payments gateway",
            database=gateway.database,
            token_keys=token_keys,
            blueprints=(bank_accounts.blueprint(gateway), webhooks.blueprint(gateway)),
            refusal_status=REFUSAL_STATUS,
            raw_body_paths=frozenset({webhooks.PATH}),
            callback_paths=frozenset({webhooks.PATH}),
        )
    )


def web() -> Flask:
    """Build the application from the environment, for gunicorn."""
    settings = read_settings_or_exit(config.read)
    configure_logging(
        service="payments-gateway", process="web", level=os.environ.get("LOG_LEVEL", "info")
    )
    configure_traces(service="payments-gateway", process="web")
    return make_app(assemble(settings), token_keys=JwksKeys(settings.jwks_url))


def openapi() -> Mapping[str, Any]:
    """Make the OpenAPI document; needs no environment and connects to nothing."""
    nowhere = "http://127.0.0.1/"
    settings = config.Settings(
        database_url="postgresql://127.0.0.1/none",
        amqp_url="amqp://127.0.0.1/",
        jwks_url=nowhere,
        worker_host="127.0.0.1",
        worker_port=0,
        revio_api_url=nowhere,
        revio_secret_key="",
        ours=Merchant(company_id="none", brand_id="none", is_test=True),
        revio_webhook_url=nowhere,
        bank_account_keys=(Fernet.generate_key().decode(),),
        checkout_return_url=nowhere,
    )
    return openapi_document(make_app(assemble(settings), token_keys=JwksKeys(nowhere)))
