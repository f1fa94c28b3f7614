"""The state folder: ours or not, removed whole, reachable for the servers' users."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from octoco.testing import eventually
from octoco_runner import layout as layout_module
from octoco_runner.commands import ServerUser
from octoco_runner.errors import RunnerError
from octoco_runner.layout import known_layout, layout_for
from octoco_runner.locking import exclusive
from octoco_runner.server_users import find_user, running_as_root


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder nobody but root may enter, and an outside one that is open."""
    outside = Path("/var/tmp") / f"octoco-{tmp_path.name}"  # noqa: S108 - reachable for all
    monkeypatch.setattr(layout_module, "OUTSIDE_DATA", outside)
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    yield folder
    shutil.rmtree(outside, ignore_errors=True)


def nobody() -> ServerUser:
    user = find_user("nobody")
    assert user is not None
    return user


def test_a_folder_with_something_else_in_it_is_never_taken_over(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")

    with pytest.raises(RunnerError, match="OCTOCO_STATE_DIR"):
        layout_for(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_removing_takes_everything_of_ours_and_can_be_repeated(tmp_path: Path) -> None:
    layout = layout_for(tmp_path / "state")
    layout.make_folders()
    (layout.data / "postgresql").mkdir()

    layout.remove()
    layout.remove()

    assert not layout.state.exists()


def test_a_folder_that_is_not_ours_is_not_removed(tmp_path: Path) -> None:
    with pytest.raises(RunnerError, match="left alone"):
        known_layout(tmp_path).remove()

    assert tmp_path.exists()


@pytest.mark.skipif(not running_as_root(), reason="only root has other users to think of")
def test_data_goes_where_the_servers_users_can_reach_it(closed: Path) -> None:
    layout = layout_for(closed / "state", nobody())

    assert not layout.data.is_relative_to(closed)
    assert nobody().may_enter(layout.data)
    assert known_layout(layout.state) == layout
    assert layout_for(closed / "state", nobody()) == layout
    layout.remove()
    assert not layout.data.exists()


@pytest.mark.skipif(not running_as_root(), reason="only root has other users to think of")
def test_a_removed_and_remade_state_never_meets_old_data(closed: Path) -> None:
    first = layout_for(closed / "state", nobody())
    shutil.rmtree(first.state)

    assert layout_for(closed / "state", nobody()).data != first.data


def test_one_holder_at_a_time_even_when_the_lock_file_is_removed(tmp_path: Path) -> None:
    lock = tmp_path / "state" / "lock"
    waited: list[str] = []
    order: list[str] = []

    def second() -> None:
        with exclusive(lock, on_wait=waited.append):
            order.append("second")

    with exclusive(lock, on_wait=waited.append):
        thread = threading.Thread(target=second)
        thread.start()
        eventually(lambda: waited, what="the second one waits")
        lock.unlink()
        order.append("first")
    thread.join(timeout=10)

    assert order == ["first", "second"]
    assert len(waited) == 1
