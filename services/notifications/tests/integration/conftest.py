"""The service on a real, migrated schema and a real SMTP server."""

from collections.abc import Callable, Iterator

import pytest
from cryptography.fernet import Fernet

from notifications.bootstrap import Notifications, build
from notifications.config import Settings
from notifications.entrypoints.cli import MIGRATIONS
from octoco.testing.provisions import ProvisionedSchema

from .mail_server import FreePortController, Postbox


@pytest.fixture(scope="session")
def schema(provisioned_schema: Callable[..., ProvisionedSchema]) -> ProvisionedSchema:
    return provisioned_schema("notifications", MIGRATIONS)


@pytest.fixture(scope="session")
def mail_key() -> str:
    return Fernet.generate_key().decode()


@pytest.fixture
def postbox() -> Postbox:
    return Postbox()


@pytest.fixture
def smtp_port(postbox: Postbox) -> Iterator[int]:
    controller = FreePortController(postbox)
    controller.start()
    yield controller.port
    controller.stop()


@pytest.fixture
def settings(schema: ProvisionedSchema, amqp_url: str, smtp_port: int, mail_key: str) -> Settings:
    return Settings(
        database_url=schema.service_url,
        amqp_url=amqp_url,
        jwks_url="http://127.0.0.1:1/jwks.json",
        smtp_url=f"smtp://127.0.0.1:{smtp_port}",
        mail_from="Octoco Wallet <no-reply@wallet.example>",
        mail_token_keys=(mail_key,),
        public_url="http://127.0.0.1:8080",
        worker_host="127.0.0.1",
        worker_port=0,
        log_level="info",
    )


@pytest.fixture
def service(settings: Settings) -> Iterator[Notifications]:
    notifications = build(settings)
    # Deliveries of an earlier test must not be sent in this one.
    notifications.database.statement("DELETE FROM inbox", {})
    notifications.database.statement(
        "UPDATE intents SET finished_at = now() WHERE finished_at IS NULL", {}
    )
    yield notifications
    notifications.database.dispose()
