"""Wallets in databases of their own, made in a blink from one migrated template."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import psycopg2
from psycopg2 import extensions, sql
from sqlalchemy.engine import make_url

from octoco.database import Database, PostgresUnitsOfWork
from octoco.database.migrate import migrate
from octoco.database.provision import provision_schema
from octoco.outbox.postgres import OutboxRows
from wallet.adapters.postgres.postings import PostgresPostings
from wallet.adapters.postgres.unit import PostgresWalletUnit
from wallet.bootstrap import Wallet
from wallet.domain.limits import Limits
from wallet.entrypoints.cli import MIGRATIONS

_ROLES: Final = ("wallet", "wallet_owner")


class FreshWallets:
    """Makes wallets like a given one, each alone with its own books.

    A state machine needs that: what one example leaves behind must not decide the next.

    Args:
        like: Its settings, contracts and clock are shared.
        admin_url: Superuser of the test server.
        password: Of the service's roles, which belong to the server.
    """

    def __init__(self, like: Wallet, *, admin_url: str, password: str) -> None:
        self._like = like
        self._admin_url = admin_url
        self._template = f"test_{secrets.token_hex(6)}"
        provision_schema(
            admin_url,
            database=self._template,
            schema="wallet",
            owner_password=password,
            service_password=password,
        )
        owner_url = self.url_of(self._template, role="wallet_owner")
        migrate(url=owner_url, migrations=MIGRATIONS)

    def url_of(self, database: str, *, role: str = "wallet") -> str:
        url = make_url(self._like.settings.database_url)
        named = url.set(database=database, username=role)
        return named.render_as_string(hide_password=False)

    @contextmanager
    def one(self, *, limits: Limits | None = None) -> Iterator[Wallet]:
        """Make a wallet, and drop its database at the end.

        Args:
            limits: The usual ones if None.
        """
        name = f"test_{secrets.token_hex(6)}"
        self._administer("CREATE DATABASE {} TEMPLATE {}", name, self._template)
        # What belongs to the database itself is not copied: its grants, and settings of roles.
        self._administer("REVOKE ALL ON DATABASE {} FROM PUBLIC", name)
        for role in _ROLES:
            self._administer("GRANT CONNECT ON DATABASE {} TO {}", name, role)
            self._administer("ALTER ROLE {} IN DATABASE {} SET search_path = wallet", role, name)
        # Tests make deadlocks by the dozen; PostgreSQL would look for each after a second only.
        self._administer("ALTER DATABASE {} SET deadlock_timeout = '100ms'", name)
        wallet = self.opened(self.url_of(name), limits=limits)
        try:
            yield wallet
        finally:
            wallet.database.dispose()
            self._administer("DROP DATABASE {} WITH (FORCE)", name)

    def close(self) -> None:
        self._administer("DROP DATABASE {} WITH (FORCE)", self._template)

    def opened(self, url: str, *, name: str = "wallet", limits: Limits | None = None) -> Wallet:
        """Open the wallet at a URL, such as one that leads through a wire.

        Args:
            url: Of the service's role.
            name: Seen in pg_stat_activity.
            limits: The usual ones if None.
        """
        usual = self._like.settings
        settings = replace(usual, database_url=url, limits=limits or usual.limits)
        database = Database(url, application_name=name, pool_size=settings.database_pool_size)
        contracts, clock = self._like.contracts, self._like.clock
        # No bell: its connection would outlive the database.
        units = PostgresUnitsOfWork(
            database,
            lambda connection: PostgresWalletUnit(connection, contracts=contracts, clock=clock),
        )
        postings = PostgresPostings(
            database,
            outbox_rows=OutboxRows(contracts=contracts, clock=clock),
            after_commit=_nobody_listens,
        )
        return replace(
            self._like, settings=settings, database=database, units=units, postings=postings
        )

    def _administer(self, statement: str, *names: str) -> None:
        connection = psycopg2.connect(self._admin_url)
        connection.set_isolation_level(extensions.ISOLATION_LEVEL_AUTOCOMMIT)
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
        connection.close()


def _nobody_listens() -> None:
    pass
