"""The story's chapters, in the order they are told."""

import re
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from octoco_runner.errors import StoryFailed
from octoco_runner.story.client import Answer, Api, Mailbox, Sandbox, new_key
from octoco_runner.story.record import Record, wait_for

FULL_NAME = "Thandi Nkosi"
CARD = "4444333322221111"
CVC = "123"
WRONG_CVC = "999"
GOOD_ACCOUNT_NUMBER = "62000000123"
# The sandbox's bank takes a payout to this number and then returns it.
FAILING_ACCOUNT_NUMBER = "62000900002"
DELIVERY_WAIT_SECONDS = 8


@dataclass
class Person:
    """Who the story is about, and all they touch."""

    api: Api
    sandbox: Sandbox
    record: Record
    mailbox_url: str
    email: str = field(default_factory=lambda: f"thandi.{secrets.token_hex(6)}@example.com")
    password: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def mailbox(self) -> Mailbox:
        return Mailbox(self.mailbox_url, self.email)

    def balance(self) -> str:
        """What is available and held, as "250.00 + 0.00 held"."""
        answer = self.api.get("/v1/balance", currency="ZAR")
        balances = [
            entry for entry in answer.body.get("balances", []) if entry["currency"] == "ZAR"
        ]
        if not balances:
            return f"no balance ({answer.problem})"
        return f"{balances[0]['available']} + {balances[0]['held']} held"

    def transaction(self, transaction_id: str) -> dict[str, Any]:
        return self.api.get(f"/v1/transactions/{transaction_id}").body

    def timeline(self, transaction_id: str) -> str:
        """What happened to a transaction, in order."""
        events = self.transaction(transaction_id).get("timeline", [])
        return ", ".join(str(event["cause"]) for event in events)

    def status_of(self, transaction_id: str) -> str:
        return str(self.transaction(transaction_id).get("status"))


def registering(person: Person) -> None:
    """Chapter 1: register, verify the address, log in, refresh the tokens."""
    api, record = person.api, person.record
    body = {"email": person.email, "password": person.password, "full_name": FULL_NAME}
    record.saw("Register", expected=202, saw=api.post("/v1/auth/register", body).status)
    token = _verification_token(person)
    record.saw("E-mail with a verification token", expected="yes", saw=_yes(token))
    verified = api.post("/v1/auth/verify-email", {"token": token})
    record.saw("Verify the address", expected=200, saw=verified.status)
    credentials = {"email": person.email, "password": person.password}
    session = api.post("/v1/auth/login", credentials).require(200, what="Log in")
    tokens = sorted(name for name in ("access_token", "refresh_token") if session.get(name))
    record.saw("Log in", expected="access_token refresh_token", saw=" ".join(tokens))
    # The old token is spent by this: from here on only its successor counts.
    refresh = {"refresh_token": session["refresh_token"]}
    renewed = api.post("/v1/auth/refresh", refresh).require(200, what="Refresh")
    record.saw(
        "Refresh: a new refresh token",
        expected="yes",
        saw=_yes(renewed["refresh_token"] != session["refresh_token"]),
    )
    api.sign_in(renewed["access_token"])
    me = api.get("/v1/me").body
    record.saw(
        "Who am I: address, verified",
        expected=f"{person.email}, True",
        saw=f"{me.get('email')}, {me.get('email_verified')}",
    )


def depositing(person: Person) -> str:
    """Chapter 2: pay in R250.00; the first card attempt fails, repeats change nothing.

    Returns:
        The deposit's id.
    """
    api, record, sandbox = person.api, person.record, person.sandbox
    key, body = new_key(), {"amount": "250.00", "currency": "ZAR"}
    deposit = _accepted(api.post("/v1/deposits", body, key=key, wait_seconds=5), what="Deposit")
    deposit_id = str(deposit["id"])
    repeat = _accepted(api.post("/v1/deposits", body, key=key), what="Deposit again")
    record.saw("The same request again is the same deposit", expected=deposit_id, saw=repeat["id"])
    checkout_url = wait_for(
        lambda: str(person.transaction(deposit_id).get("checkout_url") or ""), bool
    )
    if not checkout_url:
        raise StoryFailed("The deposit got no checkout_url.")
    record.saw("Open the checkout page", expected=200, saw=sandbox.open_checkout(checkout_url))
    refused = sandbox.pay(checkout_url, card_number=CARD, cvc=WRONG_CVC)
    record.saw("First card attempt is refused", expected="validation_cvc_invalid", saw=refused)
    record.waited_for(
        "The deposit's timeline shows it",
        lambda: person.timeline(deposit_id),
        expected="requested, checkout_opened, payment_attempt_failed",
    )
    record.saw("Nothing is credited yet", expected="0.00 + 0.00 held", saw=person.balance())
    paid = sandbox.pay(checkout_url, card_number=CARD, cvc=CVC)
    record.saw("Second card attempt", expected="paid", saw=paid)
    record.waited_for(
        "The deposit completes", lambda: person.status_of(deposit_id), expected="completed"
    )
    record.waited_for("Balance", person.balance, expected="250.00 + 0.00 held")
    record.waited_for(
        "E-mail about the deposit",
        lambda: person.mailbox.count_saying("deposit", "250.00"),
        expected=1,
    )
    _repeat_webhook(person, purchase_id=_purchase_of(checkout_url))
    return deposit_id


def withdrawing(person: Person) -> tuple[str, str]:
    """Chapter 3: R100.00 goes out; R1,000.00 is refused; a payout fails and the money is back.

    Returns:
        The ids of the withdrawal that succeeded and of the one that failed.
    """
    record, sandbox = person.record, person.sandbox
    account_id = _add_bank_account(person, GOOD_ACCOUNT_NUMBER)
    # The payout is kept waiting at the bank, so that the held money can be looked at in peace.
    sandbox.control("next", {"operation": "payout_execute", "outcome": {"result": "stuck"}})
    withdrawal_id = _withdraw(person, "100.00", account_id)
    record.saw("R100.00 is held at once", expected="150.00 + 100.00 held", saw=person.balance())
    record.waited_for(
        "The payout is accepted", lambda: person.status_of(withdrawal_id), expected="processing"
    )
    payout = wait_for(lambda: sandbox.look("payouts", reference=withdrawal_id), bool)
    if not payout:
        raise StoryFailed("The sandbox knows no payout for the withdrawal.")
    sandbox.control(f"payouts/{payout[0]['id']}/succeed", {})
    record.waited_for(
        "The withdrawal completes", lambda: person.status_of(withdrawal_id), expected="completed"
    )
    record.waited_for("Nothing is held any more", person.balance, expected="150.00 + 0.00 held")
    record.waited_for(
        "E-mail about the withdrawal",
        lambda: person.mailbox.count_saying("withdrawal", "100.00"),
        expected=1,
    )
    body = {"amount": "1000.00", "currency": "ZAR", "bank_account_id": account_id}
    refused = person.api.post("/v1/withdrawals", body, key=new_key())
    record.saw("R1,000.00 is refused", expected="insufficient_funds", saw=refused.problem)
    record.saw("Nothing moved", expected="150.00 + 0.00 held", saw=person.balance())
    return withdrawal_id, _failing_withdrawal(person)


def remembering(person: Person, *, deposit_id: str, paid_out_id: str, returned_id: str) -> None:
    """Chapter 4: the history shows every step."""
    record = person.record
    items = person.api.get("/v1/transactions").body.get("items", [])
    record.saw(
        "History: its ids", expected=3, saw=_known(items, deposit_id, paid_out_id, returned_id)
    )
    record.saw(
        "History, newest first",
        expected="withdrawal 50.00 failed, withdrawal 100.00 completed, deposit 250.00 completed",
        saw=", ".join(f"{item['kind']} {item['amount']} {item['status']}" for item in items),
    )
    for what, transaction_id, expected in (
        (
            "Timeline of the deposit",
            deposit_id,
            "requested, checkout_opened, payment_attempt_failed, deposit_paid",
        ),
        (
            "Timeline of the withdrawal",
            paid_out_id,
            "requested, payout_accepted, payout_succeeded",
        ),
        (
            "Timeline of the failed withdrawal",
            returned_id,
            "requested, payout_accepted, payout_failed",
        ),
    ):
        record.saw(what, expected=expected, saw=person.timeline(transaction_id))


def _failing_withdrawal(person: Person) -> str:
    record = person.record
    account_id = _add_bank_account(person, FAILING_ACCOUNT_NUMBER)
    withdrawal_id = _withdraw(person, "50.00", account_id)
    record.waited_for(
        "A withdrawal fails at the bank", lambda: person.status_of(withdrawal_id), expected="failed"
    )
    record.waited_for("The money is back", person.balance, expected="150.00 + 0.00 held")
    reason = person.transaction(withdrawal_id).get("reason_code")
    record.saw("Reason", expected="payment_rejected_other_reason", saw=reason)
    record.waited_for(
        "E-mail that says why",
        lambda: person.mailbox.count_saying(
            "withdrawal", "R50.00", "failed", "bank turned it down"
        ),
        expected=1,
    )
    return withdrawal_id


def _verification_token(person: Person) -> str:
    mails = wait_for(person.mailbox.mails, bool)
    if not mails:
        raise StoryFailed("No verification e-mail arrived.")
    text = str(mails[0]["text"])
    for url in re.findall(r"https?://\S+", text):
        if token := parse_qs(urlsplit(url).query).get("token"):
            return str(token[0])
    found = re.search(r"token[=:]\s*([A-Za-z0-9_.~%-]{16,})", text, re.IGNORECASE)
    found = found or re.search(r"^\s*([A-Za-z0-9_-]{24,})\s*$", text, re.MULTILINE)
    return unquote(found.group(1)) if found else ""


def _repeat_webhook(person: Person, *, purchase_id: str) -> None:
    sandbox, record = person.sandbox, person.record

    def delivered() -> int:
        found = sandbox.look("deliveries", object_id=purchase_id, state="delivered")
        return sum(delivery["event"] == "purchase.paid" for delivery in found)

    wait_for(lambda: delivered() >= 1, bool)
    before = delivered()
    repeat = {"object_id": purchase_id, "event": "purchase.paid", "times": 2}
    sandbox.control("redeliver", repeat)
    record.waited_for(
        "The webhook is delivered twice more", lambda: delivered() - before, expected=2
    )
    # What a repeat would do wrong takes a moment to show.
    changed = wait_for(person.balance, lambda seen: seen != "250.00 + 0.00 held", within_seconds=2)
    record.saw("Balance after the repeats", expected="250.00 + 0.00 held", saw=changed)
    record.saw(
        "E-mails about the deposit after the repeats",
        expected=1,
        saw=person.mailbox.count_saying("deposit", "250.00"),
    )


def _add_bank_account(person: Person, number: str) -> str:
    body = {
        "account_holder": FULL_NAME,
        "bank_name": "First National Bank",
        "branch_code": "250655",
        "account_number": number,
        "account_type": "savings",
    }
    answer = person.api.post("/v1/bank-accounts", body, key=new_key())
    account = answer.require(201, what="Add a bank account")
    account_id = str(account["id"])
    shown = str(person.api.get(f"/v1/bank-accounts/{account_id}").body)
    digits = "only the last four" if number not in shown and number[-4:] in shown else "others"
    person.record.saw(
        f"Add bank account ...{number[-4:]}: digits shown",
        expected="only the last four",
        saw=digits,
    )
    return account_id


def _withdraw(person: Person, amount: str, account_id: str) -> str:
    key = new_key()
    body = {"amount": amount, "currency": "ZAR", "bank_account_id": account_id}

    def ask() -> Answer:
        return person.api.post("/v1/withdrawals", body, key=key)

    # The wallet hears of a verified bank account by event; a refusal stores nothing under the key.
    answer = wait_for(
        ask,
        lambda seen: not seen.problem.startswith("bank_account_"),
        within_seconds=DELIVERY_WAIT_SECONDS,
    )
    return str(_accepted(answer, what=f"Withdraw R{amount}")["id"])


def _accepted(answer: Answer, *, what: str) -> dict[str, Any]:
    return answer.require(202 if answer.status == 202 else 201, what=what)  # noqa: PLR2004


def _purchase_of(checkout_url: str) -> str:
    # .../p/{purchase id}/
    return str(urlsplit(checkout_url).path.strip("/").split("/")[1])


def _yes(condition: object) -> str:
    return "yes" if condition else "no"


def _known(items: list[dict[str, Any]], *ids: str) -> int:
    return sum(item["id"] in ids for item in items)
