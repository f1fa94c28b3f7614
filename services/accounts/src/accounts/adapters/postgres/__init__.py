"""The stores of accounts in its PostgreSQL schema."""
