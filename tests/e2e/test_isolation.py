"""Each service's role sees its own schema and nothing of the others."""

import psycopg2
import pytest

from ..system import System

SERVICES = ("accounts", "wallet", "payments-gateway", "notifications")


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_role_cannot_look_into_another_schema(system: System, service: str) -> None:
    own = service.replace("-", "_")
    connection = psycopg2.connect(system.database_url(service))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user, count(*) FROM outbox")
        assert [row[0] for row in cursor] == [own]
        for other in (name.replace("-", "_") for name in SERVICES):
            if other == own:
                continue
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(f"SELECT count(*) FROM {other}.outbox")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("CREATE TABLE mine (x integer)")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("SET ROLE wallet_owner")
    connection.close()


@pytest.mark.parametrize("table", ["entries", "transfers", "ledger_accounts"])
@pytest.mark.parametrize(
    "statement", ["UPDATE {0} SET currency = 'USD'", "DELETE FROM {0}", "TRUNCATE {0}"]
)
def test_the_wallets_own_role_cannot_change_the_ledger(
    system: System, table: str, statement: str
) -> None:
    connection = psycopg2.connect(system.database_url("wallet"))
    with connection.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute(statement.format(table))
    connection.close()
