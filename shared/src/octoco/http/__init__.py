"""HTTP conventions that every service keeps: problems, tokens, idempotency, health."""

from octoco.http.app import HttpParts, create_app
from octoco.http.authentication import CurrentUser, authenticated, current_user
from octoco.http.idempotency import idempotent

__all__ = ["CurrentUser", "HttpParts", "authenticated", "create_app", "current_user", "idempotent"]
