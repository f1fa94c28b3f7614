"""The gateway on real PostgreSQL and RabbitMQ, talking to the sandbox over HTTP."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import psycopg2
import pytest
from cryptography.fernet import Fernet

from octoco.testing.provisions import ProvisionedSchema
from payments_gateway.bootstrap import Gateway, assemble
from payments_gateway.config import Settings
from payments_gateway.domain.policy import Policy
from payments_gateway.domain.provider import Merchant
from payments_gateway.entrypoints.cli import MIGRATIONS
from payments_gateway.entrypoints.http import make_app

from .people import TestKeys
from .running import Running
from .sandbox import BRAND_ID, COMPANY_ID, SECRET_KEY, Sandbox, free_port

TABLES = (
    "outbox, inbox, parked_events, intents, idempotency_keys, known_users, checkouts, purchases, "
    "bank_accounts, payouts, tombstones, money_facts, cases, webhook_deliveries, refused_webhooks"
)
# As the product's, but in seconds.
QUICK = Policy(
    look_interval_min=timedelta(milliseconds=300),
    look_interval_max=timedelta(seconds=1),
    execution_stuck_after=timedelta(seconds=1),
    unknown_after=timedelta(seconds=2),
    float_wait=timedelta(milliseconds=300),
)


@pytest.fixture(scope="session")
def sandbox_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    made = Sandbox(tmp_path_factory.mktemp("revio") / "data")
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def sandbox(sandbox_process: Sandbox) -> Sandbox:
    sandbox_process.reset()
    return sandbox_process


@pytest.fixture(scope="session")
def schema(provisioned_schema: Callable[..., ProvisionedSchema]) -> ProvisionedSchema:
    return provisioned_schema("payments_gateway", MIGRATIONS)


@pytest.fixture(scope="session")
def web_port() -> int:
    return free_port()


@pytest.fixture(scope="session")
def token_keys() -> TestKeys:
    return TestKeys()


@pytest.fixture
def settings(schema: ProvisionedSchema, sandbox: Sandbox, web_port: int) -> Settings:
    connection = psycopg2.connect(schema.owner_url)
    with connection, connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {TABLES}")
        cursor.execute("UPDATE webhook_key_readings SET claimed_at = '-infinity'")
    connection.close()
    return Settings(
        database_url=schema.service_url,
        amqp_url="amqp://127.0.0.1:1/",
        jwks_url="http://127.0.0.1:1/",
        worker_host="127.0.0.1",
        worker_port=0,
        revio_api_url=sandbox.api_url,
        revio_secret_key=SECRET_KEY,
        ours=Merchant(company_id=COMPANY_ID, brand_id=BRAND_ID, is_test=True),
        revio_webhook_url=f"http://127.0.0.1:{web_port}/webhooks/revio",
        bank_account_keys=(Fernet.generate_key().decode(),),
        checkout_return_url="http://127.0.0.1:1/returned",
    )


@pytest.fixture
def gateway(settings: Settings) -> Iterator[Gateway]:
    made = assemble(settings, policy=QUICK)
    yield made
    made.database.dispose()


@pytest.fixture
def running(gateway: Gateway, token_keys: TestKeys, web_port: int) -> Iterator[Running]:
    made = Running(gateway, make_app(gateway, token_keys=token_keys), port=web_port)
    try:
        made.start()
        yield made
    finally:
        made.stop()
