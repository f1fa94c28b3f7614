"""Bad input at the public door: a problem with a stable code, never a 500, and no effect."""

import base64
import json
import time
import uuid
from typing import Any

import pytest
import requests

from octoco.testing import eventually

from ..person import Person, purchase_of
from ..system import System

AMOUNTS: list[tuple[Any, int, str]] = [
    ("-1.00", 422, "invalid_amount"),
    ("0.00", 422, "invalid_amount"),
    ("10.001", 422, "invalid_amount"),
    ("9999999999999.00", 422, "invalid_amount"),
    ("1" * 5000, 422, "invalid_amount"),
    (10.5, 422, "invalid_request"),
    (10, 422, "invalid_request"),
    (None, 422, "invalid_request"),
    (True, 422, "invalid_request"),
    ("ten", 422, "invalid_amount"),
    ("", 422, "invalid_amount"),
    ("NaN", 422, "invalid_amount"),
    ("1e3", 422, "invalid_amount"),
]


@pytest.fixture(scope="module")
def somebody(system: System) -> Person:
    person = Person(system.gateway, system.sandbox, system.mailbox)
    person.register()
    return person


def assert_problem(answer: requests.Response, status: int, code: str | None = None) -> None:
    assert answer.status_code == status, answer.text[:500]
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert code is None or body["code"] == code, body
    assert body["request_id"]


@pytest.mark.parametrize("path", ["/v1/deposits", "/v1/withdrawals"])
@pytest.mark.parametrize(("amount", "status", "code"), AMOUNTS, ids=lambda v: repr(v)[:20])
def test_a_bad_amount_is_refused(
    somebody: Person, path: str, amount: Any, status: int, code: str
) -> None:
    body = {"amount": amount, "currency": "ZAR"}
    if path == "/v1/withdrawals":
        body["bank_account_id"] = "ba_01M81MC0PZXW474ABCSFK0V731"
    assert_problem(somebody.post(path, body), status, code)
    assert somebody.get("/v1/transactions").json()["items"] == []


@pytest.mark.parametrize("currency", ["zar", "XXZ", "USDT", "", 710, None])
def test_a_wrong_currency_is_refused(somebody: Person, currency: Any) -> None:
    answer = somebody.post("/v1/deposits", {"amount": "10.00", "currency": currency})
    assert_problem(answer, 422)


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer x", "Bearer a.b.c", "Basic dXNlcjpwYXNz", "Bearer \t"]
)
@pytest.mark.parametrize("path", ["/v1/balance", "/v1/transactions", "/v1/me", "/v1/bank-accounts"])
def test_without_a_valid_token_nothing_is_shown(
    somebody: Person, authorization: str, path: str
) -> None:
    answer = somebody.send("GET", path, headers={"Authorization": authorization})
    assert_problem(answer, 401)


def test_a_token_signed_by_somebody_else_is_refused(somebody: Person) -> None:
    header, payload, signature = somebody.tokens["access_token"].split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims["roles"] = ["admin"]
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    token = f"Bearer {header}.{forged}.{signature}"
    answer = somebody.send("GET", "/v1/balance", headers={"Authorization": token})
    assert_problem(answer, 401, "token_invalid")


@pytest.mark.parametrize(
    ("sent", "content_type", "status", "code"),
    [
        (b'{"amount": "10.00", ', "application/json", 400, "malformed_json"),
        (b"[" * 50_000, "application/json", 400, "malformed_json"),
        (b"\xff\xfe", "application/json", 400, "malformed_json"),
        (b"[]", "application/json", 422, "invalid_request"),
        (b'"x"', "application/json", 422, "invalid_request"),
        (b"amount=10.00", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b'{"amount": "10.00"}', "text/plain", 415, "unsupported_media_type"),
        (b"x" * (5 * 1024 * 1024), "application/json", 413, "body_too_large"),
        (b'{"amount":"10.00","currency":"ZAR","x":1}', "application/json", 422, "invalid_request"),
        (b'{"amount":"10.00","currency":"Z\\u0000R"}', "application/json", 422, "invalid_request"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_a_bad_body_is_refused(
    somebody: Person, sent: bytes, content_type: str, status: int, code: str
) -> None:
    answer = somebody.send(
        "POST",
        "/v1/deposits",
        data=sent,
        headers={"Content-Type": content_type, "Idempotency-Key": str(uuid.uuid4())},
    )
    assert_problem(answer, status, code)
    assert somebody.get("/v1/transactions").json()["items"] == []


def test_a_missing_idempotency_key_is_asked_for(somebody: Person) -> None:
    answer = somebody.send("POST", "/v1/deposits", json={"amount": "10.00", "currency": "ZAR"})
    assert_problem(answer, 400, "idempotency_key_missing")


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v1/nothing", "/metrics", "/internal/x", "/v1/admin/users", "/v1/../metrics"],
)
def test_what_is_not_public_is_not_there(somebody: Person, path: str) -> None:
    assert_problem(somebody.get(path), 404, "not_found")


@pytest.mark.parametrize("id", ["txn_1", "%00", "' OR 1=1--", "txn_" + "0" * 26, "x" * 3000])
def test_a_strange_id_is_not_found(somebody: Person, id: str) -> None:
    answer = somebody.get(f"/v1/transactions/{id}")
    # nginx itself refuses a NUL in a path.
    assert_problem(answer, 400 if "%00" in id else 404)


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=x", "limit=100000", "cursor=%00", "cursor=abc", "kind=theft"],
)
def test_a_strange_query_is_refused(somebody: Person, query: str) -> None:
    answer = somebody.get(f"/v1/transactions?{query}")
    assert answer.status_code in {400, 422}, answer.text
    assert_problem(answer, answer.status_code)


@pytest.mark.parametrize("signature", ["invalid", "missing", "foreign"])
def test_a_webhook_that_revio_did_not_sign_has_no_effect(
    somebody: Person, system: System, signature: str
) -> None:
    asked = somebody.ask_deposit("15.00")
    before = somebody.balance()
    answers = somebody.control(
        "webhooks/send",
        {
            "event": "purchase.paid",
            "object_id": purchase_of(asked),
            "status": "created",
            "changes": {"status": "paid"},
            "signature": signature,
        },
    )
    assert answers is not None
    eventually(
        lambda: [
            delivery
            for delivery in somebody.look("deliveries", object_id=purchase_of(asked))
            if delivery.get("last_status") == 401
        ],
        within_seconds=20,
        what="a webhook answered with 401",
    )
    assert somebody.balance() == before


def test_a_webhook_posted_by_a_stranger_is_a_problem(system: System) -> None:
    url = f"{system.gateway}/webhooks/revio"
    for headers in ({}, {"X-Signature": "AAAA"}, {"X-Signature": "not base64 at all"}):
        answer = requests.post(
            url, data=b'{"event_type": "purchase.paid"}', headers=headers, timeout=10
        )
        assert_problem(answer, 401)


def test_problems_are_counted(somebody: Person, system: System) -> None:
    somebody.send("POST", "/v1/deposits", json={"amount": "10.00", "currency": "ZAR"})
    began = time.monotonic()
    port = next(
        line for line in _wallet_metrics(system).splitlines() if "idempotency_key_missing" in line
    )
    assert float(port.rsplit(" ", 1)[1]) >= 1
    assert time.monotonic() - began < 10


def _wallet_metrics(system: System) -> str:
    port = 8102 + int(system.gateway.rsplit(":", 1)[1]) - 8080
    return requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text


def test_a_large_body_that_is_refused_harms_nobody(somebody: Person) -> None:
    # A service that answered without reading the body would make the gateway answer 502, to this
    # client or to another one.
    large = b"x" * 900_000
    for _ in range(40):
        answer = requests.post(
            f"{somebody.gateway}/v1/deposits",
            data=large,
            headers={"Content-Type": "application/json"},
            timeout=10,
        )
        assert_problem(answer, 401)
        assert somebody.get("/v1/balance").status_code == 200


@pytest.mark.parametrize("path", ["/v1/auth/login", "/v1/deposits"])
def test_a_number_of_absurd_length_is_malformed(somebody: Person, path: str) -> None:
    answer = somebody.send(
        "POST",
        path,
        data='{"email": ' + "9" * 10_000 + "}",
        headers={"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())},
    )
    assert_problem(answer, 400, "malformed_json")
