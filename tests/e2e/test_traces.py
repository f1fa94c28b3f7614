"""A whole saga is one trace: in the logs of every service, and in the spans that they send."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from octoco.testing import eventually
from octoco.testing.traces import SeenSpan, orphans

from ..person import Person
from ..system import System

Line = dict[str, Any]


def _lines(system: System) -> Iterator[Line]:
    for log in sorted(system.state.glob("logs/*.log")):
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith('{"service"'):
                yield json.loads(line)


def _saga(system: System, transaction_id: str, *, ends_with: str) -> list[Line]:
    """Return all lines of the request that asked for a transaction, once its mail has left."""

    def found() -> list[Line]:
        lines = [line for line in _lines(system) if "correlation_id" in line]
        # The gateway names the transaction where it makes the purchase or the payout.
        ids = {one["correlation_id"] for one in lines if one.get("subject_id") == transaction_id}
        saga = [line for line in lines if line["correlation_id"] in ids]
        told = [one for one in saga if one.get("event_type") == ends_with]
        handled = any(one["service"] == "notifications" for one in told)
        mailed = any(one.get("kind") == "send_email" for one in saga)
        return saga if handled and mailed else []

    return eventually(found, within_seconds=30, what=f"all lines about {transaction_id}")


def _tree(system: System, trace_id: str, *, last: str) -> Sequence[SeenSpan]:
    """Return the spans of a trace, once they have been sent."""
    spans = system.spans
    if spans is None:
        pytest.skip("this system sends its spans elsewhere")

    def whole() -> Sequence[SeenSpan]:
        seen = spans.of_trace(trace_id)
        names = {one.name for one in seen}
        return seen if {last, "smtp send"} <= names and not orphans(seen) else []

    return eventually(whole, within_seconds=30, what="a tree without orphans")


def _assert_one_trace(lines: Sequence[Line], *services: str) -> str:
    assert {line["service"] for line in lines} == set(services)
    (trace_id,) = {line["trace_id"] for line in lines}
    assert len({line["correlation_id"] for line in lines}) == 1
    return str(trace_id)


def _assert_grows_from(root: str, spans: Sequence[SeenSpan]) -> None:
    assert [one.name for one in spans if one.parent_id is None] == [root]
    assert {one.service for one in spans} == {"wallet", "payments-gateway", "notifications"}
    # A unit that lost its race leaves a failed step behind it; the same step was then done.
    done = {(one.service, one.name, one.parent_id) for one in spans if not one.failed}
    failed = [one for one in spans if one.failed]
    assert [one for one in failed if one.attributes.get("error.type") != "OperationalError"] == []
    assert {(one.service, one.name, one.parent_id) for one in failed} <= done


def test_a_deposit_is_one_trace_from_its_request_to_its_mail(
    person: Person, system: System
) -> None:
    deposit = person.deposit("250.00")
    lines = _saga(system, deposit["id"], ends_with="wallet.deposit.completed.v1")
    trace_id = _assert_one_trace(lines, "wallet", "payments-gateway", "notifications")
    spans = _tree(system, trace_id, last="process wallet.deposit.completed.v1")
    _assert_grows_from("POST /v1/deposits", spans)
    # The webhook or a poll brought the money: the deposit's own trace goes on.
    assert any(one.name == "create payments.deposit.paid.v1" for one in spans)
    about = {str(one.attributes.get("octoco.aggregate_id", "")) for one in spans}
    assert {one for one in about if one.startswith("txn_")} == {deposit["id"]}


def test_a_webhook_has_a_trace_of_its_own_that_points_to_the_deposits(
    person: Person, system: System
) -> None:
    deposit = person.deposit("250.00")
    lines = _saga(system, deposit["id"], ends_with="wallet.deposit.completed.v1")
    spans = _tree(system, lines[0]["trace_id"], last="process wallet.deposit.completed.v1")
    assert system.spans is not None
    pointed_to = {link for one in spans for link in one.links}
    webhooks = [one for one in system.spans.all() if (one.trace_id, one.span_id) in pointed_to]
    looked_into = [one for one in webhooks if one.name == "perform process_webhook"]
    assert looked_into
    own = {(one.trace_id, one.span_id) for one in spans}
    assert all(own & set(one.links) for one in looked_into)


def test_a_withdrawal_is_one_trace_from_its_request_to_its_mail(
    person: Person, system: System
) -> None:
    person.deposit("100.00")
    withdrawal = person.withdraw("40.00", person.add_bank_account()).json()
    person.until_status(withdrawal["id"], "completed")
    lines = _saga(system, withdrawal["id"], ends_with="wallet.withdrawal.completed.v1")
    trace_id = _assert_one_trace(lines, "wallet", "payments-gateway", "notifications")
    spans = _tree(system, trace_id, last="process wallet.withdrawal.completed.v1")
    _assert_grows_from("POST /v1/withdrawals", spans)
    assert any(one.name == "create payments.payout.succeeded.v1" for one in spans)


def test_what_a_registration_sets_in_motion_is_one_trace_over_all_four(
    person: Person, system: System
) -> None:
    registrations = [
        line
        for line in _lines(system)
        if line.get("route") == "/v1/auth/register" and line["service"] == "accounts"
    ]
    trace_id = registrations[-1]["trace_id"]

    def services() -> set[str]:
        return {line["service"] for line in _lines(system) if line.get("trace_id") == trace_id}

    everybody = {"accounts", "wallet", "payments-gateway", "notifications"}
    eventually(lambda: services() == everybody, what="a line of each service")


def test_no_span_of_a_person_names_them(person: Person, system: System) -> None:
    deposit = person.deposit("10.00")
    account = person.add_bank_account("62000000777")
    withdrawal = person.withdraw("5.00", account).json()
    person.until_status(withdrawal["id"], "completed")
    for transaction, end in ((deposit, "deposit"), (withdrawal, "withdrawal")):
        lines = _saga(system, transaction["id"], ends_with=f"wallet.{end}.completed.v1")
        _tree(system, lines[0]["trace_id"], last=f"process wallet.{end}.completed.v1")
    assert system.spans is not None
    said = str(system.spans.all())
    for secret in (person.email, person.password, "Sipho", "62000000777", "4444333322221111"):
        assert secret not in said
    assert person.tokens["access_token"] not in said
