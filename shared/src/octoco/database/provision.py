"""Make a service's schema and its two roles; what exists already is brought up to date.

`<schema>_owner` owns the schema and migrates. `<schema>` is the service itself: it may use what
the migrations grant it, and nothing of any other schema.
"""

from contextlib import suppress

import psycopg2
from psycopg2 import errors, sql
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT, connection, make_dsn, parse_dsn
from psycopg2.extensions import cursor as _cursor


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
