"""The HTTP door: parse, call, render."""

from notifications.entrypoints.http.app import openapi, web

__all__ = ["openapi", "web"]
