"""The HTTP conventions: every error a problem, tokens checked, keys asked for."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask import Flask
from flask.testing import FlaskClient
from flask_smorest import Blueprint
from marshmallow import fields

from octoco.database import Database
from octoco.errors import Refusal, Unavailable
from octoco.http import HttpParts, authenticated, create_app, current_user, idempotent
from octoco.http.schemas import AmountField, StrictSchema
from octoco.ids import new_id
from octoco.money import Money
from octoco.testing import FakeIdempotencyKeys, FakeUnitsOfWork

KEY = Ed25519PrivateKey.generate()
USER = new_id("usr")


class Taken(Refusal):
    code = "taken"


class Keys:
    def find(self, kid: str) -> Any | None:
        return KEY.public_key() if kid == "one" else None


class Unit:
    def __init__(self) -> None:
        self.idempotency_keys = FakeIdempotencyKeys()
        self.made: list[str] = []


class Body(StrictSchema):
    amount = AmountField(required=True)
    note = fields.String()


@pytest.fixture
def unit() -> Unit:
    return Unit()


@pytest.fixture
def client(unit: Unit) -> FlaskClient:
    return _application(unit).test_client()


def _application(unit: Unit) -> Flask:
    routes = Blueprint("probe", __name__)
    units: Any = FakeUnitsOfWork(unit)

    @routes.route("/things", methods=["POST"])
    @authenticated()
    @routes.arguments(Body)
    def make(body: dict[str, Any]) -> tuple[dict[str, Any], int]:
        Money.parse(body["amount"], "ZAR")

        def work(open_unit: Any) -> str:
            open_unit.made.append(body["amount"])
            return f"thing_{len(open_unit.made)}"

        thing, repeated = idempotent(units, work)
        return {"id": thing, "repeated": repeated, "user": current_user().user_id}, 201

    @routes.route("/admin", methods=["GET"])
    @authenticated(role="admin")
    def admin() -> dict[str, str]:
        return {"status": "in"}

    @routes.route("/desk", methods=["GET"])
    @authenticated(role=frozenset({"admin", "support"}))
    def desk() -> dict[str, str]:
        return {"status": "in"}

    failures: dict[str, Callable[[], Exception]] = {
        "taken": lambda: Taken("It is taken.", field="name"),
        "away": lambda: Unavailable("Away.", retry_after_seconds=7),
        "bug": lambda: RuntimeError("secret detail"),
    }

    @routes.route("/fail/<kind>", methods=["GET"])
    def fail(kind: str) -> None:
        raise failures[kind]()  # noqa: RSE102 - a factory

    @routes.route("/entity/<entity_id:thing>", methods=["GET"])
    def entity(thing: str) -> dict[str, str]:
        return {"thing": thing}

    return create_app(
        HttpParts(
            service="probe",
            title="Probe",
            database=Database("postgresql://nobody@127.0.0.1:1/none", application_name="probe"),
            token_keys=Keys(),
            blueprints=[routes],
            refusal_status={Taken: 409},
        )
    )


def token(*, key: Any = KEY, kid: str = "one", algorithm: str = "EdDSA", **claims: Any) -> str:
    now = datetime.now(UTC)
    body = {
        "iss": "octoco-accounts",
        "aud": "octoco",
        "sub": USER,
        "sid": "ses_1",
        "jti": "tok_1",
        "roles": [],
        "type": "access",
        "fresh": False,
        "iat": now,
        "nbf": now,
        "exp": now + timedelta(minutes=15),
        **claims,
    }
    return jwt.encode(body, key, algorithm=algorithm, headers={"kid": kid})


def post(client: FlaskClient, body: Any, **headers: str) -> Any:
    given = {
        "Authorization": f"Bearer {token()}",
        "Idempotency-Key": "k1",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    sent = body if isinstance(body, str | bytes) else json.dumps(body)
    return client.post(
        "/things",
        data=sent,
        headers={name: value for name, value in given.items() if value},
        content_type="application/json",
    )


def assert_problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    assert answer.json["code"] == code
    assert answer.json["status"] == status
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]
    assert answer.headers["Cache-Control"] == "no-store"
    return dict(answer.json)


def test_a_good_request_makes_the_thing_once(client: FlaskClient, unit: Unit) -> None:
    first = post(client, {"amount": "10.00"})
    assert (first.status_code, first.json["repeated"], first.json["user"]) == (201, False, USER)
    again = post(client, '{ "amount" : "10.00" }')
    assert (again.json["id"], again.json["repeated"]) == (first.json["id"], True)
    assert unit.made == ["10.00"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ('{"amount": "10.00"', 400, "malformed_json"),
        ("[" * 100_000, 400, "malformed_json"),
        ("", 422, "invalid_request"),
        ([], 422, "invalid_request"),
        ({}, 422, "invalid_request"),
        ({"amount": 10.0}, 422, "invalid_request"),
        ({"amount": 10}, 422, "invalid_request"),
        ({"amount": None}, 422, "invalid_request"),
        ('{"amount": ' + "9" * 10_000 + "}", 400, "malformed_json"),
        ('{"amount": NaN}', 422, "invalid_request"),
        ({"amount": "10.00", "note": "\x00"}, 422, "invalid_request"),
        ('{"amount": "10.00", "note": "\\ud800"}', 422, "invalid_request"),
        ({"amount": "10.00", "role": "admin"}, 422, "invalid_request"),
        ({"amount": "10.001"}, 422, "invalid_amount"),
        ({"amount": "ten"}, 422, "invalid_amount"),
        ("x" * (2 * 1024 * 1024), 413, "body_too_large"),
    ],
)
def test_a_bad_body_is_a_problem_and_has_no_effect(
    client: FlaskClient, unit: Unit, body: Any, status: int, code: str
) -> None:
    assert_problem(post(client, body), status, code)
    assert unit.made == []


def test_validation_names_each_field(client: FlaskClient) -> None:
    problem = assert_problem(post(client, {"note": 5}), 422, "invalid_request")
    assert {error["field"] for error in problem["errors"]} == {"amount", "note"}


def test_a_body_of_another_type_is_refused(client: FlaskClient) -> None:
    answer = client.post(
        "/things", data="amount=10", headers={"Authorization": f"Bearer {token()}"}
    )
    assert_problem(answer, 415, "unsupported_media_type")


def test_a_missing_or_malformed_key_is_asked_for(client: FlaskClient, unit: Unit) -> None:
    assert_problem(
        post(client, {"amount": "1.00"}, Idempotency_Key=""), 400, "idempotency_key_missing"
    )
    assert_problem(
        post(client, {"amount": "1.00"}, Idempotency_Key="a b"), 400, "idempotency_key_malformed"
    )
    assert unit.made == []


def test_a_key_with_another_body_is_refused(client: FlaskClient, unit: Unit) -> None:
    post(client, {"amount": "1.00"})
    assert_problem(post(client, {"amount": "2.00"}), 422, "idempotency_key_reused")
    assert unit.made == ["1.00"]


_OTHER = Ed25519PrivateKey.generate()
_PUBLIC = KEY.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "token_missing"),
        ("Basic abc", "token_missing"),
        ("Bearer", "token_invalid"),
        ("Bearer a.b.c", "token_invalid"),
        ("Bearer " + token(kid="other"), "token_invalid"),
        ("Bearer " + token(key=_OTHER), "token_invalid"),
        ("Bearer " + token(key=_PUBLIC, algorithm="HS256"), "token_invalid"),
        ("Bearer " + token(key=None, algorithm="none"), "token_invalid"),
        ("Bearer " + token(aud="else"), "token_invalid"),
        ("Bearer " + token(iss="else"), "token_invalid"),
        ("Bearer " + token(type="refresh"), "token_invalid"),
        ("Bearer " + token(exp=datetime.now(UTC) - timedelta(seconds=1)), "token_expired"),
    ],
)
def test_no_token_but_a_valid_one_is_let_in(
    client: FlaskClient, unit: Unit, header: str, code: str
) -> None:
    problem = post(client, {"amount": "1.00"}, Authorization=header)
    assert_problem(problem, 401, code)
    assert problem.headers["WWW-Authenticate"].startswith("Bearer")
    assert unit.made == []


def test_a_role_is_needed_where_one_is_asked_for(client: FlaskClient) -> None:
    assert_problem(
        client.get("/admin", headers={"Authorization": f"Bearer {token()}"}), 403, "forbidden"
    )
    admitted = client.get("/admin", headers={"Authorization": f"Bearer {token(roles=['admin'])}"})
    assert admitted.status_code == 200


def test_one_of_several_roles_is_enough(client: FlaskClient) -> None:
    for roles, status in ((["admin"], 200), (["user", "support"], 200), (["user"], 403), ([], 403)):
        answer = client.get("/desk", headers={"Authorization": f"Bearer {token(roles=roles)}"})
        assert answer.status_code == status


def test_what_does_not_exist_is_a_problem_too(client: FlaskClient) -> None:
    assert_problem(client.get("/nowhere"), 404, "not_found")
    assert_problem(client.get("/entity/%00"), 404, "not_found")
    wrong_method = client.delete("/things")
    assert_problem(wrong_method, 405, "method_not_allowed")
    assert "POST" in wrong_method.headers["Allow"]


def test_refusals_outages_and_bugs_have_their_answers(client: FlaskClient) -> None:
    assert assert_problem(client.get("/fail/taken"), 409, "taken")["field"] == "name"
    away = client.get("/fail/away")
    assert_problem(away, 503, "unavailable")
    assert away.headers["Retry-After"] == "7"
    bug = client.get("/fail/bug")
    assert_problem(bug, 500, "internal_error")
    assert "secret detail" not in bug.text


def test_health_says_live_and_not_ready_without_a_database(client: FlaskClient) -> None:
    assert client.get("/health/live").json == {"status": "live"}
    ready = client.get("/health/ready")
    assert ready.status_code == 503
    assert b'"database":"missing"' in ready.data
    assert b"octoco_http_request_seconds" in client.get("/metrics").data


def test_a_made_up_request_id_is_replaced(client: FlaskClient) -> None:
    assert (
        client.get("/nowhere", headers={"X-Request-Id": "good-id-1"}).headers["X-Request-Id"]
        == "good-id-1"
    )
    assert (
        client.get("/nowhere", headers={"X-Request-Id": 'x"\\'})
        .headers["X-Request-Id"]
        .startswith("req_")
    )
