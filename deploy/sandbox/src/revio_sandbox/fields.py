"""Reads a JSON body field by field and collects every error before refusing."""

import re
import uuid
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit

from revio_sandbox.api_errors import ApiError, entry, refusal

MISSING = object()
INTEGER_TEXT = re.compile(r"-?[0-9]{1,17}")


class Fields:
    """One JSON object of the request, and the errors found in it.

    A field that fails is given its default, so that reading goes on and one answer tells all.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self.errors: dict[str, Any] = {}

    @classmethod
    def of_body(cls, body: object) -> "Fields":
        """Return the fields of a request body, which must be a JSON object.

        Raises:
            ApiError: it is not.
        """
        if not isinstance(body, Mapping):
            raise refusal("parse_error", "JSON parse error: an object was expected.")
        return cls(body)

    def refuse(self, name: str, code: str, message: str) -> None:
        """Add an error to the field `name`."""
        self.errors.setdefault(name, []).append(entry(code, message))

    def require_clean(self) -> None:
        """Raise all errors found, if any."""
        if self.errors:
            raise ApiError(400, self.errors)

    def has(self, name: str) -> bool:
        """Whether the field was sent and is not null."""
        return self._values.get(name) is not None

    def text(self, name: str, *, max_length: int, default: str = "", required: bool = False) -> str:
        """Return a text of at most `max_length` characters."""
        value = self._take(name, required=required)
        if value is MISSING:
            return default
        if not isinstance(value, str):
            self.refuse(name, "invalid", "Not a valid string.")
        elif required and not value.strip():
            self.refuse(name, "blank", "This field may not be blank.")
        elif len(value) > max_length:
            self.refuse(
                name, "max_length", f"Ensure this field has no more than {max_length} characters."
            )
        else:
            return value
        return default

    def integer(
        self,
        name: str,
        *,
        default: int = 0,
        required: bool = False,
        minimum: int | None = None,
        maximum: int = 2**53,
    ) -> int:
        """Return an integer; a text of digits is taken too, as the platform does."""
        value = self._take(name, required=required)
        if value is MISSING:
            return default
        if isinstance(value, str) and re.fullmatch(INTEGER_TEXT, value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            self.refuse(name, "invalid", "A valid integer is required.")
        elif minimum is not None and value < minimum:
            self.refuse(
                name, "min_value", f"Ensure this value is greater than or equal to {minimum}."
            )
        elif value > maximum:
            self.refuse(name, "max_value", f"Ensure this value is less than or equal to {maximum}.")
        else:
            return value
        return default

    def decimal(self, name: str, *, default: str, places: int) -> Decimal:
        """Return a decimal of at least 0 with up to `places` decimals."""
        value = self._take(name, required=False)
        if value is MISSING:
            return Decimal(default)
        try:
            number = Decimal(str(value))
        except InvalidOperation:
            number = Decimal("NaN")
        exponent = number.as_tuple().exponent
        if isinstance(value, bool) or not isinstance(exponent, int):
            self.refuse(name, "invalid", "A valid number is required.")
        elif -exponent > places:
            self.refuse(
                name,
                "max_decimal_places",
                f"Ensure that there are no more than {places} decimal places.",
            )
        elif not 0 <= number < 10**9:
            self.refuse(name, "invalid", "A number from 0 to 999999999 is required.")
        else:
            return number
        return Decimal(default)

    def boolean(self, name: str, *, default: bool = False) -> bool:
        """Return a boolean."""
        value = self._take(name, required=False)
        if value is MISSING:
            return default
        if not isinstance(value, bool):
            self.refuse(name, "invalid", "Must be a valid boolean.")
            return default
        return value

    def uuid(self, name: str, *, required: bool = False) -> str:
        """Return a UUID as text, or "" when there is none."""
        value = self._take(name, required=required)
        if value is MISSING:
            return ""
        try:
            return str(uuid.UUID(value))
        except (ValueError, AttributeError, TypeError):
            self.refuse(name, "invalid", "Must be a valid UUID.")
            return ""

    def url(self, name: str, *, required: bool = False) -> str:
        """Return an http or https address, or "" when there is none."""
        value = self.text(name, max_length=500, required=required)
        if value and not is_web_address(value):
            self.refuse(name, "invalid", "Enter a valid URL.")
            return ""
        return value

    def texts(self, name: str) -> list[str]:
        """Return a list of texts."""
        value = self._take(name, required=False)
        if value is MISSING:
            return []
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            self.refuse(name, "invalid", "Expected a list of strings.")
            return []
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        """Return a JSON object as it was sent."""
        value = self._take(name, required=False)
        if value is MISSING:
            return {}
        if not isinstance(value, dict):
            self.refuse(name, "invalid", "Expected an object.")
            return {}
        return value

    def nested(self, name: str, *, required: bool = False) -> "Fields":
        """Return the fields of a JSON object inside this one; add its errors with `absorb`."""
        value = self._take(name, required=required)
        if value is MISSING:
            return Fields({})
        if not isinstance(value, Mapping):
            self.refuse(name, "invalid", "Expected an object.")
            return Fields({})
        return Fields(value)

    def nested_list(self, name: str) -> list["Fields"]:
        """Return the fields of each JSON object in a list that must not be empty."""
        value = self._take(name, required=True)
        if value is MISSING:
            return []
        if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
            self.refuse(name, "not_a_list", "Expected a list of objects.")
            return []
        if not value:
            self.refuse(name, "empty", "This list may not be empty.")
        return [Fields(one) for one in value]

    def absorb(self, name: str, child: "Fields") -> None:
        """Take over the errors found in a nested object."""
        if child.errors and name not in self.errors:
            self.errors[name] = child.errors

    def absorb_list(self, name: str, children: list["Fields"]) -> None:
        """Take over the errors found in a list of objects; clean ones show as {}."""
        if any(child.errors for child in children) and name not in self.errors:
            self.errors[name] = [child.errors for child in children]

    def _take(self, name: str, *, required: bool) -> Any:
        value = self._values.get(name)
        if value is not None:
            return value
        if required and name in self._values:
            self.refuse(name, "null", "This field may not be null.")
        elif required:
            self.refuse(name, "required", "This field is required.")
        return MISSING


def is_web_address(value: str) -> bool:
    """Whether `value` is an http or https address with a host."""
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
