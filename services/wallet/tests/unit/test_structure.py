"""What the wallet's parts promise each other: codes, statuses, contracts, documents, settings."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

import wallet.domain.errors
from octoco.clock import SystemClock
from octoco.config import read_settings
from octoco.errors import ConfigurationError, Refusal
from octoco.messaging.contracts import Contracts
from octoco.money import Money
from wallet.config import Settings, read
from wallet.domain.limits import Bounds, Limits
from wallet.domain.transactions import LEGAL_MOVES, TransactionKind
from wallet.entrypoints.consumer import handlers
from wallet.entrypoints.http import openapi
from wallet.entrypoints.http.refusals import REFUSAL_STATUS
from wallet.messages import inbound, outbound
from wallet.sagas.deposit import DEPOSIT_SAGA
from wallet.sagas.document import sagas_document
from wallet.sagas.withdrawal import WITHDRAWAL_SAGA

ROOT = Path(__file__).parents[4]
NEEDED = {"DATABASE_URL": "postgresql://x", "AMQP_URL": "amqp://x", "JWKS_URL": "http://x"}


def own_refusals() -> list[type[Refusal]]:
    return [
        thing
        for thing in vars(wallet.domain.errors).values()
        if isinstance(thing, type) and issubclass(thing, Refusal) and thing is not Refusal
    ]


def test_every_refusal_has_an_http_status_and_stands_in_the_tree() -> None:
    assert set(REFUSAL_STATUS) == set(own_refusals())
    assert all(400 <= status < 500 for status in REFUSAL_STATUS.values())
    tree = wallet.domain.errors.__doc__ or ""
    assert [refusal.__name__ for refusal in own_refusals() if refusal.__name__ not in tree] == []


def test_every_refusal_has_a_code_of_its_own() -> None:
    codes = [refusal.code for refusal in own_refusals()]
    assert len(set(codes)) == len(codes)


def types_in(module: object) -> set[str]:
    return {
        thing.TYPE
        for thing in vars(module).values()
        if isinstance(thing, type) and hasattr(thing, "TYPE")
    }


def test_every_message_has_a_contract() -> None:
    known = set(Contracts().event_types)
    assert types_in(inbound) | types_in(outbound) <= known
    assert types_in(outbound) == {name for name in known if name.startswith("wallet.")}


def test_every_event_that_has_a_class_has_a_handler() -> None:
    limits = Limits(deposits=Bounds(), withdrawals=Bounds())
    assert set(handlers(clock=SystemClock(), limits=limits)) == types_in(inbound)


def test_a_saga_waits_only_for_events_that_are_handled() -> None:
    for saga in (DEPOSIT_SAGA, WITHDRAWAL_SAGA):
        for step in saga.steps:
            assert set(step.answers) <= types_in(inbound)
            assert (step.deadline is None) == (not step.answers and not step.decisions)


def test_the_sagas_document_is_what_the_code_runs_on() -> None:
    written = (ROOT / "docs" / "sagas.md").read_text(encoding="utf-8")
    assert written == sagas_document(), "run: wallet diagrams > docs/sagas.md"


def test_only_a_deposit_may_complete_after_it_ended() -> None:
    revived = {
        kind: {
            state.value
            for state in table.moves
            if state.value in {"failed", "expired", "cancelled"} and not table.is_final(state)
        }
        for kind, table in LEGAL_MOVES.items()
    }
    assert revived[TransactionKind.DEPOSIT] == {"failed", "expired", "cancelled"}
    assert revived[TransactionKind.WITHDRAWAL] == set()


def test_the_openapi_document_names_every_route_and_asks_for_keys_where_money_moves() -> None:
    paths = json.loads(json.dumps(openapi()))["paths"]
    posts = {path: item["post"] for path, item in paths.items() if "post" in item}
    assert set(posts) == {
        "/v1/deposits",
        "/v1/deposits/{transaction_id}/cancel",
        "/v1/withdrawals",
        "/v1/withdrawals/{transaction_id}/cancel",
        "/v1/admin/adjustments",
        "/v1/admin/adjustments/{adjustment_id}/approve",
        "/v1/admin/adjustments/{adjustment_id}/refuse",
        "/v1/admin/suspense",
        "/v1/admin/suspense/{purchase_id}/assign",
        "/v1/admin/suspense/{purchase_id}/undo",
        "/v1/admin/withdrawals/{transaction_id}/approve",
        "/v1/admin/withdrawals/{transaction_id}/refuse",
    }
    for operation in posts.values():
        names = {parameter.get("name") for parameter in operation["parameters"]}
        assert "Idempotency-Key" in names
        assert operation["security"] == [{"bearer": []}]


def settings_of(monkeypatch: pytest.MonkeyPatch, changes: Mapping[str, str | None]) -> Settings:
    for name, value in {**NEEDED, **changes}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    return read_settings(read)


def test_limits_are_read_by_currency(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(
        monkeypatch,
        {
            "WITHDRAWAL_LIMIT_PER_TRANSACTION": "ZAR=10.00, JPY=500",
            "WITHDRAWAL_COUNT_PER_HOUR": "ZAR=3,JPY=none",
            "WITHDRAWAL_LIMIT_PER_DAY": "JPY=none,ZAR=20.00,finance:ZAR=5.00",
            "WITHDRAWAL_LIMIT_PER_MONTH": "ZAR=30.00,JPY=1000",
            "WITHDRAWAL_REVIEW_ABOVE": "ZAR=0.00,JPY=none,admin:JPY=1",
        },
    )
    bounds = settings.limits.withdrawals
    assert {code: str(limit) for code, limit in bounds.per_transaction.items()} == {
        "ZAR": "ZAR 10.00",
        "JPY": "JPY 500",
    }
    assert bounds.per_hour == {"ZAR": 3, "JPY": None}
    assert str(bounds.per_day["ZAR"]) == "ZAR 20.00"
    of_finance = settings.limits.for_roles({"user", "finance", "juggler"}).withdrawals
    assert str(of_finance.per_day["ZAR"]) == "ZAR 5.00"
    assert of_finance.per_day["JPY"] is None
    of_both = settings.limits.for_roles({"finance", "admin"}).withdrawals
    assert of_both.need_review(Money.parse("2", "JPY"))
    assert not bounds.need_review(Money.parse("2", "JPY"))
    assert bounds.need_review(Money.parse("0.01", "ZAR"))
    assert "postgresql" not in repr(settings)


def test_only_what_is_named_differs_by_role(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = settings_of(monkeypatch, {}).limits
    assert limits.by_role == {}
    assert limits.for_roles({"user"}) == limits


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", None),
        ("JWKS_URL", None),
        ("WITHDRAWAL_LIMIT_PER_DAY", "ZAR=ten"),
        ("WITHDRAWAL_LIMIT_PER_DAY", "RAND=10"),
        ("WITHDRAWAL_LIMIT_PER_DAY", "ZAR=-1.00"),
        ("WITHDRAWAL_LIMIT_PER_DAY", "ZAR=1.001"),
        ("WITHDRAWAL_LIMIT_PER_DAY", "ZAR=1.00,ZAR=2.00"),
        ("WITHDRAWAL_LIMIT_PER_DAY", "ZAR=1.00,juggler:ZAR=2.00"),
        ("WITHDRAWAL_LIMIT_PER_DAY", "finance:ZAR=1.00"),
        ("WITHDRAWAL_LIMIT_PER_MONTH", "ZAR=1.00,JPY=1"),
        ("WITHDRAWAL_LIMIT_PER_MONTH", "XXX=1.00"),
        ("WITHDRAWAL_COUNT_PER_HOUR", "ZAR=1.5"),
        ("WITHDRAWAL_REVIEW_ABOVE", ""),
        ("DEPOSIT_COUNT_PER_HOUR", "ZAR=many"),
        ("DEPOSIT_LIMIT_PER_TRANSACTION", ""),
        ("WORKER_PORT", "many"),
    ],
)
def test_a_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str | None
) -> None:
    with pytest.raises(ConfigurationError, match=name):
        settings_of(monkeypatch, {name: value})
