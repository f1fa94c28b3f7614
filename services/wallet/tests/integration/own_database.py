"""A wallet in a database of its own, for tests that leave books behind which nobody may verify."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psycopg2
from psycopg2 import extensions
from sqlalchemy.engine import make_url

from octoco.database.migrate import migrate
from octoco.database.provision import provision_schema
from octoco.http.authentication import TokenKeys
from wallet.bootstrap import Wallet, build
from wallet.config import Settings
from wallet.entrypoints.cli import MIGRATIONS

# What the provisions give every role; the roles belong to the server.
PASSWORD = "test-only"


@dataclass(frozen=True)
class OwnDatabase:
    """A wallet with nothing in it, and the addresses of its database by role."""

    wallet: Wallet
    service_url: str
    owner_url: str
    admin_url: str

    def connect(self, url: str) -> extensions.connection:
        connection = psycopg2.connect(url)
        with connection.cursor() as cursor:
            cursor.execute("SET search_path = wallet; SET timezone = 'UTC'")
        connection.commit()
        return connection


@contextmanager
def own_database(
    settings: Settings, *, admin_url: str, token_keys: TokenKeys
) -> Iterator[OwnDatabase]:
    name = f"test_{secrets.token_hex(6)}"
    provision_schema(
        admin_url,
        database=name,
        schema="wallet",
        owner_password=PASSWORD,
        service_password=PASSWORD,
    )
    url = make_url(settings.database_url).set(database=name)
    admin = str(extensions.make_dsn(**{**extensions.parse_dsn(admin_url), "dbname": name}))
    service_url, owner_url = (
        one.render_as_string(hide_password=False) for one in (url, url.set(username="wallet_owner"))
    )
    migrate(url=owner_url, migrations=MIGRATIONS)
    wallet = build(replace(settings, database_url=service_url), token_keys=token_keys)
    try:
        yield OwnDatabase(wallet, service_url, owner_url, admin)
    finally:
        wallet.database.dispose()
        connection = psycopg2.connect(admin_url)
        connection.set_isolation_level(extensions.ISOLATION_LEVEL_AUTOCOMMIT)
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
        connection.close()
