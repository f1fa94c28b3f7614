"""`.local/env`: the addresses of the running system, for a shell, a test or another tool."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path


def write_environment_file(path: Path, values: Mapping[str, str]) -> None:
    """Write `values` so that a shell's `. path` exports them; whole or not at all, mode 0600."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("# Addresses of the running system; holds passwords. Written at each start.\n")
        file.write("\n".join(lines) + "\n")
    partial.replace(path)


def read_environment_file(path: Path) -> dict[str, str]:
    """What `write_environment_file` wrote; empty when there is no such file."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return {}
    values = {}
    for word in shlex.split(text, comments=True):
        name, equals, value = word.partition("=")
        if equals:
            values[name] = value
    return values
