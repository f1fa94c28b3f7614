"""What must be true in the end, of each saga and of all of them together."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import requests

from .crashing import ONE_IN
from .ground import SERVICES, Ground
from .sagas import How, Plan, Saga
from .watch import Listener

# Below this many sagas chance may pass a point by.
SHOWN_FROM_SAGAS = 300
MUST_BE_SHOWN = (
    "relay read, not published",
    "relay published, not confirmed",
    "relay confirmed, not deleted",
    "consumer committed, not acked",
)
ANSWERS: Mapping[str, str] = {
    "payments.deposit.paid.v1": "credited",
    "payments.payout.succeeded.v1": "settled",
    "payments.payout.failed.v1": "released",
}
WAITS_FOR_PERSON = "payout_not_begun"
_STATES = """
    SELECT t.id, t.status, t.user_id, c.purchase_id, p.status AS payout_status,
           h.outcome AS hold, h.settled_amount,
           (SELECT count(*) FROM wallet.transaction_events e
            WHERE e.transaction_id = t.id AND e.status = t.status
              AND e.cause <> 'payment_attempt_failed') AS said,
           EXISTS (SELECT FROM payments_gateway.cases k WHERE k.transaction_id = t.id
                   AND k.kind = 'payout_not_begun') AS waits_for_person
    FROM wallet.transactions t
    LEFT JOIN payments_gateway.checkouts c ON c.transaction_id = t.id
    LEFT JOIN payments_gateway.payouts p ON p.transaction_id = t.id
    LEFT JOIN wallet.holds h ON h.subject = t.id
"""
_CREDITS = "SELECT subject, user_id, amount FROM wallet.transfers WHERE kind = 'deposit'"
_BALANCES = """
    SELECT user_id, kind::text, balance FROM wallet.ledger_accounts WHERE user_id IS NOT NULL
"""
_GAPS = """
    SELECT ledger_account_id, count(*), min(version), max(version) FROM wallet.entries
    WHERE version IS NOT NULL GROUP BY ledger_account_id
    HAVING min(version) <> 1 OR max(version) <> count(*)
"""
_ANSWERS = """
    SELECT f.fact_key, f.type, f.outcome, f.code, f.transaction_id, a.outcome AS wallet_says
    FROM payments_gateway.money_facts f LEFT JOIN wallet.money_fact_answers a USING (fact_key)
"""


@dataclass(frozen=True)
class Finding:
    """Something that is not as it must be; of one saga, if one is to blame."""

    what: str
    saga: Saga | None = None


class Verdict:
    """Compares what was to happen with what did.

    Args:
        ground: As it stands in the end, its workers ended.
        plans: What was to happen.
        listener: What others heard.
    """

    def __init__(self, ground: Ground, *, plans: Sequence[Plan], listener: Listener) -> None:
        self._ground = ground
        self._plans = plans
        self._listener = listener
        self._sagas = [saga for plan in plans for saga in plan.sagas]
        self._state = {row.id: row for row in ground.rows(_STATES)}
        self._journal = ground.journal.read()

    def findings(self) -> Sequence[Finding]:
        return [
            *self._of_sagas(),
            *self._of_provider(),
            *self._of_persons(),
            *self._of_facts(),
            *self._of_cases(),
            *self._of_ledger(),
            *self._of_logs(),
            *self._of_what_others_heard(),
            *self._of_the_proof_itself(),
        ]

    @property
    def waiting_for_person(self) -> Sequence[Saga]:
        return [saga for saga in self._sagas if self._waits_for_person(saga)]

    # ---- each saga ----

    def _of_sagas(self) -> Iterator[Finding]:
        credited = defaultdict(list)
        for row in self._ground.rows(_CREDITS):
            credited[row.subject].append(row)
        asked = Counter(saga.transaction_id for saga in self._sagas)
        for transaction_id in self._state.keys() - asked.keys():
            yield Finding(f"{transaction_id} was asked for once and is there twice")
        for saga in self._sagas:
            state = self._state.get(saga.transaction_id)
            if saga.trouble or state is None:
                yield Finding(saga.trouble or "it was never asked for", saga)
                continue
            if saga.is_deposit:
                booked = [one.amount for one in credited.pop(state.purchase_id, [])]
                if booked != [saga.amount]:
                    yield Finding(f"credited {booked}, not {saga.amount} once", saga)
            elif (state.hold, state.settled_amount) != self._hold_of(saga):
                yield Finding(f"its hold is {state.hold} with {state.settled_amount}", saga)
            if state.status != saga.ends_as and not self._waits_for_person(saga):
                yield Finding(f"it is {state.status}, not {saga.ends_as}", saga)
            elif state.said != 1:
                yield Finding(f"its timeline says {state.status} {state.said} times", saga)
        for purchase, rows in credited.items():
            yield Finding(f"credited {len(rows)} times for {purchase}, which nobody asked for")

    def _of_provider(self) -> Iterator[Finding]:
        """Each purchase was paid once, and each payout carried out once or never."""
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(self._at_provider, self._sagas))
        for saga, statuses in zip(self._sagas, found, strict=True):
            if saga.trouble:
                continue
            if saga.is_deposit:
                wanted = ["paid"]
                effects = [one for one in statuses if one in {"paid", "settled"}]
            else:
                wanted = ["error" if saga.how is How.REFUSED_BY_BANK else "success"]
                wanted = [] if self._waits_for_person(saga) else wanted
                effects = [one for one in statuses if one != "initialized"]
            if effects != wanted:
                yield Finding(f"at the provider it is {statuses}, not {wanted}", saga)

    def _at_provider(self, saga: Saga) -> Sequence[str]:
        kind = "purchases" if saga.is_deposit else "payouts"
        answer = requests.get(
            f"{self._ground.sandbox}/control/{kind}",
            params={"reference": saga.transaction_id},
            timeout=15,
        )
        return [one["status"] for one in answer.json()["results"]] if saga.transaction_id else []

    def _hold_of(self, saga: Saga) -> tuple[str | None, Decimal | None]:
        if self._waits_for_person(saga):
            return None, None
        if saga.how is How.REFUSED_BY_BANK:
            return "released", None
        return "settled", saga.amount

    def _waits_for_person(self, saga: Saga) -> bool:
        state = self._state.get(saga.transaction_id)
        # An order that arrives after all is no case any more.
        return bool(state and state.waits_for_person and state.payout_status == "executing")

    # ---- all of them ----

    def _of_persons(self) -> Iterator[Finding]:
        balances: dict[str, dict[str, Decimal]] = defaultdict(dict)
        for row in self._ground.rows(_BALANCES):
            balances[row.user_id][row.kind] = row.balance
        for plan in self._plans:
            if any(saga.trouble for saga in plan.sagas):
                continue
            held = sum(one.amount for one in plan.withdrawals if self._waits_for_person(one))
            gone = sum(
                one.amount
                for one in plan.withdrawals
                if one.how is not How.REFUSED_BY_BANK or self._waits_for_person(one)
            )
            wanted = {
                "available": sum(one.amount for one in plan.deposits) - gone,
                "held": held,
                "receivable": 0,
            }
            if balances[plan.user_id] != wanted:
                yield Finding(f"{plan.user_id} has {balances[plan.user_id]}, not {wanted}")

    def _of_facts(self) -> Iterator[Finding]:
        for row in self._ground.rows(_ANSWERS):
            wanted = ANSWERS.get(row.type)
            if not row.outcome == row.wallet_says == wanted:
                yield Finding(
                    f"{row.fact_key} ({row.type}, {row.transaction_id}) is answered "
                    f"{row.outcome} {row.code}; the wallet says {row.wallet_says}"
                )

    def _of_cases(self) -> Iterator[Finding]:
        for row in self._ground.rows("SELECT kind, subject_id FROM payments_gateway.cases"):
            if row.kind != WAITS_FOR_PERSON:
                yield Finding(f"a case at the gateway: {row.kind} {row.subject_id}")
        for row in self._ground.rows("SELECT kind, subject FROM wallet.operator_cases"):
            yield Finding(f"a case at the wallet: {row.kind} {row.subject}")

    def _of_ledger(self) -> Iterator[Finding]:
        for row in self._ground.rows(_GAPS):
            yield Finding(f"the versions of ledger account {row[0]} have a gap: {row[1:]}")
        verified = self._ground.verify_ledger()
        if verified.returncode != 0:
            yield Finding(f"the ledger does not verify: {verified.stdout}{verified.stderr}")

    def _of_logs(self) -> Iterator[Finding]:
        """Nothing was returned, failed or handled twice that was not meant to."""
        unbound = {line["event_type"] for line in self._journal if line["what"] == "unbound"}
        handled: Counter[tuple[str, str]] = Counter()
        for line in self._log_lines():
            if line.get("event") == "event_handled" and not line.get("duplicate"):
                handled[line["service"], line["event_id"]] += 1
            if line.get("level") in {"error", "critical"} and not _is_meant(line, unbound):
                yield Finding(f"logged: {json.dumps(line)[:1500]}")
        for (service, event_id), times in handled.items():
            if times > 1:
                yield Finding(f"{service} handled {event_id} {times} times")

    def _log_lines(self) -> Iterator[Mapping[str, Any]]:
        for service in SERVICES:
            for name in (f"{service}-nursery.log", f"{service}.log"):
                for text in (self._ground.logs / name).read_text(errors="replace").splitlines():
                    try:
                        line = json.loads(text)
                    except ValueError:
                        # Cut off by a kill, or not ours.
                        continue
                    if isinstance(line, dict):
                        yield line

    def _of_what_others_heard(self) -> Iterator[Finding]:
        """Others hear of each end; again and again perhaps, but always by the same message."""
        for saga in self._sagas:
            if saga.trouble or self._waits_for_person(saga):
                continue
            heard = {
                (one.message_id, one.event_type)
                for one in self._listener.about(saga.transaction_id)
            }
            kind = "deposit" if saga.is_deposit else "withdrawal"
            wanted = [f"wallet.{kind}.{saga.ends_as}.v1"]
            types = [event_type for _, event_type in heard]
            if saga.how is How.PAID_AFTER_CANCEL and "wallet.deposit.failed.v1" in types:
                wanted.append("wallet.deposit.failed.v1")
            if sorted(types) != sorted(wanted):
                yield Finding(f"others heard {sorted(heard)}, not {wanted}", saga)

    def _of_the_proof_itself(self) -> Iterator[Finding]:
        """What the proof is about has happened."""
        if len(self._sagas) < SHOWN_FROM_SAGAS:
            return
        points = self.kills
        for point in MUST_BE_SHOWN:
            if not points[point]:
                yield Finding(f"nobody was killed at '{point}': this run proves nothing about it")
        for what in ("two leaders", "refused", "unbound"):
            if not any(line["what"] == what for line in self._journal):
                yield Finding(f"'{what}' did not happen: this run proves nothing about it")

    @property
    def kills(self) -> Counter[str]:
        found = Counter(dict.fromkeys(ONE_IN, 0))
        found.update(line["point"] for line in self._journal if line["what"] == "killed")
        return found


def _is_meant(line: Mapping[str, Any], unbound: set[str]) -> bool:
    text = json.dumps(line)
    match line.get("event"):
        case "message_held_back":
            event_type = str(line.get("event_type"))
            return event_type in unbound or (
                "payments.*" in unbound and event_type.startswith("payments.")
            )
        # What was taken away is missed: that is what the watch over queues is for.
        case "topology_differs":
            return bool(unbound)
        case "event_refused" | "parked_event_refused":
            return line.get("code") == "sabotaged"
        # Killed again while what an earlier kill had left was tried by itself: it only waits.
        case "event_set_aside" | "parked_event_process_died":
            return True
        case "event_failed" | "parked_event_failed":
            return "Stumbled" in text or "Sabotaged" in text
    return False
