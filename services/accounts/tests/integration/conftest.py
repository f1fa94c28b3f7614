"""The service on a real, migrated schema, with cheap password hashing."""

import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from flask.testing import FlaskClient

from accounts.adapters.tokens.signing_keys import write_new_signing_key
from accounts.bootstrap import Accounts, build
from accounts.config import Settings
from accounts.entrypoints.cli import MIGRATIONS
from accounts.entrypoints.http.app import application
from octoco.clock import SystemClock
from octoco.testing.provisions import ProvisionedSchema

from .people import Person


@pytest.fixture(scope="session")
def schema(provisioned_schema: Callable[..., ProvisionedSchema]) -> ProvisionedSchema:
    return provisioned_schema("accounts", MIGRATIONS)


@pytest.fixture(scope="session")
def mail_key() -> str:
    return Fernet.generate_key().decode()


@pytest.fixture
def settings(schema: ProvisionedSchema, amqp_url: str, tmp_path: Path, mail_key: str) -> Settings:
    folder = tmp_path / "keys"
    write_new_signing_key(folder, now=SystemClock().now())
    return Settings(
        database_url=schema.service_url,
        amqp_url=amqp_url,
        token_signing_keys_dir=folder,
        mail_token_keys=(mail_key,),
        worker_host="127.0.0.1",
        worker_port=0,
        log_level="info",
        argon2_time_cost=1,
        argon2_memory_kibibytes=64,
        argon2_parallelism=1,
        argon2_concurrent_max=4,
    )


@pytest.fixture
def service(settings: Settings) -> Iterator[Accounts]:
    accounts = build(settings)
    yield accounts
    accounts.database.dispose()


@pytest.fixture
def client(service: Accounts) -> FlaskClient:
    return application(service).test_client()


@pytest.fixture
def mailed_tokens(service: Accounts, mail_key: str) -> Callable[[str], list[str]]:
    """Read the tokens that notifications would mail to an address, oldest first."""

    def read(email: str) -> list[str]:
        rows = service.database.statement(
            "SELECT data FROM outbox WHERE event_type = :type AND data->>'email' = :email"
            " ORDER BY id",
            {"type": "accounts.user.email_verification_requested.v1", "email": email},
        )
        fernet = Fernet(mail_key)
        return [fernet.decrypt(row.data["token_encrypted"].encode()).decode() for row in rows]

    return read


@pytest.fixture
def new_person(
    client: FlaskClient, mailed_tokens: Callable[[str], list[str]]
) -> Callable[[], Person]:
    """Make people who have registered and proved their address."""

    def make() -> Person:
        person = Person(f"thandi-{secrets.token_hex(4)}@example.com", "travel by moonlight")
        body = {"email": person.email, "password": person.password, "full_name": "Thandi Nkosi"}
        assert client.post("/v1/auth/register", json=body).status_code == 202
        (token,) = mailed_tokens(person.email)
        assert client.post("/v1/auth/verify-email", json={"token": token}).status_code == 200
        return person

    return make


@pytest.fixture
def log_in(client: FlaskClient) -> Callable[[Person], dict[str, Any]]:
    def run(person: Person) -> dict[str, Any]:
        answer = client.post("/v1/auth/login", json=person.credentials)
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = json.loads(answer.text)
        return tokens

    return run
