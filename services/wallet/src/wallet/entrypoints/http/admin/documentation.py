"""What the OpenAPI document says of all routes of the operators' desk."""

from typing import Final

IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "schema": {"type": "string", "maxLength": 200},
    "description": "A new value for each new request; a repeat gets the first one's resource.",
}
