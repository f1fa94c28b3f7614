"""What is let out and what is let in, and what is shown of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from octoco.messaging.contracts import MASKED, Contracts, ContractViolation

EVENT_TYPE = "probe.order.placed.v1"
LINE = {
    "type": "object",
    "required": ["sku", "kind"],
    "properties": {
        "sku": {"type": "string", "maxLength": 8},
        "kind": {"type": "string", "enum": ["book", "pen"], "x-octoco-open-enum": True},
        "gift_code": {"type": "string", "x-octoco-secret": True},
    },
    "additionalProperties": True,
}
SCHEMA = {
    "type": "object",
    "required": ["status", "lines", "buyer"],
    "properties": {
        "status": {"type": "string", "enum": ["paid", "open"]},
        "lines": {"type": "array", "items": LINE},
        "buyer": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": ["string", "null"]}},
            "additionalProperties": True,
        },
    },
    "additionalProperties": True,
}


@pytest.fixture
def contracts(tmp_path: Path) -> Contracts:
    (tmp_path / f"{EVENT_TYPE}.json").write_text(json.dumps(SCHEMA))
    return Contracts(tmp_path)


def body(**changes: Any) -> dict[str, Any]:
    line = {"sku": "A1", "kind": "book"}
    return {"status": "paid", "lines": [line], "buyer": {"name": None}, **changes}


NEWER = {
    "on top": body(newer=1),
    "in an object": body(buyer={"name": "x", "newer": {"deep": 1}}),
    "in a list": body(lines=[{"sku": "A1", "kind": "book", "newer": []}]),
}


@pytest.mark.parametrize("place", NEWER)
def test_a_field_that_the_schema_lacks_is_read_and_never_sent(
    contracts: Contracts, place: str
) -> None:
    contracts.check_inbound(EVENT_TYPE, NEWER[place])
    with pytest.raises(ContractViolation, match="additionalProperties"):
        contracts.check_outbound(EVENT_TYPE, NEWER[place])


def test_a_newer_value_is_read_only_where_the_schema_says_so_and_never_sent(
    contracts: Contracts,
) -> None:
    open_one = body(lines=[{"sku": "A1", "kind": "pencil"}])
    contracts.check_inbound(EVENT_TYPE, open_one)
    with pytest.raises(ContractViolation, match="lines/0/kind breaks the rule 'enum'"):
        contracts.check_outbound(EVENT_TYPE, open_one)
    with pytest.raises(ContractViolation, match="status breaks the rule 'enum'"):
        contracts.check_inbound(EVENT_TYPE, body(status="lost"))


def test_a_newer_value_of_another_type_is_not_read(contracts: Contracts) -> None:
    with pytest.raises(ContractViolation, match="lines/0/kind breaks the rule 'type'"):
        contracts.check_inbound(EVENT_TYPE, body(lines=[{"sku": "A1", "kind": 7}]))


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        ({"buyer": {}}, "buyer breaks the rule 'required'"),
        ({"lines": [{"sku": "A" * 9, "kind": "pen"}]}, "lines/0/sku breaks the rule 'maxLength'"),
        ({"status": "\ud800"}, "the body is no Unicode"),
    ],
)
def test_what_does_not_fit_passes_neither_way_and_is_not_repeated(
    contracts: Contracts, changed: dict[str, Any], place: str
) -> None:
    for check in (contracts.check_outbound, contracts.check_inbound):
        with pytest.raises(ContractViolation) as caught:
            check(EVENT_TYPE, body(**changed))
        assert str(caught.value) == f"{EVENT_TYPE}: {place}"


def test_a_type_without_a_schema_passes_neither_way(contracts: Contracts) -> None:
    for check in (contracts.check_outbound, contracts.check_inbound):
        with pytest.raises(ContractViolation, match=r"probe\.thing\.v1 has no schema"):
            check("probe.thing.v1", {})


def test_what_is_marked_as_secret_is_masked_on_every_level(contracts: Contracts) -> None:
    line = {"sku": "A1", "kind": "book", "gift_code": "4711"}
    shown = contracts.masked(EVENT_TYPE, body(lines=[line, "no line"], newer="kept"))
    assert shown["lines"] == [{**line, "gift_code": MASKED}, "no line"]
    assert shown["newer"] == "kept"
    assert line["gift_code"] == "4711"


def test_of_a_type_without_a_schema_nothing_is_shown(contracts: Contracts) -> None:
    assert contracts.masked("probe.thing.v1", {"token": "4711"}) == MASKED


def test_a_folder_without_schemas_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no message schemas"):
        Contracts(tmp_path)
