"""Settings from the environment: a wrong one stops the process with a line that names it."""

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from environs import Env, EnvError

from octoco.errors import ConfigurationError

Settings = TypeVar("Settings")


def read_settings(read: Callable[[Env], Settings]) -> Settings:
    """Read one frozen settings object from the environment.

    Args:
        read: Takes every variable it needs from the `Env`.

    Raises:
        ConfigurationError: a variable is missing or malformed; the message names it and never
            repeats its value.
    """
    env = Env()
    try:
        return read(env)
    except EnvError as error:
        raise ConfigurationError(_without_value(error)) from None


def read_settings_or_exit(read: Callable[[Env], Settings]) -> Settings:
    """Read settings at the edge of a process; on a wrong one print one line and exit with 2."""
    try:
        return read_settings(read)
    except ConfigurationError as error:
        sys.stderr.write(f"configuration: {error}\n")
        raise SystemExit(2) from None


def secret_list(env: Env, name: str) -> Sequence[str]:
    """Read a comma-separated list of secrets, of which the first is the one in use.

    Raises:
        ConfigurationError: the variable is missing or names nothing.
    """
    values = tuple(part.strip() for part in env.str(name).split(",") if part.strip())
    if not values:
        raise ConfigurationError(f"{name} is empty")
    return values


def _without_value(error: EnvError) -> str:
    # environs quotes the offending value, which may be a secret.
    words = str(error)
    variable = words.split('"')[1] if '"' in words else words
    if "not set" in words:
        return f"{variable} is not set"
    return f"{variable} is malformed"
