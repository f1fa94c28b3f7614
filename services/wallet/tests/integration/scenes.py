"""Small stories about money that are asked for again and again until they have an answer.

Each is made on an undisturbed wallet, then acted on one that accidents happen to. However often
that takes, `assert_happened_once` finds one effect, one set of messages, and the right answer.
"""

from typing import Any, Final, Protocol

from flask.testing import FlaskClient

from octoco.errors import Unavailable
from octoco.ids import new_id
from wallet.domain.ledger import Posting, PostingKind
from wallet.entrypoints.http.app import application
from wallet.use_cases.ports import Ledger

from .driving import NO_WAIT, Driver, zar

TRIES_MAX: Final = 10


class Scene(Protocol):
    """One thing that must happen once.

    Args:
        driver: Undisturbed; what comes before the scene is done with it.
        token: Signs a user's requests.
    """

    def act(self, driver: Driver) -> None:
        """Ask for it; a repeat asks for the same.

        Raises:
            Unavailable: ask again.
        """
        ...

    def assert_happened_once(self, driver: Driver) -> None: ...


def act_until_answered(scene: Scene, driver: Driver) -> int:
    """Ask again as a caller does who is told that something is unavailable.

    Returns:
        How often it was asked.
    """
    for tries in range(1, TRIES_MAX + 1):
        try:
            scene.act(driver)
        except Unavailable:
            continue
        return tries
    raise AssertionError(f"no answer after {TRIES_MAX} tries")


class Payment:
    """A purchase of 250.00 is paid, and its fee is known."""

    def __init__(self, driver: Driver) -> None:
        self.user_id = driver.new_user()
        self.deposit = driver.request_deposit(self.user_id, zar("250.00"))
        self.purchase_id = new_id("pur")

    def act(self, driver: Driver) -> None:
        driver.pay(self.deposit.id, zar("250.00"), purchase_id=self.purchase_id, fee="5.00")

    def assert_happened_once(self, driver: Driver) -> None:
        assert driver.balance(self.user_id).available == zar("250.00")
        assert _kinds_about(driver, self.purchase_id) == ["deposit", "fee"]
        assert driver.announced(self.deposit.id).count("wallet.deposit.completed.v1") == 1
        assert _answers(driver, f"purchase:{self.purchase_id}") == {("credited", None)}


class Settlement:
    """A withdrawal of 100.00 is paid out, and its fee is known."""

    def __init__(self, driver: Driver) -> None:
        self.user_id = driver.user_with("250.00")
        bank_account_id = driver.new_bank_account(self.user_id)
        self.withdrawal = driver.request_withdrawal(
            self.user_id, zar("100.00"), bank_account_id=bank_account_id
        )
        self.payout_id = new_id("out")

    def act(self, driver: Driver) -> None:
        driver.succeed_payout(self.withdrawal.id, zar("100.00"), self.payout_id, fee="5.00")

    def assert_happened_once(self, driver: Driver) -> None:
        balance = driver.balance(self.user_id)
        assert (balance.available, balance.held) == (zar("150.00"), zar("0.00"))
        assert _kinds_about(driver, self.withdrawal.id) == ["hold", "settlement"]
        assert _kinds_about(driver, self.payout_id) == ["fee"]
        assert driver.announced(self.withdrawal.id) == [
            "wallet.withdrawal.requested.v1",
            "wallet.withdrawal.completed.v1",
        ]
        assert _answers(driver, f"payout:{self.payout_id}") == {("settled", None)}


class Release:
    """A withdrawal of 100.00 could not be paid out."""

    def __init__(self, driver: Driver) -> None:
        self.user_id = driver.user_with("250.00")
        bank_account_id = driver.new_bank_account(self.user_id)
        self.withdrawal = driver.request_withdrawal(
            self.user_id, zar("100.00"), bank_account_id=bank_account_id
        )

    def act(self, driver: Driver) -> None:
        driver.fail_payout(self.withdrawal.id, zar("100.00"))

    def assert_happened_once(self, driver: Driver) -> None:
        balance = driver.balance(self.user_id)
        assert (balance.available, balance.held) == (zar("250.00"), zar("0.00"))
        assert _kinds_about(driver, self.withdrawal.id) == ["hold", "release"]
        assert driver.announced(self.withdrawal.id) == [
            "wallet.withdrawal.requested.v1",
            "wallet.withdrawal.failed.v1",
        ]
        assert _answers(driver, f"payout_failed:{self.withdrawal.id}") == {("released", None)}


class Request:
    """A user asks over HTTP for a withdrawal of 100.00, with the same key every time."""

    def __init__(self, driver: Driver) -> None:
        self.user_id = driver.user_with("250.00")
        self.body = {
            "amount": "100.00",
            "currency": "ZAR",
            "bank_account_id": driver.new_bank_account(self.user_id),
        }
        self.key = new_id("key")
        self.answered: set[str] = set()
        self._clients: dict[int, FlaskClient] = {}

    def act(self, driver: Driver) -> None:
        wallet = driver.wallet
        if id(wallet) not in self._clients:
            self._clients[id(wallet)] = application(wallet).test_client()
        keys: Any = wallet.token_keys
        answer: Any = self._clients[id(wallet)].post(
            "/v1/withdrawals",
            json=self.body,
            headers={
                "Authorization": f"Bearer {keys.token(self.user_id)}",
                "Idempotency-Key": self.key,
                "Prefer": NO_WAIT,
            },
        )
        if answer.status_code in {409, 503}:
            raise Unavailable(answer.json["code"])
        assert answer.status_code == 201, answer.json
        self.answered.add(answer.json["id"])

    def assert_happened_once(self, driver: Driver) -> None:
        self.act(driver)
        balance = driver.balance(self.user_id)
        assert (balance.available, balance.held) == (zar("150.00"), zar("100.00"))
        stored = driver.rows(
            "SELECT id FROM transactions WHERE user_id = :id AND kind = 'withdrawal'",
            id=self.user_id,
        )
        assert {row.id for row in stored} == self.answered
        assert len(self.answered) == 1
        assert driver.announced(*self.answered) == ["wallet.withdrawal.requested.v1"]


class Reversal:
    """A credit of 250.00 of which 100.00 is held is undone."""

    def __init__(self, driver: Driver) -> None:
        self.payment = Payment(driver)
        self.payment.act(driver)
        self.user_id = self.payment.user_id
        self.key = f"purchase:{self.payment.purchase_id}"
        bank_account_id = driver.new_bank_account(self.user_id)
        driver.request_withdrawal(self.user_id, zar("100.00"), bank_account_id=bank_account_id)

    def act(self, driver: Driver) -> None:
        def reverse(ledger: Ledger) -> None:
            ledger.reverse(business_key=self.key, effective_at=driver.wallet.clock.now())

        driver.wallet.units.run(lambda unit: reverse(unit.ledger))

    def assert_happened_once(self, driver: Driver) -> None:
        balance = driver.balance(self.user_id)
        assert (balance.available, balance.held) == (zar("0.00"), zar("100.00"))
        assert balance.receivable == zar("100.00")
        subject = self.payment.purchase_id
        assert _kinds_about(driver, subject) == ["deposit", "fee", "reversal"]


class PostingAlone:
    """Money goes to suspense by itself: one statement that is a whole unit."""

    def __init__(self, driver: Driver) -> None:
        self.subject = new_id("pur")
        self.posting = Posting(
            business_key=f"purchase:{self.subject}",
            kind=PostingKind.SUSPENSE,
            user_id=None,
            money=zar("5.00"),
            subject=self.subject,
            effective_at=driver.wallet.clock.now(),
        )

    def act(self, driver: Driver) -> None:
        driver.wallet.postings.post(self.posting)

    def assert_happened_once(self, driver: Driver) -> None:
        assert driver.wallet.postings.post(self.posting).repeated
        assert _kinds_about(driver, self.subject) == ["suspense"]


SCENES: Final[dict[str, type[Any]]] = {
    "a payment": Payment,
    "a settlement": Settlement,
    "a release": Release,
    "a request": Request,
    "a reversal": Reversal,
    "a posting alone": PostingAlone,
}


def _kinds_about(driver: Driver, subject: str) -> list[str]:
    rows = driver.rows("SELECT kind::text FROM transfers WHERE subject = :subject", subject=subject)
    return sorted(row.kind for row in rows)


def _answers(driver: Driver, fact_key: str) -> set[tuple[str, str | None]]:
    rows = driver.rows("SELECT data FROM outbox WHERE aggregate_id = :key", key=fact_key)
    return {(row.data["outcome"], row.data["code"]) for row in rows}
