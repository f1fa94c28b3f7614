"""Whether a schema keeps what a published revision of it promised, both ways.

A reader of the old schema has to accept what a writer of the new one sends, and the other way
round: services are updated one after the other, and messages wait in outboxes, queues and dead
queues meanwhile. As writers send no field that their schema lacks and readers let such fields
through (`octoco.messaging.contracts`), new optional fields are the change that is always safe.

Exact for the part of JSON Schema that messages use; a keyword outside it is refused.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from octoco.messaging.contracts import NOT_SENT_YET, OPEN_ENUM, ORDERING_KEY, SECRET, Schema

IDENTITY: Final = ("$schema", "$id", "title")
# They bind nobody: a reader is a person.
ANNOTATIONS: Final = frozenset({"description", "examples", "deprecated", NOT_SENT_YET})
LOWER_BOUNDS: Final = ("minLength", "minItems", "minimum")
UPPER_BOUNDS: Final = ("maxLength", "maxItems", "maximum")
# Whether one of these lets more or less through than another one cannot be told in general.
OPAQUE: Final = ("pattern", "format")
KNOWN: Final = frozenset(
    {
        *IDENTITY,
        *ANNOTATIONS,
        *LOWER_BOUNDS,
        *UPPER_BOUNDS,
        *OPAQUE,
        *(ORDERING_KEY, SECRET, OPEN_ENUM),
        *("type", "enum", "properties", "required", "items", "additionalProperties"),
    }
)
# Each rule with what would go wrong.
RULES: Final[Mapping[str, str]] = {
    "unknown-keyword": "nobody can say what a change of it would break",
    "not-open": "readers would refuse the fields of newer writers",
    "incomplete": "a place has a type; an object says its properties, a list its items",
    "required-unknown": "it is required and described nowhere",
    "open-enum-not-text": "only a text of known values may get newer ones",
    "identity-changed": "it is another message then, and needs a version of its own",
    "ordering-key-changed": "messages sent before and after would lose their order",
    "field-removed": "readers of before may need it, and its name can never mean anything else",
    "field-required": "messages sent before do not have it",
    "field-optional": "readers of before refuse messages without it",
    "narrowed": "messages sent before would not be read any more",
    "widened": "readers of before would refuse messages sent from now on",
    "changed": "messages sent before, or readers of before, may not fit",
    "enum-opened": "readers of before refuse newer values; only a new field or version is open",
    "enum-closed": "newer values may have been sent before",
    "secret-shown": "tools would show what was masked before",
}


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that a schema breaks.

    Args:
        place: Path in the schema: `properties/amount/pattern`.
        rule: A key of `RULES`.
    """

    place: str
    rule: str

    def __str__(self) -> str:
        return f"{self.place or 'the schema'}: {self.rule}: {RULES[self.rule]}"


def breaches_of_form(schema: Schema, place: str = "") -> Iterator[Breach]:
    """Yield what makes a schema one that `breaches_of_promise` cannot judge.

    Args:
        schema: Of a message, or of a place in one.
        place: Where that is.
    """
    for keyword in sorted(set(schema) - KNOWN):
        yield Breach(_at(place, keyword), "unknown-keyword")
    types = _types(schema)
    fields: Mapping[str, Schema] = schema.get("properties", {})
    if (
        not types
        or ("object" in types) != ("properties" in schema)
        or ("array" in types) != ("items" in schema)
    ):
        yield Breach(place, "incomplete")
    if "object" in types and schema.get("additionalProperties") is not True:
        yield Breach(_at(place, "additionalProperties"), "not-open")
    if schema.get(OPEN_ENUM) and (types != {"string"} or "enum" not in schema):
        yield Breach(_at(place, OPEN_ENUM), "open-enum-not-text")
    for name in schema.get("required", []):
        if name not in fields:
            yield Breach(_at(place, f"required/{name}"), "required-unknown")
    for inner_place, inner in _inner(schema, place).items():
        yield from breaches_of_form(inner, inner_place)


def breaches_of_promise(old: Schema, new: Schema, place: str = "") -> Iterator[Breach]:
    """Yield what a new schema takes back of what a published one promised.

    Args:
        old: As published.
        new: As it is to be; both without breaches of form.
        place: Where in the message they are.
    """
    for keyword in IDENTITY:
        if old.get(keyword) != new.get(keyword):
            yield Breach(_at(place, keyword), "identity-changed")
    if old.get(ORDERING_KEY) != new.get(ORDERING_KEY):
        yield Breach(_at(place, ORDERING_KEY), "ordering-key-changed")
    if old.get(SECRET) and not new.get(SECRET):
        yield Breach(_at(place, SECRET), "secret-shown")
    yield from _of_sets(_at(place, "type"), _types(old), _types(new))
    yield from _of_enum(old, new, place)
    yield from _of_bounds(old, new, place)
    for keyword in OPAQUE:
        if old.get(keyword) != new.get(keyword):
            yield Breach(_at(place, keyword), "changed")
    yield from _of_required(old, new, place)
    before, after = _inner(old, place), _inner(new, place)
    for inner_place, inner in before.items():
        if inner_place in after:
            yield from breaches_of_promise(inner, after[inner_place], inner_place)
        else:
            yield Breach(inner_place, "field-removed")


def binding(schema: Schema) -> dict[str, Any]:
    """Return what of a schema binds its writers and readers, in an order of its own.

    Two schemas with the same answer promise the same, however they are written down.
    """
    kept: dict[str, Any] = {}
    for keyword in sorted(set(schema) - ANNOTATIONS):
        value = schema[keyword]
        if keyword == "properties":
            value = {name: binding(value[name]) for name in sorted(value)}
        elif keyword == "items":
            value = binding(value)
        elif keyword in {"required", "enum"}:
            value = sorted(value, key=json.dumps)
        elif keyword == "type":
            value = sorted(_types(schema))
        kept[keyword] = value
    return kept


def _of_enum(old: Schema, new: Schema, place: str) -> Iterator[Breach]:
    there = _at(place, OPEN_ENUM)
    if bool(old.get(OPEN_ENUM)) != bool(new.get(OPEN_ENUM)):
        yield Breach(there, "enum-opened" if new.get(OPEN_ENUM) else "enum-closed")
    before, after = _values(old), _values(new)
    if before is None or after is None:
        if before != after:
            yield Breach(_at(place, "enum"), "narrowed" if before is None else "widened")
        return
    if old.get(OPEN_ENUM) and new.get(OPEN_ENUM):
        # Readers let newer values through.
        after &= before
    yield from _of_sets(_at(place, "enum"), before, after)


def _of_sets(place: str, before: Iterable[str], after: Iterable[str]) -> Iterator[Breach]:
    if set(before) - set(after):
        yield Breach(place, "narrowed")
    if set(after) - set(before):
        yield Breach(place, "widened")


def _of_bounds(old: Schema, new: Schema, place: str) -> Iterator[Breach]:
    for keywords, unbounded, upwards in (
        (LOWER_BOUNDS, float("-inf"), "narrowed"),
        (UPPER_BOUNDS, float("inf"), "widened"),
    ):
        downwards = "widened" if upwards == "narrowed" else "narrowed"
        for keyword in keywords:
            before, after = old.get(keyword, unbounded), new.get(keyword, unbounded)
            if before != after:
                yield Breach(_at(place, keyword), upwards if after > before else downwards)


def _of_required(old: Schema, new: Schema, place: str) -> Iterator[Breach]:
    before, after = old.get("required", []), new.get("required", [])
    fields: Mapping[str, Schema] = new.get("properties", {})
    for name in sorted(set(after) - set(before)):
        yield Breach(_at(place, f"properties/{name}"), "field-required")
    for name in sorted(set(before) - set(after)):
        # One that is gone is told of as removed.
        if name in fields:
            yield Breach(_at(place, f"properties/{name}"), "field-optional")


def _types(schema: Schema) -> frozenset[str]:
    stated: str | Sequence[str] = schema.get("type", ())
    types = frozenset([stated] if isinstance(stated, str) else stated)
    # A whole number is a number.
    return types | {"integer"} if "number" in types else types


def _values(schema: Schema) -> set[str] | None:
    return {json.dumps(value) for value in schema["enum"]} if "enum" in schema else None


def _inner(schema: Schema, place: str) -> dict[str, Schema]:
    inner: dict[str, Schema] = {
        _at(place, f"properties/{name}"): rule
        for name, rule in schema.get("properties", {}).items()
    }
    if "items" in schema:
        inner[_at(place, "items")] = schema["items"]
    return inner


def _at(place: str, keyword: str) -> str:
    return f"{place}/{keyword}" if place else keyword
