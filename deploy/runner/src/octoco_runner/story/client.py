"""The person's side of the API, and what else they use: their mailbox and the checkout page."""

import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from octoco_runner.errors import StoryFailed
from octoco_runner.http_session import direct_session

TIMEOUT_SECONDS = 30.0
# A busy machine may answer "not now"; a person would try again, and so does the story.
TRY_AGAIN = frozenset({429, 502, 503, 504})
TRIES_MAX = 8
RETRY_AFTER_SECONDS_MAX = 5.0


@dataclass(frozen=True)
class Answer:
    """One HTTP answer; `body` is empty when it was no JSON."""

    status: int
    kind: str
    body: dict[str, Any]

    @property
    def problem(self) -> str:
        """The code of a problem; what came instead when it is none."""
        if self.kind != "application/problem+json":
            return f"status {self.status}, {self.kind or 'no content'}"
        return str(self.body.get("code"))

    def require(self, status: int, *, what: str) -> dict[str, Any]:
        """The body, when the status is the one the rest of the story stands on.

        Raises:
            StoryFailed: it is another one.
        """
        if self.status != status:
            raise StoryFailed(f"{what}: answered {self.status} instead of {status}: {self.body}")
        return self.body


class Api:
    """The public API behind the gateway, as one person."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._session = direct_session()

    def sign_in(self, access_token: str) -> None:
        self._session.headers["Authorization"] = f"Bearer {access_token}"

    def get(self, path: str, **query: str) -> Answer:
        return self._send("GET", path, params=query)

    def post(
        self,
        path: str,
        body: Mapping[str, object],
        *,
        key: str | None = None,
        wait_seconds: int = 0,
    ) -> Answer:
        """POST `body`; with `key` as its Idempotency-Key, and asking to wait for the result."""
        headers = {"Idempotency-Key": key} if key else {}
        if wait_seconds:
            headers["Prefer"] = f"wait={wait_seconds}"
        return self._send("POST", path, json=body, headers=headers)

    def _send(self, method: str, path: str, **arguments: Any) -> Answer:
        answer = _sent(self._session, method, self._url + path, arguments)
        tries = 1
        while answer.status_code in TRY_AGAIN and tries < TRIES_MAX:
            pause = answer.headers.get("Retry-After", "1")
            time.sleep(min(float(pause), RETRY_AFTER_SECONDS_MAX) if pause.isdigit() else 1)
            answer = _sent(self._session, method, self._url + path, arguments)
            tries += 1
        return _answer_of(answer)


class Sandbox:
    """Revio's sandbox: the checkout page as a payer uses it, and its control."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def open_checkout(self, checkout_url: str) -> int:
        return _sent(direct_session(), "GET", checkout_url, {}).status_code

    def pay(self, checkout_url: str, *, card_number: str, cvc: str) -> str:
        """Fill in the checkout form and send it.

        Returns:
            "paid", or the reason the page names when the card was refused.
        """
        form = {
            "card_number": card_number,
            "cardholder_name": "Thandi Nkosi",
            "expires": f"12/{(time.gmtime().tm_year + 2) % 100:02d}",
            "cvc": cvc,
        }
        answer = _sent(
            direct_session(), "POST", checkout_url, {"data": form, "allow_redirects": False}
        )
        if answer.status_code != requests.codes.see_other:
            raise StoryFailed(f"The checkout answered {answer.status_code} to a card.")
        page = _sent(direct_session(), "GET", checkout_url, {})
        found = re.search(r'data-error-code="([^"]*)"', page.text)
        return found.group(1) if found else "paid"

    def control(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        answer = _sent(direct_session(), "POST", f"{self._url}/control/{path}", {"json": body})
        if not answer.ok:
            raise StoryFailed(f"The sandbox refused {path}: {answer.text[:300]}")
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found

    def look(self, path: str, **query: str) -> list[dict[str, Any]]:
        answer = _sent(direct_session(), "GET", f"{self._url}/control/{path}", {"params": query})
        found: list[dict[str, Any]] = answer.json()["results"]
        return found


class Mailbox:
    """The person's mails."""

    def __init__(self, url: str, address: str) -> None:
        self._url = url.rstrip("/")
        self._address = address

    def mails(self) -> list[dict[str, Any]]:
        """All of them, newest first."""
        query = {"params": {"to": self._address}}
        answer = _sent(direct_session(), "GET", f"{self._url}/api/messages", query)
        found: list[dict[str, Any]] = answer.json()["messages"]
        return found

    def count_saying(self, *words: str) -> int:
        """How many mails hold all of `words` in subject or text."""
        return sum(
            all(
                word.casefold() in f"{mail['subject']}\n{mail['text']}".casefold() for word in words
            )
            for mail in self.mails()
        )


def new_key() -> str:
    """A fresh Idempotency-Key."""
    return str(uuid.uuid4())


def _sent(
    session: requests.Session, method: str, url: str, arguments: dict[str, Any]
) -> requests.Response:
    try:
        return session.request(method, url, timeout=TIMEOUT_SECONDS, **arguments)
    except requests.RequestException as error:
        where = url.partition("?")[0]
        raise StoryFailed(f"{method} {where} failed: {type(error).__name__}") from error


def _answer_of(response: requests.Response) -> Answer:
    kind = response.headers.get("Content-Type", "").partition(";")[0]
    try:
        body = response.json()
    except ValueError:
        body = {}
    return Answer(response.status_code, kind, body if isinstance(body, dict) else {"items": body})
