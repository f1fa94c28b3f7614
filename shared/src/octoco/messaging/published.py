"""The published revisions of the schemas: frozen copies that are only ever added to.

A schema is published by being frozen; what is on the main branch is frozen, or its tests fail. A
later schema of the same version has to keep what every revision promised, and is frozen as the
next one if it promises more.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from octoco.messaging.compatibility import (
    Breach,
    binding,
    breaches_of_form,
    breaches_of_promise,
)
from octoco.messaging.contracts import CONTRACTS_DIR, Schema

FOLDER: Final = "published"
# In the form of sha256sum(1): who changes a frozen copy has to say so twice.
SUMS: Final = "SHA256SUMS"
_REVISION: Final = re.compile(r"(?P<event_type>.+)\.r(?P<number>[1-9][0-9]*)\.json")


class IncompatibleContracts(ValueError):
    """Schemas break what they promised; one line for each place, with file and rule."""


class PublishedContracts:
    """The schemas of a folder beside their frozen copies.

    Args:
        directory: Holds `<event type>.json` files, and the copies in `published/`.
    """

    def __init__(self, directory: Path = CONTRACTS_DIR) -> None:
        self._directory = directory
        self._folder = directory / FOLDER

    def complaints(self, in_use: Mapping[str, str]) -> list[str]:
        """Say what is wrong, one line each: the file, the place, the rule and its reason.

        Args:
            in_use: Event types that somebody sends or listens to, and who that is.

        Returns:
            Nothing if every schema keeps what its revisions promised and is frozen itself.
        """
        found = [*self._breaches(), *self._of_copies()]
        for event_type, schema in self._schemas().items():
            revisions = self._revisions(event_type)
            if not revisions or binding(revisions[-1]) != binding(schema):
                found.append(f"{event_type}.json: the schema: not-published: run `make contracts`")
        withdrawn = {event_type for event_type, _ in self._copies()} - set(self._schemas())
        found += [
            f"{event_type}.json: the file: version-removed: {in_use[event_type]} uses it"
            for event_type in sorted(withdrawn & set(in_use))
        ]
        return found

    def publish(self) -> list[Path]:
        """Freeze every schema that promises something not yet frozen.

        Returns:
            The copies that were added; none on a repeat.

        Raises:
            IncompatibleContracts: a schema breaks a promise, or a copy is not what was frozen;
                nothing is added.
        """
        if found := [*self._breaches(), *self._of_copies()]:
            raise IncompatibleContracts("\n".join(found))
        added = []
        self._folder.mkdir(exist_ok=True)
        for event_type, schema in self._schemas().items():
            revisions = self._revisions(event_type)
            if not revisions or binding(revisions[-1]) != binding(schema):
                copy = self._folder / f"{event_type}.r{len(revisions) + 1}.json"
                copy.write_bytes((self._directory / f"{event_type}.json").read_bytes())
                added.append(copy)
        sums = {copy.name: _sum(copy) for copy in self._folder.glob("*.json")}
        lines = [f"{digest}  {name}\n" for name, digest in sorted(sums.items())]
        (self._folder / SUMS).write_text("".join(lines), encoding="utf-8")
        return added

    def _breaches(self) -> Iterator[str]:
        for event_type, schema in self._schemas().items():
            name = f"{event_type}.json"
            ill_formed = list(breaches_of_form(schema))
            yield from _lines(name, ill_formed)
            if ill_formed:
                continue
            told = set()
            for revision in self._revisions(event_type):
                told |= set(breaches_of_promise(revision, schema))
            yield from _lines(name, sorted(told, key=str))

    def _of_copies(self) -> Iterator[str]:
        frozen = self._sums()
        there = {copy.name: _sum(copy) for copy in self._folder.glob("*.json")}
        for name in sorted(frozen.keys() | there.keys()):
            if frozen.get(name) != there.get(name):
                yield f"{FOLDER}/{name}: the file: frozen: copies are never changed or removed"

    def _sums(self) -> dict[str, str]:
        listed = self._folder / SUMS
        if not listed.exists():
            return {}
        pairs = (line.split("  ", 1) for line in listed.read_text(encoding="utf-8").splitlines())
        return {name: digest for digest, name in pairs}

    def _schemas(self) -> dict[str, Schema]:
        return {path.stem: _read(path) for path in sorted(self._directory.glob("*.json"))}

    def _copies(self) -> list[tuple[str, int]]:
        matches = (_REVISION.fullmatch(path.name) for path in self._folder.glob("*.json"))
        return sorted((match["event_type"], int(match["number"])) for match in matches if match)

    def _revisions(self, event_type: str) -> list[Schema]:
        return [
            _read(self._folder / f"{name}.r{number}.json")
            for name, number in self._copies()
            if name == event_type
        ]


def _lines(name: str, breaches: list[Breach]) -> Iterator[str]:
    for breach in breaches:
        yield f"{name}: {breach}"


def _read(path: Path) -> Schema:
    schema: Schema = json.loads(path.read_text(encoding="utf-8"))
    return schema


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
