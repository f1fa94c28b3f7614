"""Make a service's schema and its two roles; what exists already is brought up to date.

`<schema>_owner` owns the schema and migrates. `<schema>` is the service itself: it may use what
the migrations grant it, and nothing of any other schema.
"""

import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import psycopg2
from environs import Env
from psycopg2 import errors, sql
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT, connection, make_dsn, parse_dsn
from psycopg2.extensions import cursor as _cursor

from octoco.config import read_settings_or_exit


def ensure_database(admin_url: str, *, database: str) -> str:
    """Make the database if it is missing, closed to roles that were not let in.

    Args:
        admin_url: libpq URL of a role that may create databases and roles.
        database: Its name.

    Returns:
        The admin's connection string for that database.
    """
    admin = _connect(admin_url)
    try:
        with admin.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,))
            if cursor.fetchone() is None:
                # Another one provisioning at the same time may be quicker.
                with suppress(errors.DuplicateDatabase, errors.UniqueViolation):
                    cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
    finally:
        admin.close()
    return _within(admin_url, database)


def provision_schema(
    admin_url: str, *, database: str, schema: str, owner_password: str, service_password: str
) -> None:
    """Make the database, the schema, its owner and its service role; a repeat sets the passwords.

    Args:
        admin_url: libpq URL of a role that may create databases and roles.
        database: Where the schema goes; made if missing.
        schema: Its name, and its service role's.
        owner_password: Of `<schema>_owner`.
        service_password: Of `<schema>`.
    """
    admin = _connect(ensure_database(admin_url, database=database))
    try:
        with admin.cursor() as cursor:
            owner = f"{schema}_owner"
            for role, password in ((owner, owner_password), (schema, service_password)):
                _ensure_role(cursor, role, password)
            names = {
                "database": sql.Identifier(database),
                "schema": sql.Identifier(schema),
                "owner": sql.Identifier(owner),
                "service": sql.Identifier(schema),
            }
            for statement in _STATEMENTS:
                cursor.execute(sql.SQL(statement).format(**names))
    finally:
        admin.close()


_STATEMENTS = (
    "REVOKE ALL ON DATABASE {database} FROM PUBLIC",
    "GRANT CONNECT ON DATABASE {database} TO {owner}, {service}",
    "REVOKE ALL ON SCHEMA public FROM PUBLIC",
    # An administrator who is no superuser may give a schema only to a role it is a member of.
    "GRANT {owner} TO CURRENT_USER",
    "CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {owner}",
    "GRANT USAGE ON SCHEMA {schema} TO {service}",
    "ALTER ROLE {owner} IN DATABASE {database} SET search_path = {schema}",
    "ALTER ROLE {service} IN DATABASE {database} SET search_path = {schema}",
    # Functions are callable by everybody unless said otherwise.
    "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
)


def _ensure_role(cursor: _cursor, role: str, password: str) -> None:
    attributes = sql.SQL("LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}").format(
        sql.Literal(password)
    )
    try:
        cursor.execute(sql.SQL("CREATE ROLE {} ").format(sql.Identifier(role)) + attributes)
    except (errors.DuplicateObject, errors.UniqueViolation):
        cursor.execute(
            sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(
                sql.Identifier(role), sql.Literal(password)
            )
        )


def _connect(url: str) -> connection:
    opened = psycopg2.connect(url, connect_timeout=5)
    opened.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
    return opened


def _within(url: str, database: str) -> str:
    return str(make_dsn(**{**parse_dsn(url), "dbname": database}))


def main(arguments: Sequence[str]) -> int:
    """Provision the schemas named on the command line: `python -m octoco.database.provision X Y`.

    Reads ADMIN_DATABASE_URL, DATABASE_NAME, and for each schema <SCHEMA>_PASSWORD and
    <SCHEMA>_OWNER_PASSWORD.
    """
    if not arguments or arguments[0].startswith("-"):
        sys.stderr.write(f"{main.__doc__}\n")
        return 2
    admin_url, database = read_settings_or_exit(
        lambda env: (env.str("ADMIN_DATABASE_URL"), env.str("DATABASE_NAME"))
    )
    for schema in arguments:
        name = schema.upper()
        owner_password, service_password = read_settings_or_exit(
            partial(_passwords_of, names=(f"{name}_OWNER_PASSWORD", f"{name}_PASSWORD"))
        )
        provision_schema(
            admin_url,
            database=database,
            schema=schema,
            owner_password=owner_password,
            service_password=service_password,
        )
        sys.stdout.write(f"provisioned {schema}\n")
    return 0


def _passwords_of(env: Env, *, names: tuple[str, str]) -> tuple[str, str]:
    return env.str(names[0]), env.str(names[1])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
