"""`.local/env` as a shell reads it."""

import stat
import subprocess
from pathlib import Path

from octoco_runner.environment_file import read_environment_file, write_environment_file

VALUES = {
    "GATEWAY_URL": "http://127.0.0.1:8080",
    "WALLET_DATABASE_URL": "postgresql://wallet:p-w_1@127.0.0.1:8432/octoco",
    "ODD": "a b 'c' \"d\" $HOME `x` #e",
}


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_environment_file(tmp_path / "env", VALUES)

    assert read_environment_file(tmp_path / "env") == VALUES


def test_a_shell_exports_the_same(tmp_path: Path) -> None:
    write_environment_file(tmp_path / "env", VALUES)

    said = subprocess.run(
        ["sh", "-c", f". {tmp_path}/env; env -0"], check=True, capture_output=True, text=True
    ).stdout

    seen = dict(entry.split("=", 1) for entry in said.split("\0") if entry)
    assert {name: seen[name] for name in VALUES} == VALUES


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("")
    path.chmod(0o644)

    write_environment_file(path, VALUES)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["env"]


def test_no_file_is_no_values(tmp_path: Path) -> None:
    assert read_environment_file(tmp_path / "env") == {}
