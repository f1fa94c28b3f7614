"""The gateway's routes: own bank accounts, and webhooks that nobody of ours signed."""

from typing import Any

import psycopg2
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from octoco.errors import Refusal
from octoco.ids import new_id
from octoco.testing.provisions import ProvisionedSchema
from payments_gateway.bootstrap import Gateway
from payments_gateway.domain import errors
from payments_gateway.entrypoints.http import REFUSAL_STATUS, make_app, openapi

from .people import TestKeys

NEW_ACCOUNT = {
    "account_holder": "Thandi Nkosi",
    "bank_name": "First Bank",
    "branch_code": "250655",
    "account_number": "6200 0000 001",
    "account_type": "cheque",
}


@pytest.fixture
def client(gateway: Gateway, token_keys: TestKeys) -> FlaskClient:
    return make_app(gateway, token_keys=token_keys).test_client()


@pytest.fixture
def bearer(token_keys: TestKeys) -> dict[str, str]:
    return token_keys.bearer(new_id("usr"))


def assert_problem(answer: TestResponse, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.get_data(as_text=True)
    assert answer.content_type == "application/problem+json"
    body: dict[str, Any] = answer.get_json(force=True)
    assert body["code"] == code
    return body


def test_a_bank_account_is_added_listed_shown_and_removed(
    client: FlaskClient, bearer: dict[str, str]
) -> None:
    added = client.post("/v1/bank-accounts", json=NEW_ACCOUNT, headers=bearer)
    assert added.status_code == 201
    account = added.get_json()
    assert (account["masked_number"], account["status"]) == ("****0001", "verified")
    assert "62000000001" not in added.get_data(as_text=True)
    assert client.get("/v1/bank-accounts", headers=bearer).get_json() == {"items": [account]}
    path = f"/v1/bank-accounts/{account['id']}"
    assert client.get(path, headers=bearer).get_json() == account
    assert client.delete(path, headers=bearer).status_code == 204
    assert_problem(client.get(path, headers=bearer), 404, "bank_account_not_found")
    assert_problem(client.delete(path, headers=bearer), 404, "bank_account_not_found")
    assert client.get("/v1/bank-accounts", headers=bearer).get_json() == {"items": []}


def test_another_users_bank_account_is_not_found(
    client: FlaskClient, bearer: dict[str, str], token_keys: TestKeys
) -> None:
    account = client.post("/v1/bank-accounts", json=NEW_ACCOUNT, headers=bearer).get_json()
    path, stranger = f"/v1/bank-accounts/{account['id']}", token_keys.bearer(new_id("usr"))
    assert_problem(client.get(path, headers=stranger), 404, "bank_account_not_found")
    assert_problem(client.delete(path, headers=stranger), 404, "bank_account_not_found")
    assert client.get(path, headers=bearer).status_code == 200


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"branch_code": "12"}, "invalid_bank_account"),
        ({"account_number": "12"}, "invalid_bank_account"),
        ({"account_number": 62000000001}, "invalid_request"),
        ({"account_number": None}, "invalid_request"),
        ({"account_type": "gold"}, "invalid_bank_account"),
        ({"bank_name": "\x00"}, "invalid_request"),
        ({"bank_name": "x" * 300}, "invalid_request"),
        ({"user_id": "usr_x"}, "invalid_request"),
    ],
)
def test_what_is_no_bank_account_is_refused(
    client: FlaskClient, bearer: dict[str, str], changes: dict[str, Any], code: str
) -> None:
    answer = client.post("/v1/bank-accounts", json={**NEW_ACCOUNT, **changes}, headers=bearer)
    assert_problem(answer, 422, code)
    assert client.get("/v1/bank-accounts", headers=bearer).get_json() == {"items": []}


def test_without_a_token_nothing_is_shown(client: FlaskClient) -> None:
    assert_problem(client.get("/v1/bank-accounts"), 401, "token_missing")
    bad = {"Authorization": "Bearer nonsense"}
    assert_problem(client.get("/v1/bank-accounts", headers=bad), 401, "token_invalid")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "webhook_signature_missing"),
        ({"X-Signature": ""}, "webhook_signature_missing"),
        ({"X-Signature": "bm9ib2R5"}, "webhook_signature_invalid"),
    ],
)
def test_an_unsigned_webhook_is_refused_with_a_problem(
    client: FlaskClient, gateway: Gateway, headers: dict[str, str], code: str
) -> None:
    gateway.register_webhook()
    answer = client.post(
        "/webhooks/revio", data=b'{"event_type": "purchase.paid"}', headers=headers
    )
    assert_problem(answer, 401, code)
    assert gateway.database.statement("SELECT 1 FROM webhook_deliveries", {}) == []


def test_refused_webhooks_are_kept_within_a_bound(
    client: FlaskClient, gateway: Gateway, schema: ProvisionedSchema
) -> None:
    # The numbers 1000, 2000 and 3000 share one place in the ring.
    for number in (999, 1999, 2999):
        owner = psycopg2.connect(schema.owner_url)
        with owner, owner.cursor() as cursor:
            cursor.execute("SELECT setval('refused_webhooks_number', %s)", (number,))
        owner.close()
        client.post("/webhooks/revio", data=b"x" * 100_000)
    (kept,) = gateway.database.statement(
        "SELECT count(*) AS rows, max(length(body)) AS bytes FROM refused_webhooks", {}
    )
    assert (kept.rows, kept.bytes) == (1, 4096)


def test_a_body_that_is_too_large_is_refused(client: FlaskClient) -> None:
    answer = client.post("/webhooks/revio", data=b"x" * 5_000_000)
    assert_problem(answer, 413, "body_too_large")


def test_a_webhook_before_our_keys_are_known_is_asked_for_again(
    client: FlaskClient, gateway: Gateway
) -> None:
    gateway.database.statement("DELETE FROM webhook_registrations", {})
    gateway.database.statement("UPDATE webhook_key_readings SET claimed_at = now()", {})
    headers = {"X-Signature": "bm9ib2R5"}
    answer = client.post("/webhooks/revio", data=b"{}", headers=headers)
    assert_problem(answer, 503, "unavailable")


def test_every_refusal_of_the_domain_has_its_status() -> None:
    ours = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, Refusal) and kind is not Refusal
    }
    assert ours == set(REFUSAL_STATUS)


def test_the_api_document_names_every_route() -> None:
    assert set(openapi()["paths"]) == {
        "/v1/bank-accounts",
        "/v1/bank-accounts/{bank_account_id}",
        "/webhooks/revio",
    }
