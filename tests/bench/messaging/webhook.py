"""How long it takes from a webhook to the credit, through the whole system at a steady rate."""

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from typing import Any, Final

import requests
from tests.person import CARD, Person

from octoco_runner.http_session import direct_session
from octoco_runner.services import DATABASE
from octoco_runner.story.record import wait_for

from .samples import Part, Samples, Target, percentile
from .servers import Servers

REQUESTS_AT_ONCE: Final = 4
PAYERS: Final = 16
# Each takes a minute with what is made ready for it.
ROUNDS_MAX: Final = 3
TIMEOUT_SECONDS: Final = 30.0
DONE_WITHIN_SECONDS: Final = 120.0
TARGETS: Final = (
    Target("webhook_to_credit_p50_ms", 50, at_least=False),
    Target("webhook_to_credit_p99_ms", 250, at_least=False),
)
_BODY: Final = {"amount": "12.50", "currency": "ZAR"}
_CARD: Final = {
    "card_number": CARD,
    "cardholder_name": "Thandi Nkosi",
    "expires": f"12/{(time.gmtime().tm_year + 2) % 100:02d}",
    "cvc": "123",
}
_CHECKOUTS: Final = """
    SELECT checkout_url FROM wallet.transactions
    WHERE id = ANY (%(ids)s) AND checkout_url IS NOT NULL ORDER BY id
"""
_DONE: Final = """
    SELECT count(*) FILTER (WHERE d.status = 'completed'), count(i.finished_at)
    FROM wallet.transactions d
    LEFT JOIN payments_gateway.webhook_deliveries w
        ON w.object_id = d.provider_id AND w.event_type = 'purchase.paid'
    LEFT JOIN payments_gateway.intents i
        ON i.kind = 'process_webhook' AND i.subject_id = w.delivery_id
    WHERE d.id = ANY (%(ids)s)
"""
# What each step committed says when: xmin names the database transaction that wrote a row last.
_STEPS: Final = """
    WITH handled AS (
        SELECT xmin::text AS unit, min(handled_at) AS at FROM wallet.inbox GROUP BY xmin::text
    )
    SELECT w.received_at, i.created_at, i.begun_at, i.finished_at,
           pg_xact_commit_timestamp(i.xmin), h.at, pg_xact_commit_timestamp(t.xmin)
    FROM wallet.transactions d
    JOIN wallet.transfers t ON t.business_key = 'purchase:' || d.provider_id
    JOIN handled h ON h.unit = t.xmin::text
    JOIN payments_gateway.webhook_deliveries w
        ON w.object_id = d.provider_id AND w.event_type = 'purchase.paid'
    JOIN payments_gateway.intents i ON i.kind = 'process_webhook' AND i.subject_id = w.delivery_id
    WHERE d.id = ANY (%(ids)s)
"""
# Of the columns of `_STEPS`, when it was committed what the webhook had led to.
RECORDED: Final = 4
# From each column to the next.
STAGES: Final = (
    "received_to_stored",
    "stored_to_taken_up",
    "read_at_revio",
    "recorded_to_committed",
    "relayed_and_consumed",
    "handled_to_committed",
)


@dataclass(frozen=True, slots=True)
class WebhookPlan:
    """What is asked of the system.

    Args:
        rate: Payments, and so webhooks, a second.
        seconds: How long in each round.
        people: Who pay, in turn.
    """

    rate: int
    seconds: float
    people: int

    @property
    def deposits(self) -> int:
        return max(2, int(self.rate * self.seconds))


def webhook_part(addresses: Mapping[str, str], servers: Servers, plan: WebhookPlan) -> Part:
    """Register people, and say what is measured.

    Args:
        addresses: Of a running system.
        servers: That it uses; its PostgreSQL keeps commits' times.
        plan: How much.
    """
    gateway, sandbox = addresses["GATEWAY_URL"], addresses["SANDBOX_URL"]
    people = [Person(gateway, sandbox, addresses["MAILBOX_URL"]) for _ in range(plan.people)]
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        list(pool.map(lambda person: person.register(), people))
    bench = _WebhookBench(servers, plan, people)
    return Part(
        name="webhook",
        slots={"webhook_to_credit": bench.measure},
        report=report,
        targets=TARGETS,
        rounds_max=ROUNDS_MAX,
    )


@dataclass(frozen=True, slots=True)
class _WebhookBench:
    servers: Servers
    plan: WebhookPlan
    people: Sequence[Person]

    def measure(self, samples: Samples) -> str:
        ids = self._requested()
        rate = self._paid(self._checkouts(ids))
        # Not asked while they are paid: counting is work too.
        if not wait_for(
            lambda: self._all(_DONE, ids) == [(len(ids), len(ids))],
            bool,
            within_seconds=DONE_WITHIN_SECONDS,
        ):
            raise RuntimeError("not every deposit was credited in time")
        steps = self._all(_STEPS, ids)
        if len(steps) != len(ids):
            raise RuntimeError(f"{len(ids)} deposits were paid and {len(steps)} ways are known")
        latencies = sorted(_milliseconds(row[0], row[-1]) for row in steps if row[-1] > row[0])
        if not latencies:
            raise RuntimeError("every deposit was credited before its webhook came")
        for percent in (50, 99):
            samples.add(f"webhook_to_credit_p{percent}_ms", percentile(latencies, percent))
        samples.add("webhooks_per_s", rate)
        samples.add("credited_before_webhook", len(ids) - len(latencies))
        ways = [row for row in steps if row[2] is not None and row[-1] > row[RECORDED]]
        samples.add("credited_by_a_look", len(ids) - len(ways))
        for place, stage in enumerate(STAGES if ways else ()):
            took = sorted(_milliseconds(row[place], row[place + 1]) for row in ways)
            for percent in (50, 99):
                samples.add(f"{stage}_p{percent}_ms", percentile(took, percent))
        return (
            f"p50 {percentile(latencies, 50):.1f} ms, p99 {percentile(latencies, 99):.1f} ms "
            f"at {rate:,.1f}/s"
        )

    def _requested(self) -> Sequence[str]:
        """Request deposits, by every person in turn."""

        def request(person: Person) -> str:
            answer = person.post("/v1/deposits", _BODY)
            answer.raise_for_status()
            return str(answer.json()["id"])

        payers = islice(cycle(self.people), self.plan.deposits)
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            return list(pool.map(request, payers))

    def _checkouts(self, ids: Sequence[str]) -> Sequence[str]:
        """Wait until each deposit has its checkout page."""
        found = wait_for(
            lambda: self._all(_CHECKOUTS, ids),
            lambda rows: len(rows) == len(ids),
            within_seconds=DONE_WITHIN_SECONDS,
        )
        if len(found) != len(ids):
            raise RuntimeError("not every deposit got a checkout in time")
        return [str(url) for (url,) in found]

    def _paid(self, checkouts: Sequence[str]) -> float:
        """Pay at a steady rate, as payers' browsers do.

        Returns:
            How many were paid a second, from the first to the last.
        """
        sessions = threading.local()
        paid_at: list[float] = []

        def pay(url: str) -> None:
            if not hasattr(sessions, "own"):
                sessions.own = direct_session()
            answer: requests.Response = sessions.own.post(
                url, data=_CARD, timeout=TIMEOUT_SECONDS, allow_redirects=False
            )
            if answer.status_code != requests.codes.see_other:
                raise RuntimeError(f"the checkout answered {answer.status_code} to a card")
            paid_at.append(time.monotonic())

        never = threading.Event()
        payments: list[Future[None]] = []
        with ThreadPoolExecutor(PAYERS) as pool:
            began = time.monotonic()
            for number, url in enumerate(checkouts):
                # One that is late delays none of the times of those after it.
                never.wait(max(0.0, began + number / self.plan.rate - time.monotonic()))
                payments.append(pool.submit(partial(pay, url)))
        for payment in payments:
            payment.result()
        return (len(paid_at) - 1) / (max(paid_at) - min(paid_at))

    def _all(self, statement: str, ids: Sequence[str]) -> list[tuple[Any, ...]]:
        with closing(self.servers.postgresql.connect(DATABASE)) as admin, admin.cursor() as cursor:
            cursor.execute(statement, {"ids": list(ids)})
            return list(cursor.fetchall())


def _milliseconds(began: Any, ended: Any) -> float:
    return float((ended - began).total_seconds()) * 1000


def report(samples: Samples) -> Mapping[str, object]:
    """Return the agreed keys."""
    return {
        "webhook_to_credit_ms": {
            f"p{percent}": round(samples.median(f"webhook_to_credit_p{percent}_ms"), 2)
            for percent in (50, 99)
        }
    }
