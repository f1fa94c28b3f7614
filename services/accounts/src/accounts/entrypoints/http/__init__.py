"""The HTTP door: parse, call, render."""

from accounts.entrypoints.http.app import openapi, web

__all__ = ["openapi", "web"]
