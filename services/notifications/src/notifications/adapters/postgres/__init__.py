"""The stores of notifications in its PostgreSQL schema."""
