"""The sagas of a run: what each person does, and what must have come of it in the end."""

import random
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

import requests

from octoco.testing import eventually

from .ground import Ground
from .watch import Watch

CARD = "4444333322221111"
HTTP_SECONDS = 15
ANSWER_SECONDS = 120
# A client that is told to come again does not come at once.
AGAIN_SECONDS = 0.2


class How(StrEnum):
    """What happens on the way of a saga."""

    PAID = "paid"
    PAID_AT_SECOND_TRY = "paid at second try"
    WEBHOOKS_REPEATED = "webhooks repeated"
    WEBHOOKS_DROPPED = "webhooks dropped"
    PAID_AFTER_CANCEL = "paid after cancel"
    PAID_OUT = "paid out"
    REFUSED_BY_BANK = "refused by bank"
    ANSWER_LOST = "answer lost"


DEPOSITS: Mapping[How, int] = {
    How.PAID: 10,
    How.PAID_AT_SECOND_TRY: 2,
    How.WEBHOOKS_REPEATED: 2,
    How.WEBHOOKS_DROPPED: 1,
    How.PAID_AFTER_CANCEL: 2,
}
WITHDRAWALS: Mapping[How, int] = {How.PAID_OUT: 6, How.REFUSED_BY_BANK: 1, How.ANSWER_LOST: 1}
# The last digits of the bank account say what the sandbox's bank does.
NUMBERS: Mapping[How, str] = {
    How.PAID_OUT: "62000000123",
    How.REFUSED_BY_BANK: "62000900002",
    How.ANSWER_LOST: "62000900004",
}
DEPOSITS_EACH = 6
WITHDRAWALS_EACH = 4
SAGAS_EACH = DEPOSITS_EACH + WITHDRAWALS_EACH


@dataclass
class Saga:
    """One deposit or withdrawal.

    Args:
        number: In the run.
        how: What happens on its way.
        amount: In ZAR.
        transaction_id: Once it was asked for.
    """

    number: int
    how: How
    amount: Decimal
    transaction_id: str = ""
    trouble: str = ""

    @property
    def is_deposit(self) -> bool:
        return self.how in DEPOSITS

    @property
    def ends_as(self) -> str:
        return "failed" if self.how is How.REFUSED_BY_BANK else "completed"


@dataclass
class Plan:
    """What one person does: all deposits, and when their money is there all withdrawals."""

    user_id: str
    deposits: Sequence[Saga]
    withdrawals: Sequence[Saga]
    bank_accounts: dict[How, str] = field(default_factory=dict)

    @property
    def sagas(self) -> Sequence[Saga]:
        return [*self.deposits, *self.withdrawals]


def plans(count: int, *, chance: random.Random, new_user_id: Callable[[], str]) -> Sequence[Plan]:
    """Draw what at least `count` sagas are, by the persons who begin them."""
    drawn: list[Plan] = []
    for first in range(0, count, SAGAS_EACH):
        deposits = [
            Saga(
                first + place, _drawn(DEPOSITS, chance), Decimal(chance.randint(1000, 20000)) / 100
            )
            for place in range(DEPOSITS_EACH)
        ]
        # However they end, together they are never more than what was paid in.
        most = int(sum(saga.amount for saga in deposits) * 100) // WITHDRAWALS_EACH
        withdrawals = [
            Saga(
                first + DEPOSITS_EACH + place,
                _drawn(WITHDRAWALS, chance),
                _zar(chance.randint(100, most)),
            )
            for place in range(WITHDRAWALS_EACH)
        ]
        drawn.append(Plan(new_user_id(), deposits, withdrawals))
    return drawn


class Person:
    """Somebody who does what their plan says, asking again until they are answered."""

    def __init__(
        self, plan: Plan, *, ground: Ground, watch: Watch, begin: Callable[[], None]
    ) -> None:
        self._plan = plan
        self._ground = ground
        self._watch = watch
        self._begin = begin
        self._http = requests.Session()
        self._over = threading.Event()

    def add_bank_accounts(self) -> None:
        for how in {saga.how for saga in self._plan.withdrawals}:
            body = {
                "account_holder": "Sipho Dlamini",
                "bank_name": "First National Bank",
                "branch_code": "250655",
                "account_number": NUMBERS[how],
                "account_type": "savings",
            }
            answer = self._post("payments-gateway", "/v1/bank-accounts", body)
            self._plan.bank_accounts[how] = str(answer["id"])

    def do_all(self) -> None:
        """Play the plan; what goes wrong stays with its saga, and the others go on."""
        for saga in self._plan.deposits:
            self._play(saga, self._pay_in)
        self._await_all(self._plan.deposits)
        if any(saga.trouble for saga in self._plan.deposits):
            for saga in self._plan.withdrawals:
                self._begin()
                saga.trouble = "not begun: a deposit that was to pay for it had trouble"
            return
        for saga in self._plan.withdrawals:
            self._play(saga, self._withdraw)
        self._await_all(self._plan.withdrawals)
        self._http.close()

    def _play(self, saga: Saga, act: Callable[[Saga], None]) -> None:
        self._begin()
        try:
            act(saga)
        except (AssertionError, requests.RequestException) as error:
            saga.trouble = f"{type(error).__name__}: {error}"

    def _await_all(self, sagas: Sequence[Saga]) -> None:
        for saga in sagas:
            if saga.trouble:
                continue
            try:
                self._watch.until_ended(saga.transaction_id, ends_as=saga.ends_as)
                if saga.how is How.WEBHOOKS_REPEATED:
                    purchase = self._watch.purchase_of(saga.transaction_id)
                    self._control("redeliver", {"object_id": purchase, "times": 3})
            except AssertionError as error:
                saga.trouble = str(error)

    def _pay_in(self, saga: Saga) -> None:
        body = {"amount": str(saga.amount), "currency": "ZAR"}
        asked = self._post("wallet", "/v1/deposits", body)
        saga.transaction_id = str(asked["id"])
        purchase = self._watch.purchase_of(saga.transaction_id)
        match saga.how:
            case How.PAID_AFTER_CANCEL:
                self._post("wallet", f"/v1/deposits/{saga.transaction_id}/cancel", None)
                self._control(f"purchases/{purchase}/pay", {"force": True})
                return
            case How.PAID_AT_SECOND_TRY:
                self._pay(purchase, cvc="999")
            case How.WEBHOOKS_DROPPED:
                knob = {"operation": "webhook", "outcome": {"drop": True}, "times": 20}
                self._control("next", {**knob, "object_id": purchase})
        self._pay(purchase, cvc="123")

    def _withdraw(self, saga: Saga) -> None:
        body = {
            "amount": str(saga.amount),
            "currency": "ZAR",
            "bank_account_id": self._plan.bank_accounts[saga.how],
        }
        saga.transaction_id = str(self._post("wallet", "/v1/withdrawals", body)["id"])

    # ---- HTTP ----

    def _post(self, service: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        key = str(uuid.uuid4())

        def answered() -> dict[str, Any] | None:
            headers = self._ground.keys.bearer(self._plan.user_id)
            headers |= {"Idempotency-Key": key, "Prefer": "wait=0"}
            try:
                answer = self._http.post(
                    self._ground.web(service) + path,
                    json=body,
                    headers=headers,
                    timeout=HTTP_SECONDS,
                )
            except requests.RequestException:
                self._over.wait(AGAIN_SECONDS)
                return None
            # 409: the first request with this key is under way; 5xx: nobody knows.
            if answer.status_code in {409, 429} or answer.status_code >= 500:
                self._over.wait(AGAIN_SECONDS)
                return None
            assert answer.ok, f"{path}: {answer.status_code} {answer.text}"
            found: dict[str, Any] = answer.json()
            return found

        return eventually(answered, within_seconds=ANSWER_SECONDS, what=f"an answer to {path}")

    def _pay(self, purchase: str, *, cvc: str) -> None:
        form = {
            "card_number": CARD,
            "cardholder_name": "Sipho Dlamini",
            "expires": f"12/{(time.gmtime().tm_year + 2) % 100}",
            "cvc": cvc,
        }
        answer = self._http.post(
            f"{self._ground.sandbox}/p/{purchase}/",
            data=form,
            timeout=HTTP_SECONDS,
            allow_redirects=False,
        )
        assert answer.status_code == 303, answer.text

    def _control(self, path: str, body: Mapping[str, Any]) -> None:
        answer = self._http.post(
            f"{self._ground.sandbox}/control/{path}", json=body, timeout=HTTP_SECONDS
        )
        assert answer.ok, answer.text


def _drawn(weights: Mapping[How, int], chance: random.Random) -> How:
    return chance.choices(list(weights), list(weights.values()))[0]


def _zar(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)
