"""Two at once, with real threads on real PostgreSQL; and what the service's role may not do."""

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import psycopg2
import psycopg2.errors
import pytest

from accounts.bootstrap import Accounts, build
from accounts.config import Settings
from accounts.domain.errors import RefreshTokenReused, SessionRevoked, VerificationTokenUsed
from accounts.domain.policy import IdentityPolicy
from accounts.domain.secrets import hash_secret
from accounts.domain.sessions import IssuedTokens, Origin
from accounts.use_cases.purge_ended import purge_ended
from accounts.use_cases.refresh_session import refresh_session
from accounts.use_cases.register_user import register_user
from accounts.use_cases.verify_email import verify_email
from octoco.clock import FixedClock
from octoco.errors import Refusal
from octoco.testing.provisions import ProvisionedSchema

from .people import Person

T = TypeVar("T")
NewPerson = Callable[[], Person]
LogIn = Callable[[Person], dict[str, Any]]
ORIGIN = Origin("198.51.100.7", "tests")


def at_once(times: int, run: Callable[[], T]) -> list[T | Refusal]:
    def guarded(_: int) -> T | Refusal:
        try:
            return run()
        except Refusal as refusal:
            return refusal

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(guarded, range(times)))


def test_parallel_refreshes_with_one_token_get_the_same_successor(
    service: Accounts, new_person: NewPerson, log_in: LogIn
) -> None:
    token = log_in(new_person())["refresh_token"]
    answers = at_once(8, lambda: refresh_session(service.ports, refresh_token=token, origin=ORIGIN))
    pairs = {
        (answer.refresh_token, answer.access_token)
        for answer in answers
        if isinstance(answer, IssuedTokens)
    }
    assert len(pairs) == 1
    assert all(isinstance(answer, IssuedTokens) for answer in answers)
    ((successor, _),) = pairs
    stored = service.database.statement(
        "SELECT generation FROM refresh_tokens WHERE token_hash = :hash",
        {"hash": hash_secret(successor)},
    )
    assert [row.generation for row in stored] == [1]


def test_a_replay_after_the_grace_ends_the_session_in_the_database(
    settings: Settings, new_person: NewPerson, log_in: LogIn
) -> None:
    impatient = build(settings, policy=IdentityPolicy(refresh_grace=timedelta(0)))
    stolen = log_in(new_person())["refresh_token"]
    successor = refresh_session(impatient.ports, refresh_token=stolen, origin=ORIGIN)
    with pytest.raises(RefreshTokenReused):
        refresh_session(impatient.ports, refresh_token=stolen, origin=ORIGIN)
    with pytest.raises(SessionRevoked):
        refresh_session(impatient.ports, refresh_token=successor.refresh_token, origin=ORIGIN)
    impatient.database.dispose()


def test_one_verification_token_used_by_many_at_once_works_once(
    service: Accounts, mailed_tokens: Callable[[str], list[str]]
) -> None:
    email = f"race-{secrets.token_hex(4)}@example.com"
    register_user(
        service.ports, email=email, password="travel by moonlight", full_name="R", origin=ORIGIN
    )
    (token,) = mailed_tokens(email)
    answers = at_once(6, lambda: verify_email(service.ports, token=token, origin=ORIGIN))
    assert sorted(isinstance(answer, VerificationTokenUsed) for answer in answers) == [
        False,
        *[True] * 5,
    ]
    announced = service.database.statement(
        "SELECT 1 FROM outbox WHERE event_type = 'accounts.user.email_verified.v1'"
        " AND data->>'email' = :email",
        {"email": email},
    )
    assert len(announced) == 1


def test_one_address_registered_by_many_at_once_becomes_one_user(
    service: Accounts, mailed_tokens: Callable[[str], list[str]]
) -> None:
    email = f"race-{secrets.token_hex(4)}@example.com"
    spellings = iter([email, email.upper(), email.title(), email])

    def register() -> None:
        register_user(
            service.ports,
            email=next(spellings),
            password="travel by moonlight",
            full_name="Race",
            origin=ORIGIN,
        )

    assert at_once(4, register) == [None] * 4
    found = service.database.statement(
        "SELECT id FROM users WHERE email_key = :key", {"key": email.casefold()}
    )
    assert len(found) == 1
    announced = service.database.statement(
        "SELECT event_type, count(*) AS times FROM outbox WHERE aggregate_id = :id GROUP BY 1",
        {"id": found[0].id},
    )
    assert {row.event_type: row.times for row in announced} == {
        "accounts.user.registered.v1": 1,
        "accounts.user.email_verification_requested.v1": 4,
    }


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET action = 'nothing'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "ALTER TABLE audit_log DISABLE TRIGGER ALL",
        "DROP TABLE audit_log",
        "UPDATE users SET email = 'a@example.com'",
        "DELETE FROM users",
        "DELETE FROM user_roles",
        "UPDATE user_roles SET role = 'admin'",
        "UPDATE refresh_tokens SET token_hash = repeat('0', 64)",
        "UPDATE sessions SET expires_at = now() + interval '1 year'",
        "GRANT UPDATE ON audit_log TO accounts",
    ],
)
def test_the_services_role_may_not(
    schema: ProvisionedSchema, new_person: NewPerson, statement: str
) -> None:
    new_person()
    connection = psycopg2.connect(schema.service_url)
    try:
        with connection.cursor() as cursor:
            if statement.startswith("GRANT"):
                # PostgreSQL only warns when somebody grants what they do not hold.
                cursor.execute(statement)
                cursor.execute("SELECT has_table_privilege('accounts', 'audit_log', 'UPDATE')")
                assert cursor.fetchone() == (False,)
                return
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(statement)
    finally:
        connection.close()


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_log SET action = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"],
)
def test_not_even_the_owner_changes_the_audit_log_by_accident(
    schema: ProvisionedSchema, statement: str
) -> None:
    connection = psycopg2.connect(schema.owner_url)
    try:
        with connection.cursor() as cursor, pytest.raises(psycopg2.errors.RaiseException):
            cursor.execute(statement)
    finally:
        connection.close()


def test_what_ended_long_ago_is_deleted_from_the_database(
    service: Accounts, settings: Settings, new_person: NewPerson, log_in: LogIn
) -> None:
    for _ in range(2):
        refresh_session(
            service.ports, refresh_token=log_in(new_person())["refresh_token"], origin=ORIGIN
        )
    later = build(settings, clock=FixedClock(datetime.now(UTC) + timedelta(days=61)))
    assert purge_ended(later.ports) >= 6
    assert purge_ended(later.ports) == 0
    later.database.dispose()
    for table in ("sessions", "refresh_tokens", "verification_tokens"):
        left = service.database.statement(f"SELECT count(*) AS rows FROM {table}", {})
        assert left[0].rows == 0


def test_no_secret_is_stored_in_clear(
    service: Accounts, schema: ProvisionedSchema, new_person: NewPerson, log_in: LogIn,
    mailed_tokens: Callable[[str], list[str]],
) -> None:  # fmt: skip
    person = new_person()
    tokens = log_in(person)
    refreshed = refresh_session(service.ports, refresh_token=tokens["refresh_token"], origin=ORIGIN)
    (mailed,) = mailed_tokens(person.email)
    connection = psycopg2.connect(schema.owner_url)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'accounts'"
        )
        tables = [name for (name,) in cursor.fetchall()]
        stored = ""
        for table in tables:
            cursor.execute(f"SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} t")
            stored += str(cursor.fetchone())
    connection.close()
    for secret in (person.password, mailed, tokens["refresh_token"], tokens["access_token"],
                   refreshed.refresh_token, refreshed.access_token):  # fmt: skip
        assert secret not in stored
