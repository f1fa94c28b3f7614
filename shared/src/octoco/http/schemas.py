"""Schemas of request bodies: nothing unknown, nothing the database could not store."""

from collections.abc import Mapping
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, pre_load, validate


class StrictSchema(Schema):
    """A body or query whose unknown fields are refused, and text that no column could hold."""

    class Meta:
        unknown = RAISE

    @pre_load
    def _refuse_unstorable_text(self, data: Any, **_: Any) -> Any:
        _walk(data)
        return data


class AmountField(fields.Field[str]):
    """An amount as a string in plain decimal notation; numbers are refused, they lose cents.

    Whether the currency allows it is for `Money.parse` to say.
    """

    def _deserialize(
        self,
        value: Any,
        attr: str | None,  # noqa: ARG002 - marshmallow's signature
        data: Mapping[str, Any] | None,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> str:
        if not isinstance(value, str):
            raise ValidationError(
                'An amount is a string in plain decimal notation, such as "250.00".'
            )
        return value


class CurrencyField(fields.String):
    """An ISO 4217 code in capitals."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            validate=validate.Regexp(r"^[A-Z]{3}\Z", error="A currency is three capitals."),
            **kwargs,
        )


class ProblemSchema(Schema):
    """RFC 9457 problem details with a stable code."""

    type = fields.String()
    title = fields.String()
    status = fields.Integer()
    code = fields.String(metadata={"description": "Stable; branch on it."})
    detail = fields.String()
    field = fields.String()
    request_id = fields.String()


def _walk(value: Any) -> None:
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            _check_text(str(name))
            _walk(inner)
    elif isinstance(value, list):
        for inner in value:
            _walk(inner)


def _check_text(text: str) -> None:
    # PostgreSQL stores neither NUL nor half of a surrogate pair.
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValidationError("Text with NUL or unpaired surrogates cannot be stored.")
