from octoco.database.migration_environment import run_migrations

run_migrations(schema="notifications")
