"""The wallet on a real, migrated schema, with tokens signed by a key of the tests' own."""

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import jwt
import psycopg2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask.testing import FlaskClient
from psycopg2 import extensions
from sqlalchemy.engine import make_url

from octoco.database.migrate import migrate
from octoco.database.provision import provision_schema
from octoco.ids import new_id
from octoco.money import Money
from octoco.testing.provisions import ProvisionedSchema
from wallet.bootstrap import Wallet, build
from wallet.config import Settings
from wallet.domain.limits import Bounds, Limits
from wallet.entrypoints.cli import MIGRATIONS
from wallet.entrypoints.http.app import application

from .driving import NO_WAIT, Driver
from .fresh_wallets import FreshWallets

# What the provisions give every role; the roles belong to the server.
PASSWORD = "test-only"
LIMITS = Limits(
    deposits=Bounds(
        per_transaction={
            "ZAR": Money(Decimal(100000), "ZAR"),
            "JPY": Money(Decimal(1000000), "JPY"),
            "KWD": Money(Decimal(1000), "KWD"),
        }
    ),
    withdrawals=Bounds(
        per_transaction={
            "ZAR": Money(Decimal(5000), "ZAR"),
            "JPY": Money(Decimal(50000), "JPY"),
        },
        per_day={
            "ZAR": Money(Decimal(8000), "ZAR"),
            "JPY": Money(Decimal(80000), "JPY"),
        },
        review_above={"ZAR": Money(Decimal(3000), "ZAR")},
    ),
)


class OneKey:
    """The public half of the key that the tests sign with."""

    def __init__(self) -> None:
        self.private_key = Ed25519PrivateKey.generate()

    def find(self, kid: str) -> Any | None:
        return self.private_key.public_key() if kid == "test" else None

    def token(self, user_id: str, *, roles: Sequence[str] = ("user",)) -> str:
        now = datetime.now(UTC)
        claims = {
            "iss": "octoco-accounts",
            "aud": "octoco",
            "sub": user_id,
            "sid": new_id("ses"),
            "jti": new_id("tok"),
            "roles": list(roles),
            "type": "access",
            "iat": now,
            "nbf": now,
            "exp": now + timedelta(minutes=15),
        }
        return jwt.encode(claims, self.private_key, algorithm="EdDSA", headers={"kid": "test"})


@pytest.fixture(scope="session")
def schema(provisioned_schema: Callable[..., ProvisionedSchema]) -> ProvisionedSchema:
    return provisioned_schema("wallet", MIGRATIONS)


@pytest.fixture(scope="session")
def token_keys() -> OneKey:
    return OneKey()


@pytest.fixture(scope="session")
def settings(schema: ProvisionedSchema) -> Settings:
    return Settings(
        database_url=schema.service_url,
        amqp_url=os.environ.get("TEST_AMQP_URL", "amqp://unset"),
        jwks_url="http://127.0.0.1:9/unused",
        worker_host="127.0.0.1",
        worker_port=0,
        log_level="info",
        limits=LIMITS,
        database_pool_size=20,
    )


@pytest.fixture(scope="session")
def wallet(settings: Settings, token_keys: OneKey) -> Iterator[Wallet]:
    built = build(settings, token_keys=token_keys)
    yield built
    built.database.dispose()


@pytest.fixture(scope="session")
def bare_wallet(
    settings: Settings, postgres_admin_url: str, token_keys: OneKey
) -> Iterator[Wallet]:
    """A wallet in a database of its own, for tests that move money no transaction asked for.

    Elsewhere the books stay what `wallet ledger verify` calls sound.
    """
    database = f"test_{secrets.token_hex(6)}"
    provision_schema(
        postgres_admin_url,
        database=database,
        schema="wallet",
        owner_password=PASSWORD,
        service_password=PASSWORD,
    )
    url = make_url(settings.database_url).set(database=database)
    owner_url = url.set(username="wallet_owner")
    migrate(url=owner_url.render_as_string(hide_password=False), migrations=MIGRATIONS)
    built = build(
        replace(settings, database_url=url.render_as_string(hide_password=False)),
        token_keys=token_keys,
    )
    yield built
    built.database.dispose()
    connection = _connect(postgres_admin_url)
    connection.set_isolation_level(extensions.ISOLATION_LEVEL_AUTOCOMMIT)
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {database} WITH (FORCE)")
    connection.close()


@pytest.fixture
def driver(wallet: Wallet) -> Driver:
    return Driver(wallet)


@pytest.fixture(scope="session")
def client(wallet: Wallet) -> FlaskClient:
    return application(wallet).test_client()


@pytest.fixture
def headers(token_keys: OneKey) -> Callable[..., dict[str, str]]:
    """Make the headers of a user's request that moves money and does not wait."""

    def make(user_id: str, **extra: str) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {token_keys.token(user_id)}",
            "Idempotency-Key": new_id("key"),
            "Prefer": NO_WAIT,
            **extra,
        }

    return make


@pytest.fixture
def desk(token_keys: OneKey) -> Callable[..., dict[str, str]]:
    """Make the headers of a request at the operators' desk."""

    def make(operator_id: str, *, role: str = "finance", **extra: str) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {token_keys.token(operator_id, roles=('user', role))}",
            "Idempotency-Key": new_id("key"),
            **extra,
        }

    return make


def _connect(url: str) -> extensions.connection:
    return psycopg2.connect(url)


@pytest.fixture
def service_connection(schema: ProvisionedSchema) -> Iterator[extensions.connection]:
    """A plain connection as the role that the service runs as, at the level it works at."""
    connection = _connect(schema.service_url)
    connection.set_isolation_level(extensions.ISOLATION_LEVEL_SERIALIZABLE)
    yield connection
    connection.close()


@pytest.fixture
def owner_connection(schema: ProvisionedSchema) -> Iterator[extensions.connection]:
    """A plain connection as the role that owns the ledger, which the triggers bind as well."""
    connection = _connect(schema.owner_url)
    yield connection
    connection.close()


@pytest.fixture
def admin_connection(schema: ProvisionedSchema) -> Iterator[extensions.connection]:
    """A plain connection as the superuser, who could tamper with anything."""
    connection = _connect(schema.admin_url)
    with connection.cursor() as cursor:
        cursor.execute("SET search_path = wallet")
    connection.commit()
    yield connection
    connection.close()


@pytest.fixture(scope="session")
def fresh_wallets(wallet: Wallet, postgres_admin_url: str) -> Iterator[FreshWallets]:
    """Wallets in databases of their own, for tests whose books nothing else may touch."""
    made = FreshWallets(wallet, admin_url=postgres_admin_url, password=PASSWORD)
    yield made
    made.close()
