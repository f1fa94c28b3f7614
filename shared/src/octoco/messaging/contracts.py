"""The published language: one JSON Schema for each version of each message."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from jsonschema_rs import Draft202012Validator

Schema = Mapping[str, Any]

CONTRACTS_DIR: Final = Path(__file__).parents[3] / "contracts"
# Marks of our own; a validator reads past them.
SECRET: Final = "x-octoco-secret"  # noqa: S105 - the name of a mark
OPEN_ENUM: Final = "x-octoco-open-enum"
ORDERING_KEY: Final = "x-octoco-ordering-key"
# Why an event is not sent yet, though it is promised and heard.
NOT_SENT_YET: Final = "x-octoco-not-sent-yet"
MASKED: Final = "***"


class ContractViolation(ValueError):
    """A message does not fit its schema, or has none: a bug on the side that wrote it."""


class Contracts:
    """Checks message bodies against the schemas of one folder.

    Who writes is held to the letter and who reads is not, so that services may be updated one
    after the other, in any order.

    Args:
        directory: Holds `<event type>.json` files.

    Raises:
        FileNotFoundError: the folder holds no schema.
    """

    def __init__(self, directory: Path = CONTRACTS_DIR) -> None:
        self._schemas: dict[str, dict[str, Any]] = {
            path.stem: json.loads(path.read_text(encoding="utf-8"))
            for path in sorted(directory.glob("*.json"))
        }
        if not self._schemas:
            raise FileNotFoundError(f"no message schemas in {directory}")
        self._outbound = self._validators(_closed)
        self._inbound = self._validators(_without_open_enum)

    @property
    def event_types(self) -> tuple[str, ...]:
        return tuple(self._schemas)

    def schema(self, event_type: str) -> Schema:
        """Return the schema of one event type.

        Raises:
            ContractViolation: there is none.
        """
        try:
            return self._schemas[event_type]
        except KeyError:
            raise ContractViolation(f"{event_type} has no schema") from None

    def check_outbound(self, event_type: str, data: object) -> None:
        """Let a body pass that is to be sent: it fits, and has no field that the schema lacks.

        Raises:
            ContractViolation: the type has no schema, or the body does not fit; the message names
                the place and the rule and never repeats the value.
        """
        self._check(self._outbound, event_type, data)

    def check_inbound(self, event_type: str, data: object) -> None:
        """Let a body pass that was received, though its sender may know a newer schema.

        Fields that ours lacks pass on every level, and so do newer values of an enum that the
        schema marks as open; everything else has to fit.

        Raises:
            ContractViolation: as from `check_outbound`.
        """
        self._check(self._inbound, event_type, data)

    def masked(self, event_type: str, data: object) -> Any:
        """Return a body for showing: what the schema marks as secret stands as `***`.

        Args:
            event_type: Of the body; where it has no schema, nothing is known to be secret and
                everything is masked.
            data: As stored or received, fitting or not; it is left as it is.
        """
        schema = self._schemas.get(event_type)
        return MASKED if schema is None else _masked(schema, data)

    def _validators(self, rewrite: Callable[[Schema], Schema]) -> dict[str, Draft202012Validator]:
        return {
            event_type: Draft202012Validator(_rewritten(schema, rewrite), validate_formats=True)
            for event_type, schema in self._schemas.items()
        }

    def _check(
        self, validators: Mapping[str, Draft202012Validator], event_type: str, data: object
    ) -> None:
        self.schema(event_type)
        try:
            error = next(validators[event_type].iter_errors(data), None)
        except UnicodeError:
            # Half of a surrogate pair: JSON can spell it, no database stores it. Not chained, as
            # the error quotes the value.
            raise ContractViolation(f"{event_type}: the body is no Unicode") from None
        if error is not None:
            place = "/".join(str(part) for part in error.instance_path) or "the body"
            rule = error.schema_path[-1]
            raise ContractViolation(f"{event_type}: {place} breaks the rule {rule!r}")


def _rewritten(schema: Schema, rewrite: Callable[[Schema], Schema]) -> dict[str, Any]:
    found = dict(rewrite(schema))
    if "properties" in found:
        found["properties"] = {
            name: _rewritten(rule, rewrite) for name, rule in found["properties"].items()
        }
    if "items" in found:
        found["items"] = _rewritten(found["items"], rewrite)
    return found


def _closed(schema: Schema) -> Schema:
    # A field that the schema lacks would be promised to nobody and checked by nobody.
    return {**schema, "additionalProperties": False} if "properties" in schema else schema


def _without_open_enum(schema: Schema) -> Schema:
    if not schema.get(OPEN_ENUM):
        return schema
    return {name: rule for name, rule in schema.items() if name != "enum"}


def _masked(schema: Schema, data: object) -> Any:
    if schema.get(SECRET):
        return MASKED
    if isinstance(data, dict):
        rules = schema.get("properties", {})
        return {name: _masked(rules.get(name, {}), value) for name, value in data.items()}
    if isinstance(data, list):
        return [_masked(schema.get("items", {}), value) for value in data]
    return data
