"""Every way around the kernel that plain SQL knows, each by name, and what PostgreSQL answers.

A statement is tried as the service's role or as the owner, who is bound by the triggers as well.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import psycopg2
import pytest
from psycopg2 import extensions

from octoco.ids import new_id
from octoco.testing import eventually
from wallet.bootstrap import Wallet

from .driving import Driver, zar
from .fresh_wallets import FreshWallets
from .kernel_attempts import AS_THE_OWNER, AS_THE_SERVICE, GUARDED_TABLES

# What the service may call: anything else of the schema is the owner's alone.
DOORS: Final = frozenset(
    {
        "open_ledger_accounts",
        "post_transfer",
        "post_transfers",
        "place_hold",
        "settle_hold",
        "release_hold",
        "reverse_transfer",
        "money_of_purchase",
        "money_in_suspense",
        "request_adjustment",
        "decide_adjustment",
        "prepare_seal",
        "sign_seal",
        "roll_up_system_accounts",
        "kind_balances",
        "version_as_of",
        "user_balances_as_of",
        # The messaging's own: it makes and drops partitions of confirmed messages.
        "keep_outbox_archive",
        "counted_since",
    }
)


@dataclass(frozen=True)
class Victim:
    """A user with 250.00, of which 100.00 is held twice, once ended; and what may be attacked."""

    url: Callable[[str], str]
    user_id: str
    purchase_id: str
    open_hold: str
    ended_hold: str

    def named(self, statement: str) -> str:
        return statement.format(
            user=f"'{self.user_id}'",
            purchase=f"'{self.purchase_id}'",
            open_hold=f"'{self.open_hold}'",
            ended_hold=f"'{self.ended_hold}'",
            own=_account(self.user_id, "available"),
            held=_account(self.user_id, "held"),
            owed=_account(self.user_id, "receivable"),
            clearing="(SELECT id FROM ledger_accounts "
            "WHERE user_id IS NULL AND currency = 'ZAR' AND kind = 'provider_clearing')",
            credit=f"(SELECT id FROM transfers WHERE business_key = 'purchase:{self.purchase_id}')",
            reversed="(SELECT reverses FROM transfers WHERE kind = 'reversal' LIMIT 1)",
        )


def _account(user_id: str, kind: str) -> str:
    return (
        f"(SELECT id FROM ledger_accounts WHERE user_id = '{user_id}' "
        f"AND currency = 'ZAR' AND kind = '{kind}')"
    )


@pytest.fixture(scope="module")
def victim(fresh_wallets: FreshWallets) -> Iterator[Victim]:
    with fresh_wallets.one() as wallet:
        yield _made_victim(wallet, fresh_wallets)


def _made_victim(wallet: Wallet, wallets: FreshWallets) -> Victim:
    driver = Driver(wallet)
    user_id, purchase_id = driver.new_user(), new_id("pur")
    bank_account_id = driver.new_bank_account(user_id)
    deposit = driver.request_deposit(user_id, zar("250.00"))
    driver.pay(deposit.id, zar("250.00"), purchase_id=purchase_id, fee="5.00")
    held = [
        driver.request_withdrawal(user_id, zar("50.00"), bank_account_id=bank_account_id)
        for _ in range(2)
    ]
    driver.fail_payout(held[1].id, zar("50.00"))
    lost = new_id("pur")
    driver.pay(None, zar("9.00"), purchase_id=lost)
    wallet.units.run(
        lambda unit: unit.ledger.reverse(
            business_key=f"purchase:{lost}", effective_at=wallet.clock.now()
        )
    )
    # Something to be tampered with in every table. A seal waits until no older transaction runs
    # anywhere on the server.
    wallet.database.statement("SELECT roll_up_system_accounts()", {})
    eventually(
        lambda: (
            wallet.database.statement("SELECT prepare_seal()", {})
            and driver.scalar("SELECT count(*) FROM ledger_seals") > 0
        ),
        within_seconds=60,
        what="a seal",
    )
    database = wallet.settings.database_url.rsplit("/", 1)[1]
    return Victim(
        lambda role: wallets.url_of(database, role=role),
        user_id,
        purchase_id,
        held[0].id,
        held[1].id,
    )


def attempt(victim: Victim, role: str, statement: str) -> str:
    """Try a statement in a transaction of its own, COMMIT included; say what PostgreSQL did."""
    connection = psycopg2.connect(victim.url(role))
    connection.set_isolation_level(extensions.ISOLATION_LEVEL_SERIALIZABLE)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET search_path = wallet")
            _execute(cursor, victim.named(statement))
        connection.commit()
    except psycopg2.Error as error:
        return str(error.pgcode)
    finally:
        connection.close()
    return "nothing was refused"


def _execute(cursor: extensions.cursor, statement: str) -> None:
    if not statement.startswith("COPY"):
        cursor.execute(statement)
        return
    command, _, rows = statement.partition("\n")
    cursor.copy_expert(command, io.StringIO(rows))


@pytest.mark.parametrize("what", list(AS_THE_SERVICE))
def test_the_service_is_refused_when_it_tries_to(victim: Victim, what: str) -> None:
    statement, sqlstate = AS_THE_SERVICE[what]
    assert attempt(victim, "wallet", statement) == sqlstate


@pytest.mark.parametrize("what", list(AS_THE_OWNER))
def test_even_the_owner_is_refused_when_it_tries_to(victim: Victim, what: str) -> None:
    statement, sqlstate = AS_THE_OWNER[what]
    assert attempt(victim, "wallet_owner", statement) == sqlstate


def rows(victim: Victim, query: str) -> list[tuple[str, ...]]:
    connection = psycopg2.connect(victim.url("wallet"))
    with connection.cursor() as cursor:
        cursor.execute(query)
        found = cursor.fetchall()
    connection.close()
    return found


def test_the_service_may_call_the_doors_and_nothing_else(victim: Victim) -> None:
    callable_ones = rows(
        victim,
        "SELECT proname FROM pg_proc WHERE pronamespace = 'wallet'::regnamespace "
        "AND has_function_privilege('wallet', oid, 'EXECUTE')",
    )
    assert {name for (name,) in callable_ones} == DOORS


def test_every_door_has_a_search_path_that_no_caller_can_put_anything_in(victim: Victim) -> None:
    open_doors = rows(
        victim,
        "SELECT proname FROM pg_proc WHERE pronamespace = 'wallet'::regnamespace AND prosecdef "
        "AND 'search_path=wallet, pg_temp' <> ALL (coalesce(proconfig, '{}'))",
    )
    assert open_doors == []


def test_the_service_may_only_read_what_is_about_money(victim: Victim) -> None:
    connection = psycopg2.connect(victim.url("wallet"))
    with connection.cursor() as cursor:
        # PostgreSQL answers such a grant with a warning only; what counts is what comes of it.
        cursor.execute("SET search_path = wallet; GRANT ALL ON entries, holds TO wallet, PUBLIC")
        connection.commit()
        cursor.execute(
            "SELECT t, p FROM unnest(%s) AS t, unnest(%s) AS p "
            "WHERE has_table_privilege('wallet', t, p)",
            (
                list(GUARDED_TABLES),
                ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"],
            ),
        )
        assert {privilege for _, privilege in cursor.fetchall()} == {"SELECT"}
    connection.close()
