"""The published language: one JSON Schema for each version of each message."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from jsonschema_rs import Draft202012Validator

CONTRACTS_DIR: Final = Path(__file__).parents[3] / "contracts"


class ContractViolation(ValueError):
    """A message does not fit its schema, or has none: a bug on the side that wrote it."""


class Contracts:
    """Checks message bodies against the schemas of one folder.

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
        self._validators = {
            event_type: Draft202012Validator(schema, validate_formats=True)
            for event_type, schema in self._schemas.items()
        }
        if not self._validators:
            raise FileNotFoundError(f"no message schemas in {directory}")

    @property
    def event_types(self) -> tuple[str, ...]:
        return tuple(self._validators)

    def schema(self, event_type: str) -> Mapping[str, Any]:
        """Return the schema of one event type.

        Raises:
            ContractViolation: there is none.
        """
        self._validator(event_type)
        return self._schemas[event_type]

    def check(self, event_type: str, data: object) -> None:
        """Let a fitting body pass. Fields the schema does not know are let through: they are newer.

        Raises:
            ContractViolation: the type has no schema, or the body does not fit; the message names
                the place and the rule and never repeats the value.
        """
        validator = self._validator(event_type)
        try:
            error = next(validator.iter_errors(data), None)
        except UnicodeError:
            # Half of a surrogate pair: JSON can spell it, no database stores it. Not chained, as
            # the error quotes the value.
            raise ContractViolation(f"{event_type}: the body is no Unicode") from None
        if error is not None:
            place = "/".join(str(part) for part in error.instance_path) or "the body"
            rule = error.schema_path[-1]
            raise ContractViolation(f"{event_type}: {place} breaks the rule {rule!r}")

    def _validator(self, event_type: str) -> Draft202012Validator:
        try:
            return self._validators[event_type]
        except KeyError:
            raise ContractViolation(f"{event_type} has no schema") from None
