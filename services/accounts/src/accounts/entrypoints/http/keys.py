"""The route that publishes the public keys."""

# mypy: disable-error-code="untyped-decorator"
# flask-smorest publishes no types for its decorators.

from typing import Any

from flask import Response, jsonify
from flask_smorest import Blueprint

from accounts.adapters.tokens.access_tokens import key_set
from accounts.entrypoints.http.context import accounts
from accounts.entrypoints.http.schemas import KeySetSchema

keys = Blueprint("keys", __name__, description="Public keys of access tokens")


@keys.get("/.well-known/jwks.json")
@keys.response(200, KeySetSchema)
def published() -> Any:
    """Return the public keys that verify access tokens (RFC 7517)."""
    answer: Response = jsonify(key_set(accounts().signing_keys))
    # Short, so that a new key is known everywhere soon after it is added.
    answer.headers["Cache-Control"] = "public, max-age=60"
    return answer
