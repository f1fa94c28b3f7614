"""Alembic's entry: migrates the schema of the payments gateway."""

from octoco.database.migration_environment import run_migrations

run_migrations(schema="payments_gateway")
