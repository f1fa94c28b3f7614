"""The published language: one JSON Schema for each version of each message."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator, FormatChecker

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
        self._validators = {
            path.stem: Draft202012Validator(
                json.loads(path.read_text(encoding="utf-8")), format_checker=FormatChecker()
            )
            for path in sorted(directory.glob("*.json"))
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
        schema: Mapping[str, Any] = self._validator(event_type).schema
        return schema

    def check(self, event_type: str, data: object) -> None:
        """Let a fitting body pass. Fields the schema does not know are let through: they are newer.

        Raises:
            ContractViolation: the type has no schema, or the body does not fit; the message names
                the place and the rule and never repeats the value.
        """
        for error in self._validator(event_type).iter_errors(data):
            place = "/".join(str(part) for part in error.absolute_path) or "the body"
            raise ContractViolation(f"{event_type}: {place} breaks the rule {error.validator!r}")

    def _validator(self, event_type: str) -> Any:
        try:
            return self._validators[event_type]
        except KeyError:
            raise ContractViolation(f"{event_type} has no schema") from None
