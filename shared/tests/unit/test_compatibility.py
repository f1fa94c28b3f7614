"""What a schema may become once it is published: each rule with a change that breaks it."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from octoco.messaging.compatibility import (
    RULES,
    binding,
    breaches_of_form,
    breaches_of_promise,
)

Change = Callable[[dict[str, Any]], object]

TEXT = {"type": "string"}
OLD: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "urn:probe:order.v1",
    "title": "order.v1",
    "description": "Something was ordered.",
    "x-octoco-ordering-key": ["order_id"],
    "type": "object",
    "required": ["order_id", "lines"],
    "properties": {
        "order_id": {"type": "string", "pattern": "^o_[0-9]+$", "minLength": 3, "maxLength": 9},
        "placed_at": {"type": "string", "format": "date-time"},
        "note": {"type": ["string", "null"], "x-octoco-secret": True},
        "state": {"type": "string", "enum": ["new", "paid"]},
        "origin": {"type": "string", "enum": ["shop", "web"], "x-octoco-open-enum": True},
        "lines": {
            "type": "array",
            "minItems": 1,
            "maxItems": 5,
            "items": {
                "type": "object",
                "required": ["sku"],
                "properties": {"sku": TEXT, "count": {"type": "integer", "minimum": 1}},
                "additionalProperties": True,
            },
        },
    },
    "additionalProperties": True,
    "examples": [{"order_id": "o_1", "lines": [{"sku": "A"}]}],
}


def changed(change: Change) -> dict[str, Any]:
    schema = copy.deepcopy(OLD)
    change(schema)
    return schema


def field(name: str, **rule: Any) -> Change:
    """Change rules of a field; None takes one away."""

    def change(schema: dict[str, Any]) -> None:
        found = schema["properties"][name]
        found.update(rule)
        for keyword in [keyword for keyword, value in rule.items() if value is None]:
            del found[keyword]

    return change


def line(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schema["properties"]["lines"]["items"]
    return found


def rename(schema: dict[str, Any]) -> None:
    schema["properties"]["remark"] = schema["properties"].pop("note")


def mark(name: str, *, on: bool) -> Change:
    return field(name, **{"x-octoco-open-enum": on})


COMPATIBLE: dict[str, Change] = {
    "nothing": lambda schema: None,
    "an optional field": lambda schema: schema["properties"].update(gift=TEXT),
    "an optional field in a list": lambda schema: line(schema)["properties"].update(gift=TEXT),
    "an optional object with required fields": lambda schema: schema["properties"].update(
        buyer={
            "type": "object",
            "required": ["name"],
            "properties": {"name": TEXT},
            "additionalProperties": True,
        }
    ),
    "other words": lambda schema: schema.update(description="It was ordered.", examples=[]),
    "nobody sends it any more": lambda schema: schema.update(deprecated=True),
    "a newer value of an open enum": field("origin", enum=["shop", "web", "app"]),
    "another order of what has none": lambda schema: schema.update(required=["lines", "order_id"]),
    "a mark that more is secret": field("order_id", **{"x-octoco-secret": True}),
}
BREACHES: dict[str, tuple[Change, str]] = {
    "another id": (
        lambda schema: schema.update({"$id": "urn:probe:order.v2"}),
        "$id: identity-changed",
    ),
    "another dialect": (lambda schema: schema.pop("$schema"), "$schema: identity-changed"),
    "another order of messages": (
        lambda schema: schema.update({"x-octoco-ordering-key": ["note"]}),
        "x-octoco-ordering-key: ordering-key-changed",
    ),
    "a field gone": (
        lambda schema: schema["properties"].pop("note"),
        "properties/note: field-removed",
    ),
    "a field renamed": (rename, "properties/note: field-removed"),
    "a field gone from a list's items": (
        lambda schema: line(schema)["properties"].pop("count"),
        "properties/lines/items/properties/count: field-removed",
    ),
    "a new required field": (
        lambda schema: (
            schema["properties"].update(gift=TEXT),
            schema["required"].append("gift"),
        ),
        "properties/gift: field-required",
    ),
    "an optional field required": (
        lambda schema: schema["required"].append("note"),
        "properties/note: field-required",
    ),
    "a required field optional": (
        lambda schema: schema["required"].remove("order_id"),
        "properties/order_id: field-optional",
    ),
    "a field of the items required": (
        lambda schema: line(schema)["required"].append("count"),
        "properties/lines/items/properties/count: field-required",
    ),
    "null no more": (field("note", type="string"), "properties/note/type: narrowed"),
    "null as well": (
        field("placed_at", type=["string", "null"]),
        "properties/placed_at/type: widened",
    ),
    "any number for a whole one": (
        lambda schema: line(schema)["properties"]["count"].update(type="number"),
        "properties/lines/items/properties/count/type: widened",
    ),
    "a value gone": (field("state", enum=["new"]), "properties/state/enum: narrowed"),
    "a newer value": (field("state", enum=["new", "paid", "x"]), "properties/state/enum: widened"),
    "a value gone from an open enum": (
        field("origin", enum=["shop"]),
        "properties/origin/enum: narrowed",
    ),
    "any value": (field("state", enum=None), "properties/state/enum: widened"),
    "few values": (field("order_id", enum=["o_1"]), "properties/order_id/enum: narrowed"),
    "an enum opened": (mark("state", on=True), "properties/state/x-octoco-open-enum: enum-opened"),
    "an enum closed": (
        mark("origin", on=False),
        "properties/origin/x-octoco-open-enum: enum-closed",
    ),
    "another pattern": (field("order_id", pattern="^o_"), "properties/order_id/pattern: changed"),
    "no pattern": (field("order_id", pattern=None), "properties/order_id/pattern: changed"),
    "a pattern": (field("note", pattern="^x"), "properties/note/pattern: changed"),
    "another format": (field("placed_at", format="date"), "properties/placed_at/format: changed"),
    "no format": (field("placed_at", format=None), "properties/placed_at/format: changed"),
    "longer": (field("order_id", maxLength=10), "properties/order_id/maxLength: widened"),
    "shorter": (field("order_id", maxLength=8), "properties/order_id/maxLength: narrowed"),
    "of any length": (field("order_id", maxLength=None), "properties/order_id/maxLength: widened"),
    "of some length": (field("note", maxLength=10), "properties/note/maxLength: narrowed"),
    "at least longer": (field("order_id", minLength=4), "properties/order_id/minLength: narrowed"),
    "at least shorter": (field("order_id", minLength=2), "properties/order_id/minLength: widened"),
    "no minimum": (
        lambda schema: line(schema)["properties"]["count"].pop("minimum"),
        "properties/lines/items/properties/count/minimum: widened",
    ),
    "a maximum": (
        lambda schema: line(schema)["properties"]["count"].update(maximum=9),
        "properties/lines/items/properties/count/maximum: narrowed",
    ),
    "fewer items": (field("lines", maxItems=4), "properties/lines/maxItems: narrowed"),
    "an empty list": (field("lines", minItems=0), "properties/lines/minItems: widened"),
    "a secret shown": (
        field("note", **{"x-octoco-secret": None}),
        "properties/note/x-octoco-secret: secret-shown",
    ),
}
ILL_FORMED: dict[str, tuple[Change, str]] = {
    "a keyword from outside": (
        lambda schema: schema.update(oneOf=[]),
        "oneOf: unknown-keyword",
    ),
    "one within": (field("note", contentEncoding="base64"), "properties/note/contentEncoding"),
    "closed": (
        lambda schema: schema.update(additionalProperties=False),
        "additionalProperties: not-open",
    ),
    "closed within": (
        lambda schema: line(schema).pop("additionalProperties"),
        "properties/lines/items/additionalProperties: not-open",
    ),
    "no type": (field("state", type=None), "properties/state: incomplete"),
    "an object that says nothing": (field("note", type="object"), "properties/note: incomplete"),
    "a list of anything": (field("lines", items=None), "properties/lines: incomplete"),
    "required and unknown": (
        lambda schema: schema["required"].append("gift"),
        "required/gift: required-unknown",
    ),
    "an open enum of numbers": (
        field("origin", type="integer", enum=[1]),
        "properties/origin/x-octoco-open-enum: open-enum-not-text",
    ),
}


@pytest.mark.parametrize("what", COMPATIBLE)
def test_a_change_that_breaks_nobody_passes(what: str) -> None:
    new = changed(COMPATIBLE[what])
    assert [*breaches_of_form(new), *breaches_of_promise(OLD, new)] == []


@pytest.mark.parametrize("what", BREACHES)
def test_a_change_that_breaks_somebody_is_refused_with_its_place_and_rule(what: str) -> None:
    change, said = BREACHES[what]
    breaches = [str(breach) for breach in breaches_of_promise(OLD, changed(change))]
    assert breaches == [f"{said}: {RULES[said.rpartition(': ')[2]]}"]


@pytest.mark.parametrize("what", ILL_FORMED)
def test_a_schema_that_cannot_be_judged_is_refused(what: str) -> None:
    change, said = ILL_FORMED[what]
    assert list(breaches_of_form(OLD)) == []
    assert [breach for breach in map(str, breaches_of_form(changed(change))) if said in breach]


def test_every_rule_has_a_change_that_breaks_it() -> None:
    broken = {
        breach.rule
        for change, _ in [*BREACHES.values(), *ILL_FORMED.values()]
        for breach in [
            *breaches_of_form(changed(change)),
            *breaches_of_promise(OLD, changed(change)),
        ]
    }
    assert broken == set(RULES)


def test_words_and_order_bind_nobody_and_everything_else_does() -> None:
    words = ("nothing", "other words", "nobody sends it any more", "another order of what has none")
    assert all(binding(changed(COMPATIBLE[what])) == binding(OLD) for what in words)
    rest = [change for what, change in COMPATIBLE.items() if what not in words]
    rest += [change for change, _ in BREACHES.values()]
    assert all(binding(changed(change)) != binding(OLD) for change in rest)
