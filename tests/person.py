"""A person in an end-to-end test: what they do through the gateway, the checkout and their mail."""

import re
import secrets
import time
import uuid
from collections.abc import Mapping
from typing import Any

import requests

from octoco.testing import eventually

TIMEOUT_SECONDS = 30
CARD = "4444333322221111"


class Person:
    """Somebody with an e-mail address, and in time with a session."""

    def __init__(self, gateway: str, sandbox: str, mailbox: str) -> None:
        self.gateway, self.sandbox, self.mailbox = gateway, sandbox, mailbox
        self.email = f"person.{secrets.token_hex(8)}@example.com"
        self.password = secrets.token_urlsafe(24)
        self.tokens: dict[str, Any] = {}

    # ---- plain HTTP ----

    def send(self, method: str, path: str, **arguments: Any) -> requests.Response:
        headers = dict(arguments.pop("headers", {}))
        if self.tokens:
            headers.setdefault("Authorization", f"Bearer {self.tokens['access_token']}")
        return requests.request(
            method, self.gateway + path, headers=headers, timeout=TIMEOUT_SECONDS, **arguments
        )

    def get(self, path: str) -> requests.Response:
        return self.send("GET", path)

    def post(
        self, path: str, body: Mapping[str, Any] | None = None, *, key: str | None = None
    ) -> requests.Response:
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        return self.send("POST", path, json=body, headers=headers)

    def control(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        answer = requests.post(
            f"{self.sandbox}/control/{path}", json=body or {}, timeout=TIMEOUT_SECONDS
        )
        assert answer.ok, answer.text
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found

    def look(self, path: str, **query: str) -> list[dict[str, Any]]:
        answer = requests.get(
            f"{self.sandbox}/control/{path}", params=query, timeout=TIMEOUT_SECONDS
        )
        assert answer.ok, answer.text
        found: list[dict[str, Any]] = answer.json()["results"]
        return found

    # ---- what a person does ----

    def register(self) -> None:
        body = {"email": self.email, "password": self.password, "full_name": "Sipho Dlamini"}
        assert self.post("/v1/auth/register", body).status_code == 202
        token = eventually(self._verification_token, within_seconds=30, what="a verification mail")
        assert self.post("/v1/auth/verify-email", {"token": token}).status_code == 200
        login = self.post("/v1/auth/login", {"email": self.email, "password": self.password})
        assert login.status_code == 200, login.text
        self.tokens = login.json()
        eventually(lambda: self.get("/v1/balance").ok, within_seconds=30, what="a known wallet")

    def mails(self) -> list[dict[str, Any]]:
        answer = requests.get(
            f"{self.mailbox}/api/messages", params={"to": self.email}, timeout=TIMEOUT_SECONDS
        )
        found = answer.json()
        listed: list[dict[str, Any]] = found if isinstance(found, list) else found["messages"]
        return listed

    def mail_subjects(self) -> list[str]:
        return [str(mail["subject"]) for mail in self.mails()]

    def balance(self) -> tuple[str, str]:
        for entry in self.get("/v1/balance").json()["balances"]:
            if entry["currency"] == "ZAR":
                return entry["available"], entry["held"]
        raise AssertionError("no ZAR balance")

    def transaction(self, transaction_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/v1/transactions/{transaction_id}").json()
        return found

    def until_status(
        self, transaction_id: str, status: str, *, within_seconds: float = 40
    ) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            found = self.transaction(transaction_id)
            return found if found["status"] == status else None

        return eventually(
            reached, within_seconds=within_seconds, what=f"status {status} of {transaction_id}"
        )

    def ask_deposit(self, amount: str = "250.00") -> dict[str, Any]:
        answer = self.post("/v1/deposits", {"amount": amount, "currency": "ZAR"})
        assert answer.status_code in {201, 202}, answer.text
        deposit = answer.json()["id"]
        return eventually(
            lambda: (t := self.transaction(deposit)).get("checkout_url") and t,
            within_seconds=30,
            what="a checkout_url",
        )

    def pay(self, checkout_url: str, *, cvc: str = "123") -> requests.Response:
        form = {
            "card_number": CARD,
            "cardholder_name": "Sipho Dlamini",
            "expires": f"12/{(time.gmtime().tm_year + 2) % 100}",
            "cvc": cvc,
        }
        answer = requests.post(
            checkout_url, data=form, timeout=TIMEOUT_SECONDS, allow_redirects=False
        )
        assert answer.status_code == 303, answer.text
        return answer

    def deposit(self, amount: str = "250.00") -> dict[str, Any]:
        asked = self.ask_deposit(amount)
        self.pay(asked["checkout_url"])
        return self.until_status(asked["id"], "completed")

    def add_bank_account(self, number: str = "62000000123") -> str:
        body = {
            "account_holder": "Sipho Dlamini",
            "bank_name": "First National Bank",
            "branch_code": "250655",
            "account_number": number,
            "account_type": "savings",
        }
        answer = self.post("/v1/bank-accounts", body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def withdraw(self, amount: str, bank_account_id: str) -> requests.Response:
        body = {"amount": amount, "currency": "ZAR", "bank_account_id": bank_account_id}

        answers: list[requests.Response] = []

        def answered() -> bool:
            answers.append(self.post("/v1/withdrawals", body))
            # The wallet hears of the account by an event.
            return answers[-1].ok or "bank_account" not in answers[-1].json()["code"]

        eventually(answered, within_seconds=30, what="a known bank account")
        return answers[-1]

    def _verification_token(self) -> str | None:
        for mail in self.mails():
            found = re.search(r"(evt_[A-Za-z0-9_-]{20,})", str(mail["text"]))
            if found:
                return found.group(1)
        return None


def purchase_of(transaction: Mapping[str, Any]) -> str:
    """Revio's id of the purchase behind a deposit: .../p/{id}/."""
    return str(transaction["checkout_url"]).rstrip("/").rsplit("/", 1)[-1]
