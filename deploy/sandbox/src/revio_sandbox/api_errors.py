"""Errors in the gateway's own shape: field names mapped to lists of {message, code}."""

from typing import Any

WHOLE_REQUEST = "__all__"


class ApiError(Exception):
    """A call the gateway refuses.

    `errors` maps field names to lists of `{message, code}`, nested for nested fields. What
    concerns the whole request sits under `__all__`. Source: revio-api, section 8.
    """

    def __init__(self, status: int, errors: dict[str, Any]) -> None:
        super().__init__(f"{status}: {errors}")
        self.status = status
        self.errors = errors


def entry(code: str, message: str) -> dict[str, str]:
    """Return one error entry."""
    return {"message": message, "code": code}


def refusal(code: str, message: str, *, status: int = 400) -> ApiError:
    """Return an error of the whole request."""
    return ApiError(status, {WHOLE_REQUEST: [entry(code, message)]})


def field_refusal(field: str, code: str, message: str) -> ApiError:
    """Return an error of one top-level field, status 400."""
    return ApiError(400, {field: [entry(code, message)]})


def not_found() -> ApiError:
    """Return the 404 every unknown id and path gets."""
    return refusal("not_found", "Not found.", status=404)
