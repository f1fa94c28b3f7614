"""What every service's Alembic env.py does: migrate one schema, as its owner, under time limits."""

import sqlalchemy
from alembic import context

from octoco.database.engine import driver_url

LOCK_TIMEOUT = "4s"


def run_migrations(*, schema: str) -> None:
    """Run the migrations that Alembic's command asks for, all in one unit of work.

    Two migrating at once queue up behind a lock. A migration that cannot have its table locks
    within seconds fails rather than stop the traffic behind it.

    Args:
        schema: The service's schema; Alembic's own version table lives in it too.
    """
    url = context.config.get_main_option("sqlalchemy.url")
    engine = sqlalchemy.create_engine(driver_url(url or ""), poolclass=sqlalchemy.pool.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "SELECT pg_advisory_xact_lock(hashtextextended('octoco.migrate:' || %s, 0))", (schema,)
        )
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        connection.exec_driver_sql(f"SET LOCAL search_path = {schema}")
        context.configure(
            connection=connection, version_table_schema=schema, transactional_ddl=True
        )
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()
