"""Alembic's entry point for the wallet's schema."""

from octoco.database.migration_environment import run_migrations

run_migrations(schema="wallet")
