"""Frozen copies of schemas: what is added to them, what is refused, and in which words."""

import json
from pathlib import Path
from typing import Any

import pytest

from octoco.messaging.published import IncompatibleContracts, PublishedContracts

NAME = "probe.order.placed.v1"
SCHEMA = {
    "title": NAME,
    "description": "Something was ordered.",
    "type": "object",
    "required": ["order_id"],
    "properties": {"order_id": {"type": "string", "maxLength": 9}},
    "additionalProperties": True,
}


def write(folder: Path, name: str = NAME, **fields: dict[str, Any]) -> None:
    schema = {**SCHEMA, "title": name, "properties": {**SCHEMA["properties"], **fields}}  # type: ignore[dict-item]
    (folder / f"{name}.json").write_text(json.dumps(schema))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path)
    PublishedContracts(tmp_path).publish()
    return tmp_path


def frozen(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "published").iterdir())


def test_a_schema_is_frozen_once(folder: Path) -> None:
    assert frozen(folder) == ["SHA256SUMS", f"{NAME}.r1.json"]
    assert PublishedContracts(folder).publish() == []
    assert PublishedContracts(folder).complaints({NAME: "shop"}) == []


def test_a_schema_that_promises_more_is_frozen_beside_the_one_before(folder: Path) -> None:
    write(folder, note={"type": "string"})
    said = f"{NAME}.json: the schema: not-published: run `make contracts`"
    assert PublishedContracts(folder).complaints({}) == [said]
    added = PublishedContracts(folder).publish()
    assert [path.name for path in added] == [f"{NAME}.r2.json"]
    assert frozen(folder) == ["SHA256SUMS", f"{NAME}.r1.json", f"{NAME}.r2.json"]
    assert PublishedContracts(folder).complaints({}) == []


def test_other_words_alone_are_no_revision(folder: Path) -> None:
    (folder / f"{NAME}.json").write_text(json.dumps({**SCHEMA, "description": "It was ordered."}))
    assert PublishedContracts(folder).complaints({}) == []
    assert PublishedContracts(folder).publish() == []


def test_a_broken_promise_is_refused_in_one_line_and_nothing_is_frozen(folder: Path) -> None:
    write(folder, order_id={"type": "string", "maxLength": 8}, note={"type": "string"})
    write(folder, "probe.order.gone.v1")
    line = (
        f"{NAME}.json: properties/order_id/maxLength: narrowed: "
        "messages sent before would not be read any more"
    )
    assert line in PublishedContracts(folder).complaints({})
    with pytest.raises(IncompatibleContracts) as caught:
        PublishedContracts(folder).publish()
    assert str(caught.value) == line
    assert frozen(folder) == ["SHA256SUMS", f"{NAME}.r1.json"]


def test_every_revision_is_kept_to_and_not_only_the_last(folder: Path) -> None:
    write(folder, note={"type": "string"})
    PublishedContracts(folder).publish()
    write(folder)
    with pytest.raises(IncompatibleContracts, match=f"{NAME}.json: properties/note: field-removed"):
        PublishedContracts(folder).publish()


def test_the_tenth_revision_is_later_than_the_ninth(folder: Path) -> None:
    fields: dict[str, Any] = {}
    for number in range(2, 12):
        fields[f"field_{number}"] = {"type": "string"}
        write(folder, **fields)
        (added,) = PublishedContracts(folder).publish()
        assert added.name == f"{NAME}.r{number}.json"
    assert PublishedContracts(folder).complaints({}) == []


def test_a_schema_outside_the_house_rules_is_not_frozen(folder: Path) -> None:
    write(folder, "probe.order.gone.v1", note={"type": "string", "not": {}})
    with pytest.raises(IncompatibleContracts, match="properties/note/not: unknown-keyword"):
        PublishedContracts(folder).publish()


@pytest.mark.parametrize("what", ["changed", "removed", "smuggled in"])
def test_a_frozen_copy_that_is_touched_is_told_and_nothing_is_frozen_on_top(
    folder: Path, what: str
) -> None:
    name = f"{NAME}.r2.json" if what == "smuggled in" else f"{NAME}.r1.json"
    copy = folder / "published" / name
    if what == "removed":
        copy.unlink()
    else:
        copy.write_text(json.dumps(SCHEMA, indent=1))
    line = f"published/{name}: the file: frozen: copies are never changed or removed"
    assert line in PublishedContracts(folder).complaints({})
    with pytest.raises(IncompatibleContracts, match="the file: frozen"):
        PublishedContracts(folder).publish()


def test_a_version_goes_only_when_nobody_uses_it(folder: Path) -> None:
    (folder / f"{NAME}.json").unlink()
    said = f"{NAME}.json: the file: version-removed: shop uses it"
    assert PublishedContracts(folder).complaints({NAME: "shop"}) == [said]
    assert PublishedContracts(folder).complaints({}) == []


def test_a_version_that_comes_back_keeps_what_it_promised(folder: Path) -> None:
    (folder / f"{NAME}.json").unlink()
    PublishedContracts(folder).publish()
    write(folder, order_id={"type": "integer"})
    with pytest.raises(IncompatibleContracts, match="properties/order_id/type: narrowed"):
        PublishedContracts(folder).publish()
