"""Fixtures that every member's tests may ask for."""

pytest_plugins = ["octoco.testing.provisions", "octoco.testing.seeds"]
