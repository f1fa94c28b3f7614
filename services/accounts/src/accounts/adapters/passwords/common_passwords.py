"""The block list that ships with the service."""

from importlib import resources


def load_common_passwords() -> frozenset[str]:
    """Return the listed passwords, in lower case."""
    listed = resources.files("accounts.adapters.passwords").joinpath("common_passwords.txt")
    lines = listed.read_text(encoding="utf-8").splitlines()
    return frozenset(line.strip().casefold() for line in lines if line and not line.startswith("#"))
