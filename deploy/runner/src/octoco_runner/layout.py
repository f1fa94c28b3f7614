"""Where this system keeps its state on one machine."""

import hashlib
import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from octoco_runner.commands import ServerUser
from octoco_runner.errors import RunnerError
from octoco_runner.server_users import running_as_root

REPOSITORY = Path(__file__).resolve().parents[4]
OUTSIDE_DATA = Path("/var/lib/octoco-wallet")
# A Unix socket's path may have 107 bytes; the supervisor adds a suffix of its own while binding.
SOCKET_DIRECTORY_BYTES_MAX = 75


@dataclass(frozen=True)
class Layout:
    """The folders of one system. `state` is ours; `data` is what the servers' users must reach."""

    state: Path
    data: Path

    @property
    def secrets(self) -> Path:
        return self.state / "secrets"

    @property
    def run(self) -> Path:
        return self.state / "run"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def ledger_seals(self) -> Path:
        """Where the wallet keeps the heads of its ledger's seals, apart from the database."""
        return self.state / "ledger-seals"

    @property
    def environment_file(self) -> Path:
        return self.state / "env"

    @property
    def lock_file(self) -> Path:
        return self.state / "lock"

    @property
    def sockets(self) -> Path:
        """A private folder whose path is short enough for a Unix socket, whatever `state` is."""
        if len(os.fsencode(self.run)) <= SOCKET_DIRECTORY_BYTES_MAX:
            return self.run
        digest = hashlib.sha256(os.fsencode(self.state)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"octoco-{os.geteuid()}-{digest}"

    def make_folders(self) -> None:
        """Make what is missing.

        Raises:
            RunnerError: the folder for sockets exists and belongs to somebody else.
        """
        # The servers' users pass through `state` to reach `data`; what is private has its own mode.
        self.state.mkdir(parents=True, exist_ok=True, mode=0o755)
        outside = (self.state / "sandbox", self.state / "mail")
        for private in (self.secrets, self.run, self.logs, self.ledger_seals, *outside):
            private.mkdir(exist_ok=True, mode=0o700)
            private.chmod(0o700)
        self.data.mkdir(parents=True, exist_ok=True, mode=0o755)
        if self.sockets != self.run:
            self.sockets.mkdir(exist_ok=True, mode=0o700)
            found = self.sockets.lstat()
            if found.st_uid != os.geteuid() or self.sockets.is_symlink() or found.st_mode & 0o077:
                raise RunnerError(f"{self.sockets} is not a private folder of ours. Remove it.")

    def remove(self) -> None:
        """Remove everything this layout holds, and nothing else.

        Raises:
            RunnerError: `state` was not made by the runner.
        """
        if not self.state.exists():
            return
        if not _instance_file(self.state).exists():
            raise RunnerError(f"{self.state} was not made by this runner; it is left alone.")
        if self.sockets != self.run:
            shutil.rmtree(self.sockets, ignore_errors=True)
        if self.data.exists():
            shutil.rmtree(self.data)
        # The file that says the folder is ours goes last: an interrupted removal can be repeated.
        for entry in self.state.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry != _instance_file(self.state):
                entry.unlink()
        shutil.rmtree(self.state)


def state_directory() -> Path:
    """The state folder named by OCTOCO_STATE_DIR, else `.local` beside the Makefile."""
    named = os.environ.get("OCTOCO_STATE_DIR")
    return Path(named).expanduser().resolve() if named else REPOSITORY / ".local"


def layout_for(state: Path, *users: ServerUser | None) -> Layout:
    """Lay out `state`, with the data where every one of `users` can reach it.

    A checkout below a folder that other users may not enter (root's home) keeps its data under
    /var/lib/octoco-wallet instead, in a folder of its own; `state/data-location` says where. The
    choice is made once and kept, so that a later start finds the same data.

    Args:
        state: The state folder; made when missing.
        users: Whom the servers run as; None is ourselves.

    Raises:
        RunnerError: `state` exists, is not empty, and was not made by the runner.
    """
    state.mkdir(parents=True, exist_ok=True, mode=0o755)
    instance = _instance(state)
    pointer = state / "data-location"
    if pointer.exists():
        return Layout(state=state, data=Path(pointer.read_text().strip()))
    inside = state / "data"
    inside.mkdir(exist_ok=True, mode=0o755)
    if not running_as_root() or all(user is None or user.may_enter(inside) for user in users):
        return Layout(state=state, data=inside)
    inside.rmdir()
    outside = OUTSIDE_DATA / instance
    outside.mkdir(parents=True, exist_ok=True, mode=0o755)
    pointer.write_text(f"{outside}\n")
    return Layout(state=state, data=outside)


def known_layout(state: Path) -> Layout:
    """The layout as an earlier start left it; nothing is made."""
    pointer = state / "data-location"
    data = Path(pointer.read_text().strip()) if pointer.exists() else state / "data"
    return Layout(state=state, data=data)


def _instance_file(state: Path) -> Path:
    return state / "instance"


def _instance(state: Path) -> str:
    """This state folder's own name, so that a removed and re-made one never meets old data."""
    path = _instance_file(state)
    if not path.exists():
        # "clean" removes the whole folder, so it must never be somebody's home by mistake.
        ours = {"lock", "test", "test.lock", "bench"}
        if any(entry.name not in ours for entry in state.iterdir()):
            raise RunnerError(
                f"{state} is not empty and was not made by this runner. "
                "Name another folder with OCTOCO_STATE_DIR."
            )
        partial = path.with_name(f"instance.{os.getpid()}")
        partial.write_text(secrets.token_hex(8))
        partial.replace(path)
    return path.read_text().strip()
