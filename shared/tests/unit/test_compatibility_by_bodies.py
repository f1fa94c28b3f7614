"""The rules against what they are for: bodies, of made-up schemas and of changes made at random."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

from octoco.messaging.compatibility import breaches_of_form, breaches_of_promise
from octoco.messaging.contracts import Contracts

Schema = dict[str, Any]

EVENT_TYPE = "probe.thing.v1"
NAMES = ("a", "b", "c")
PATTERNS = ("^x", "^x?y*$", "z")
WORDS = ("x", "xy", "xyy", "z", "", "xzzzz")
NUMBERS_TRIED = (-3, -2, -1, 0, 0.5, 1, 2, 3, 4, 5)
VALUES = ("new", "old", "odd")


def nullable(kind: str) -> st.SearchStrategy[Any]:
    return st.sampled_from([kind, [kind, "null"]])


TEXTS: st.SearchStrategy[Schema] = st.fixed_dictionaries(
    {"type": nullable("string")},
    optional={
        "minLength": st.integers(0, 2),
        "maxLength": st.integers(2, 5),
        "pattern": st.sampled_from(PATTERNS),
    },
)
NUMBERS: st.SearchStrategy[Schema] = st.fixed_dictionaries(
    {"type": nullable("integer") | nullable("number")},
    optional={"minimum": st.integers(-2, 1), "maximum": st.integers(1, 4)},
)
ENUMS: st.SearchStrategy[Schema] = st.fixed_dictionaries(
    {
        "type": st.just("string"),
        "enum": st.lists(st.sampled_from(VALUES), min_size=1, unique=True),
    },
    optional={"x-octoco-open-enum": st.booleans()},
)


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[Schema]) -> Schema:
    fields = draw(st.dictionaries(st.sampled_from(NAMES), inner, min_size=1))
    required = draw(st.lists(st.sampled_from(sorted(fields)), unique=True))
    return {
        "type": "object",
        "properties": fields,
        "required": required,
        "additionalProperties": True,
    }


def lists(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    return st.fixed_dictionaries(
        {"type": st.just("array"), "items": inner},
        optional={"minItems": st.integers(0, 1), "maxItems": st.integers(1, 2)},
    )


PLACES = st.recursive(
    TEXTS | NUMBERS | ENUMS, lambda inner: objects(inner) | lists(inner), max_leaves=4
)
SCHEMAS = objects(PLACES)


def places(schema: Schema) -> Iterator[Schema]:
    yield schema
    for inner in schema.get("properties", {}).values():
        yield from places(inner)
    if "items" in schema:
        yield from places(schema["items"])


@st.composite
def changes(draw: st.DrawFn, old: Schema) -> Schema:
    """Change a few places of a schema, each to something like what it was."""
    new = copy.deepcopy(old)
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.sampled_from(list(places(new))))
        if "properties" in place:
            _change_object(draw, place)
        elif "items" in place:
            place["maxItems"] = draw(st.integers(1, 2))
        else:
            _change_leaf(draw, place)
    return new


def _change_leaf(draw: st.DrawFn, place: Schema) -> None:
    leaves = NUMBERS
    if "string" in place["type"]:
        leaves = ENUMS if "enum" in place else TEXTS
    other = draw(leaves)
    # One keyword alone, so that what changes can be told from what it changes with.
    keyword = draw(st.sampled_from(sorted({*place, *other})))
    if keyword in other:
        place[keyword] = other[keyword]
    else:
        del place[keyword]


def _change_object(draw: st.DrawFn, place: Schema) -> None:
    fields: dict[str, Schema] = place["properties"]
    required: list[str] = place["required"]
    name = draw(st.sampled_from(NAMES))
    if name not in fields:
        fields[name] = draw(PLACES)
        if draw(st.integers(0, 3)) == 0:
            required.append(name)
    elif name in required:
        required.remove(name)
    elif len(fields) > 1 and draw(st.booleans()):
        del fields[name]
    else:
        required.append(name)


def bodies(schema: Schema) -> list[Any]:
    """Say what the schema lets through: every value of a leaf, and of the rest one by one."""
    if "properties" in schema:
        return _objects(schema)
    if "items" in schema:
        items = bodies(schema["items"])
        found: list[Any] = [items[:length] for length in range(4)] + [[item] for item in items]
    else:
        found = [None, *WORDS, *NUMBERS_TRIED, *schema.get("enum", ())]
    validator = Draft202012Validator(schema)
    return [body for body in found if validator.is_valid(body)]


def _objects(schema: Schema) -> list[Any]:
    required = schema["required"]
    values = {name: bodies(rule) for name, rule in schema["properties"].items()}
    if any(not values[name] for name in required):
        return []
    whole = {name: found[0] for name, found in values.items() if found}
    one_by_one = [{**whole, name: value} for name, found in values.items() for value in found]
    without = [
        {other: value for other, value in whole.items() if other != name}
        for name in values
        if name not in required
    ]
    return [whole, *one_by_one, *without]


def contracts_of(schema: Schema) -> Contracts:
    with TemporaryDirectory() as folder:
        (Path(folder) / f"{EVENT_TYPE}.json").write_text(json.dumps(schema))
        return Contracts(Path(folder))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_what_either_writer_sends_the_other_reader_reads_unless_the_change_is_refused(
    data: st.DataObject,
) -> None:
    old = data.draw(SCHEMAS, "old")
    new = data.draw(changes(old), "new")
    assume(not list(breaches_of_form(old)) and not list(breaches_of_form(new)))
    refused = [str(breach) for breach in breaches_of_promise(old, new)]
    event("refused" if refused else "passed")
    if refused:
        return
    before, after = contracts_of(old), contracts_of(new)
    for writer, reader, schema in ((before, after, old), (after, before, new)):
        for body in bodies(schema):
            writer.check_outbound(EVENT_TYPE, body)
            reader.check_inbound(EVENT_TYPE, body)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([TEXTS, NUMBERS]).flatmap(lambda leaves: st.tuples(leaves, leaves)))
def test_two_leaves_that_let_different_values_through_are_never_taken_for_compatible(
    leaves: tuple[Schema, Schema],
) -> None:
    old, new = leaves
    if json.dumps(bodies(old)) != json.dumps(bodies(new)):
        assert list(breaches_of_promise(old, new))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_schema_compared_with_itself_breaks_nothing(data: st.DataObject) -> None:
    schema = data.draw(SCHEMAS)
    assert list(breaches_of_promise(schema, copy.deepcopy(schema))) == []
