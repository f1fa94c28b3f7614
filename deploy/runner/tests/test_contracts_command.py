"""What `make contracts` says and how it ends."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from octoco.messaging.published import PublishedContracts
from octoco_runner import cli
from octoco_runner.errors import RunnerError

NAME = "probe.order.placed.v1"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cli, "PublishedContracts", lambda: PublishedContracts(tmp_path))
    write(tmp_path, maximum=9)
    return tmp_path


def write(folder: Path, *, maximum: int) -> None:
    schema = {
        "type": "object",
        "properties": {"count": {"type": "integer", "maximum": maximum}},
        "additionalProperties": True,
    }
    (folder / f"{NAME}.json").write_text(json.dumps(schema))


def test_what_is_frozen_is_named_and_a_repeat_has_nothing_to_do(folder: Path) -> None:
    first, second = (CliRunner().invoke(cli.cli, ["contracts"]) for _ in range(2))
    assert f"{NAME}.r1.json" in first.output
    assert "Frozen: 1" in first.output
    assert "Every schema is frozen as it is" in second.output
    assert (first.exit_code, second.exit_code) == (0, 0)


def test_a_broken_promise_ends_it_in_one_line(folder: Path) -> None:
    CliRunner().invoke(cli.cli, ["contracts"])
    write(folder, maximum=8)
    said = CliRunner().invoke(cli.cli, ["contracts"])
    assert isinstance(said.exception, RunnerError)
    assert str(said.exception) == (
        f"{NAME}.json: properties/count/maximum: narrowed: "
        "messages sent before would not be read any more"
    )
