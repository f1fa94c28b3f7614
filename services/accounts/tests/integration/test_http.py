"""The service through its HTTP door, on real PostgreSQL."""

import base64
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask.testing import FlaskClient

from accounts.adapters.tokens.signing_keys import SigningKeys, write_new_signing_key
from accounts.bootstrap import Accounts
from accounts.config import Settings

from .people import Person, bearer

NewPerson = Callable[[], Person]
LogIn = Callable[[Person], dict[str, Any]]


def code_of(answer: Any) -> tuple[int, str]:
    assert answer.content_type == "application/problem+json", answer.text
    return answer.status_code, answer.json["code"]


def body_of(answer: Any) -> Any:
    return answer.json


def test_the_story_from_registering_to_logging_out(
    client: FlaskClient, mailed_tokens: Callable[[str], list[str]]
) -> None:
    person = Person("Story.Person@Example.com", "travel by moonlight")
    body = {"email": person.email, "password": person.password, "full_name": "Story Person"}
    registered = client.post("/v1/auth/register", json=body)
    assert (registered.status_code, registered.json) == (202, {"status": "verification_sent"})
    assert code_of(client.post("/v1/auth/login", json=person.credentials)) == (
        403,
        "email_not_verified",
    )
    (token,) = mailed_tokens("Story.Person@example.com")
    assert client.post("/v1/auth/verify-email", json={"token": token}).status_code == 200

    login = client.post(
        "/v1/auth/login", json={**person.credentials, "email": person.email.upper()}
    )
    assert login.status_code == 200
    tokens = body_of(login)
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] in (899, 900)
    assert login.headers["Cache-Control"] == "no-store"

    me = body_of(client.get("/v1/me", headers=bearer(tokens["access_token"])))
    assert me["email"] == "Story.Person@example.com"
    assert (me["full_name"], me["roles"], me["email_verified"]) == ("Story Person", ["user"], True)
    renamed = client.patch(
        "/v1/me", json={"full_name": "S. Person"}, headers=bearer(tokens["access_token"])
    )
    assert body_of(renamed)["full_name"] == "S. Person"

    refreshed = body_of(
        client.post("/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    )
    out = client.post("/v1/auth/logout", headers=bearer(refreshed["access_token"]))
    assert (out.status_code, out.data) == (204, b"")
    assert code_of(client.get("/v1/me", headers=bearer(refreshed["access_token"]))) == (
        401,
        "session_revoked",
    )
    assert code_of(
        client.post("/v1/auth/refresh", json={"refresh_token": refreshed["refresh_token"]})
    ) == (401, "session_revoked")


def test_known_and_unknown_addresses_get_the_same_answers(
    client: FlaskClient, new_person: NewPerson
) -> None:
    known = new_person()
    answers = []
    for email in (known.email, "nobody-here@example.com"):
        body = {"email": email, "password": "a password nobody has", "full_name": "X"}
        answers.append(
            [
                (answer.status_code, {**(answer.json or {}), "request_id": None})
                for answer in (
                    client.post("/v1/auth/resend-verification", json={"email": email}),
                    client.post("/v1/auth/login", json={k: body[k] for k in ("email", "password")}),
                    client.post("/v1/auth/register", json=body),
                )
            ]
        )
    assert answers[0] == answers[1]


def test_a_verification_token_works_once(
    client: FlaskClient, mailed_tokens: Callable[[str], list[str]], new_person: NewPerson
) -> None:
    (token,) = mailed_tokens(new_person().email)
    again = client.post("/v1/auth/verify-email", json={"token": token})
    assert code_of(again) == (409, "verification_token_used")
    unknown = client.post("/v1/auth/verify-email", json={"token": "evt_guess"})
    assert code_of(unknown) == (422, "verification_token_invalid")


def test_a_person_proves_their_address_on_the_page(
    client: FlaskClient, mailed_tokens: Callable[[str], list[str]]
) -> None:
    email = "page-person@example.com"
    body = {"email": email, "password": "travel by night", "full_name": "Page Person"}
    client.post("/v1/auth/register", json=body)
    (token,) = mailed_tokens(email)
    page = client.get("/v1/auth/verify-email")
    assert (page.status_code, page.content_type) == (200, "text/html; charset=utf-8")
    assert 'action="/v1/auth/verify-email/form"' in page.text
    form = "/v1/auth/verify-email/form"
    done = client.post(form, data={"token": f" {token}\n"})
    assert (done.status_code, "is verified" in done.text) == (200, True)
    again = client.post(form, data={"token": token})
    assert (again.status_code, "used already" in again.text) == (409, True)
    assert token not in again.text
    wrong = client.post(form, data={"token": "<script>"})
    assert (wrong.status_code, "<script>" in wrong.text) == (422, False)
    assert code_of(client.post(form, data={})) == (422, "invalid_request")
    assert (
        client.post("/v1/auth/login", json={k: body[k] for k in ("email", "password")}).status_code
        == 200
    )


def test_a_wrong_password_is_refused(client: FlaskClient, new_person: NewPerson) -> None:
    wrong = {**new_person().credentials, "password": "not the password"}
    assert code_of(client.post("/v1/auth/login", json=wrong)) == (401, "invalid_credentials")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"email": "nowhere"}, "invalid_email"),
        ({"password": "short"}, "password_too_short"),
        ({"password": "x1" * 200}, "password_too_long"),
        ({"password": "Password2024!"}, "password_too_common"),
        ({"password": "thandi nkosi"}, "password_too_guessable"),
        ({"full_name": " "}, "invalid_full_name"),
        ({"role": "admin"}, "invalid_request"),
        ({"password": None}, "invalid_request"),
        ({"email": ["a@example.com"]}, "invalid_request"),
        ({"full_name": "a\x00b"}, "invalid_request"),
        ({"full_name": "a\ud800b"}, "invalid_request"),
    ],
)
def test_bad_registrations_are_refused_by_name(
    client: FlaskClient, changes: dict[str, Any], code: str
) -> None:
    body = {
        "email": "x@example.com",
        "password": "travel by moonlight",
        "full_name": "Thandi Nkosi",
    }
    assert code_of(client.post("/v1/auth/register", json={**body, **changes})) == (422, code)


def test_bad_bodies_are_problems(client: FlaskClient) -> None:
    route = "/v1/auth/login"
    assert code_of(client.post(route, data="{", content_type="application/json")) == (
        400,
        "malformed_json",
    )
    assert code_of(client.post(route, data="a=b", content_type="text/plain")) == (
        415,
        "unsupported_media_type",
    )
    big = json.dumps({"email": "a@example.com", "password": "x" * 5_000_000})
    assert code_of(client.post(route, data=big, content_type="application/json")) == (
        413,
        "body_too_large",
    )
    assert code_of(client.get(route)) == (405, "method_not_allowed")
    assert code_of(client.post("/v1/auth/nothing", json={})) == (404, "not_found")


def claims_now(**changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "iss": "octoco-accounts",
        "aud": "octoco",
        "sub": "usr_00000000000000000000000000",
        "sid": "ses_00000000000000000000000000",
        "jti": "tok_00000000000000000000000000",
        "roles": ["admin"],
        "type": "access",
        "iat": now,
        "exp": now + timedelta(minutes=5),
        **changes,
    }


def unsigned(claims: dict[str, Any], header: dict[str, Any]) -> str:
    def part(value: dict[str, Any]) -> str:
        return (
            base64.urlsafe_b64encode(json.dumps(value, default=str).encode()).decode().rstrip("=")
        )

    return f"{part(header)}.{part(claims)}."


def test_tokens_that_are_not_ours_are_refused(client: FlaskClient, service: Accounts) -> None:
    own = service.signing_keys.current
    foreign = Ed25519PrivateKey.generate()
    kid = {"kid": own.key_id}
    epoch = int(datetime.now(UTC).timestamp())
    bad = {
        "foreign key under our kid": jwt.encode(claims_now(), foreign, "EdDSA", headers=kid),
        "foreign kid": jwt.encode(claims_now(), foreign, "EdDSA", headers={"kid": "theirs"}),
        "jku": jwt.encode(
            claims_now(), foreign, "EdDSA", headers={"kid": "x", "jku": "http://127.0.0.1/keys"}
        ),
        "no kid": jwt.encode(claims_now(), own.private_key, "EdDSA"),
        "wrong audience": jwt.encode(
            claims_now(aud="others"), own.private_key, "EdDSA", headers=kid
        ),
        "wrong issuer": jwt.encode(claims_now(iss="x"), own.private_key, "EdDSA", headers=kid),
        "wrong type": jwt.encode(claims_now(type="refresh"), own.private_key, "EdDSA", headers=kid),
        "alg none": unsigned(
            claims_now(iat=epoch, exp=epoch + 300), {"alg": "none", "typ": "JWT", **kid}
        ),
        "text": "abc",
        "HMAC with the public key": jwt.encode(
            claims_now(), key_bytes(service), "HS256", headers=kid
        ),
    }
    for what, token in bad.items():
        answer = client.get("/v1/me", headers=bearer(token))
        assert (what, *code_of(answer)) == (what, 401, "token_invalid")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    expired = jwt.encode(
        claims_now(exp=datetime.now(UTC) - timedelta(seconds=1)),
        own.private_key,
        "EdDSA",
        headers=kid,
    )
    assert code_of(client.get("/v1/me", headers=bearer(expired))) == (401, "token_expired")
    assert code_of(client.get("/v1/me")) == (401, "token_missing")


def key_bytes(service: Accounts) -> bytes:
    return service.signing_keys.current.private_key.public_key().public_bytes_raw()  # type: ignore[union-attr]


def test_the_published_keys_verify_our_tokens(
    client: FlaskClient, new_person: NewPerson, log_in: LogIn
) -> None:
    token = log_in(new_person())["access_token"]
    answer = client.get("/.well-known/jwks.json")
    assert "max-age" in answer.headers["Cache-Control"]
    (published,) = body_of(answer)["keys"]
    assert set(published) == {"kty", "crv", "x", "kid", "use", "alg"}
    header = jwt.get_unverified_header(token)
    assert (header["kid"], header["alg"]) == (published["kid"], "EdDSA")
    claims = jwt.decode(
        token, jwt.PyJWK(published), ["EdDSA"], audience="octoco", issuer="octoco-accounts"
    )
    assert claims["type"] == "access"
    assert claims["roles"] == ["user"]
    assert claims["exp"] - claims["iat"] == 900


def test_tokens_of_the_old_key_stay_good_after_rotation(
    client: FlaskClient, settings: Settings, new_person: NewPerson, log_in: LogIn
) -> None:
    old = log_in(new_person())["access_token"]
    newest = write_new_signing_key(
        settings.token_signing_keys_dir, now=datetime.now(UTC) + timedelta(seconds=1)
    )
    patient = SigningKeys(settings.token_signing_keys_dir)
    at_once = SigningKeys(settings.token_signing_keys_dir, publish_first_seconds=-1)
    assert at_once.current.key_id == newest
    assert len(patient.all) == 2
    assert client.get("/v1/me", headers=bearer(old)).status_code == 200


def test_secrets_never_appear_in_logs_or_problems(
    client: FlaskClient,
    mailed_tokens: Callable[[str], list[str]],
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    password = "moonlight-secret-9341"
    email = "quiet-person@example.com"
    answers = []
    with caplog.at_level(logging.DEBUG):
        body = {"email": email, "password": password, "full_name": "Quiet Person"}
        answers.append(client.post("/v1/auth/register", json=body))
        answers.append(client.post("/v1/auth/register", json={**body, "extra": password}))
        (token,) = mailed_tokens(email)
        answers.append(client.post("/v1/auth/verify-email", json={"token": token}))
        answers.append(client.post("/v1/auth/verify-email", json={"token": token}))
        login = body_of(client.post("/v1/auth/login", json={"email": email, "password": password}))
        wrong = {"email": email, "password": password + "x"}
        answers.append(client.post("/v1/auth/login", json=wrong))
        refresh = {"refresh_token": login["refresh_token"]}
        after = body_of(client.post("/v1/auth/refresh", json=refresh))
        answers.append(client.get("/v1/me", headers=bearer(after["access_token"] + "x")))
    out = capsys.readouterr()
    seen = caplog.text + out.out + out.err + "".join(answer.text for answer in answers)
    for secret in (password, token, login["refresh_token"], login["access_token"],
                   after["refresh_token"], after["access_token"]):  # fmt: skip
        assert secret not in seen
