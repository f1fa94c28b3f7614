"""The gateway's settings, read from the environment."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.fernet import Fernet
from environs import Env

from octoco.config import secret_list
from octoco.errors import ConfigurationError
from octoco.messaging.settings import EventSettings, read_event_settings
from octoco.outbox.archive import OutboxSettings, read_outbox_settings
from octoco.retention import RetentionSettings, read_days, read_retention
from payments_gateway.domain.provider import Merchant


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that differs from one installation to the next.

    Args:
        revio_api_url: Base of the API, such as `https://gate.reviopay.com/api/v1/`.
        ours: Company, brand and mode that an object at Revio must have to be ours.
        revio_webhook_url: The address that Revio calls.
        bank_account_keys: Fernet keys, the one in use first.
        checkout_return_url: Where the checkout sends the payer's browser.
        webhooks_days: For how many days deliveries are kept as they came.
    """

    database_url: str = field(repr=False)
    amqp_url: str = field(repr=False)
    jwks_url: str
    worker_host: str
    worker_port: int
    revio_api_url: str
    revio_secret_key: str = field(repr=False)
    ours: Merchant
    revio_webhook_url: str
    bank_account_keys: Sequence[str] = field(repr=False)
    checkout_return_url: str
    events: EventSettings = field(default_factory=EventSettings)
    outbox: OutboxSettings = field(default_factory=OutboxSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    webhooks_days: int = 180

    @property
    def brand_id(self) -> str:
        assert self.ours.brand_id is not None
        return self.ours.brand_id


def read(env: Env) -> Settings:
    """Take every setting from the environment; a missing one is named by the caller."""
    return Settings(
        database_url=env.str("DATABASE_URL"),
        amqp_url=env.str("AMQP_URL"),
        jwks_url=env.str("JWKS_URL"),
        worker_host=env.str("WORKER_HOST", "127.0.0.1"),
        worker_port=env.int("WORKER_PORT", 8113),
        revio_api_url=_revio_api_url(env),
        revio_secret_key=env.str("REVIO_SECRET_KEY"),
        ours=Merchant(
            company_id=env.str("REVIO_COMPANY_ID"),
            brand_id=env.str("REVIO_BRAND_ID"),
            is_test=env.bool("REVIO_TEST_MODE"),
        ),
        revio_webhook_url=env.str("REVIO_WEBHOOK_URL"),
        bank_account_keys=_bank_account_keys(env),
        checkout_return_url=env.str("CHECKOUT_RETURN_URL"),
        events=read_event_settings(env),
        outbox=read_outbox_settings(env),
        retention=read_retention(env),
        webhooks_days=read_days(env, "WEBHOOKS_KEEP_DAYS", usual=180, least=30),
    )


def _revio_api_url(env: Env) -> str:
    url: str = env.str("REVIO_API_URL")
    scheme, _, rest = url.partition("://")
    if scheme not in {"http", "https"} or not rest:
        raise ConfigurationError("REVIO_API_URL is malformed")
    if scheme == "http" and not env.bool("REVIO_TEST_MODE"):
        raise ConfigurationError("REVIO_API_URL must be https where REVIO_TEST_MODE is false")
    return url


def _bank_account_keys(env: Env) -> Sequence[str]:
    keys = secret_list(env, "BANK_ACCOUNT_KEYS")
    try:
        for key in keys:
            Fernet(key)
    except ValueError:
        raise ConfigurationError("BANK_ACCOUNT_KEYS is malformed") from None
    return keys
