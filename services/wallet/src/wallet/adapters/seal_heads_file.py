"""The heads of seals in a file: one line of JSON each, only ever appended to."""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from wallet.domain.seals import SealChainBroken, SealHead

_TAIL_BYTES: Final = 65536


class SealHeadsFile:
    """See `wallet.use_cases.seal_ports.SealHeads`.

    A line that a crash left unfinished is ended, never taken away, and whoever reads passes it
    over: so the file may be one that can only be appended to (`chattr +a`), and its beginning may
    be archived. A head is on the disk when `append` returns.

    Args:
        path: Made if it is missing; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def last(self) -> SealHead | None:
        try:
            with self._path.open("rb") as file:
                return _last_of(file.fileno())
        except FileNotFoundError:
            return None

    def size(self) -> int:
        """Return how many bytes are kept by now."""
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def lines(self, *, up_to: int | None = None) -> Iterator[SealHead]:
        """Yield every head that is kept whole, in the order of the file.

        Args:
            up_to: Only those within so many bytes: what `size` said at some instant.
        """
        try:
            with self._path.open("rb") as file:
                read = 0
                for line in file:
                    read += len(line)
                    if up_to is not None and read > up_to:
                        return
                    if (head := _head_of(line)) is not None:
                        yield head
        except FileNotFoundError:
            return

    def append(self, heads: Sequence[SealHead]) -> int:
        with self._locked() as descriptor:
            last = _last_of(descriptor)
            lines = [_line_of(head) for head in _missing(heads, last)]
            if lines:
                _write_all(descriptor, _end_of_unfinished_line(descriptor) + b"".join(lines))
            # Also when there was nothing to add: whoever added it may not have come this far.
            os.fsync(descriptor)
        return len(lines)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        created = not self._path.exists()
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if created:
                _fsync_folder(self._path.parent)
            yield descriptor
        finally:
            os.close(descriptor)


def _missing(heads: Sequence[SealHead], last: SealHead | None) -> Iterator[SealHead]:
    for head in heads:
        if last is not None and head.number <= last.number:
            if head.number == last.number and head.hash != last.hash:
                raise SealChainBroken(f"Another seal {head.number} is kept outside already.")
            continue
        if last is not None and head.number != last.number + 1:
            raise SealChainBroken(f"The seal before seal {head.number} is not kept outside.")
        yield head
        last = head


def _last_of(descriptor: int) -> SealHead | None:
    # From the end, a block at a time: the file grows for years.
    end = os.fstat(descriptor).st_size
    tail = b""
    while end > 0:
        start = max(0, end - _TAIL_BYTES)
        tail = os.pread(descriptor, end - start, start) + tail
        lines = tail.splitlines(keepends=True)
        # The first one may begin before the block.
        for line in reversed(lines if start == 0 else lines[1:]):
            if (head := _head_of(line)) is not None:
                return head
        end = start
    return None


def _end_of_unfinished_line(descriptor: int) -> bytes:
    size = os.fstat(descriptor).st_size
    return b"" if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n" else b"\n"


def _write_all(descriptor: int, text: bytes) -> None:
    while text:
        text = text[os.write(descriptor, text) :]


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _line_of(head: SealHead) -> bytes:
    said = {
        "number": head.number,
        "hash": head.hash.hex(),
        "sealed_at": head.sealed_at.isoformat(),
        "key_id": head.key_id,
        "signature": head.signature.hex(),
    }
    return json.dumps(said).encode() + b"\n"


def _head_of(line: bytes) -> SealHead | None:
    if not line.endswith(b"\n"):
        return None
    try:
        said = json.loads(line)
        return SealHead(
            number=int(said["number"]),
            hash=bytes.fromhex(said["hash"]),
            sealed_at=datetime.fromisoformat(said["sealed_at"]),
            key_id=str(said["key_id"]),
            signature=bytes.fromhex(said["signature"]),
        )
    except (ValueError, TypeError, KeyError):
        return None
