"""The HTTP door: parse, call, render."""

from wallet.entrypoints.http.app import openapi, web

__all__ = ["openapi", "web"]
