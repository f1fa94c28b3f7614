"""What went wrong on purpose, written down by whoever did it, before it is done."""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME = "journal.jsonl"


class Journal:
    """A file that many processes append to, a line at a time; nothing of it is lost by a kill -9.

    Args:
        folder: Where the file is, and beside it the marks that processes steer each other by.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / NAME

    def note(self, what: str, **details: Any) -> None:
        line = json.dumps({"at": time.time(), "what": what, **details}) + "\n"
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    def read(self) -> list[Mapping[str, Any]]:
        if not self._path.exists():
            return []
        return [json.loads(line) for line in self._path.read_text().splitlines()]

    # ---- marks ----

    def mark(self, name: str) -> bool:
        """Make a mark; False if it was there already."""
        try:
            descriptor = os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return False
        os.close(descriptor)
        return True

    def unmark(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)

    def is_marked(self, name: str) -> bool:
        return (self._folder / name).exists()
