"""The benchmark runs, and reports what it promises; how fast anything is, is no test."""

import json
import subprocess
import sys
from contextlib import nullcontext
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from rich.console import Console

from . import __main__ as main
from . import consume, relay, webhook
from .report import as_json
from .samples import Part, Samples

ROOT = Path(__file__).parents[3]
# As few and as small as can be: this says that it works, on a machine that does other things.
TINY = ["--rounds=1", "--seconds=1", "--rows=1000", "--aggregates=50", "--events=200"]
SPEEDS = {"relay_events_per_s", "consume_events_per_s", "consume_batch_events_per_s"}


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_messages_benchmark_reports_what_it_measured(tmp_path: Path) -> None:
    # Without the whole system, which takes longer to start than all of this.
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "tests.bench.messaging", *TINY),
            *("--only=relay", "--only=consume", f"--output={tmp_path}"),
        ],
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=170,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    report: dict[str, Any] = json.loads((tmp_path / "messaging.json").read_text(encoding="utf-8"))
    assert set(report) == {*SPEEDS, "commit_to_confirmed_ms", "details"}
    assert all(report[name] > 0 for name in SPEEDS)
    assert 0 < report["commit_to_confirmed_ms"]["p50"] <= report["commit_to_confirmed_ms"]["p99"]
    details = report["details"]
    assert details["failed"] == {}
    assert details["load_average"] >= 0
    assert details["settings"]["fsync"] == "on"
    assert details["settings"]["rabbitmq_version"]
    assert {target["name"] for target in details["targets"]} >= {
        "relay_events_per_s",
        "commit_to_confirmed_p50_ms",
        "commit_to_confirmed_p99_ms",
    }
    # The servers went, and took their data with them.
    assert {path.name for path in tmp_path.iterdir()} <= {"messaging.json", "messaging.png"}


def test_a_whole_run_has_every_agreed_key_and_what_each_round_measured() -> None:
    samples = Samples()
    for name in SPEEDS:
        samples.add(name, 2000.0)
    for latency in ("commit_to_confirmed", "webhook_to_credit"):
        for p50 in (30.0, 10.0, 20.0):
            samples.add(f"{latency}_p50_ms", p50)
            samples.add(f"{latency}_p99_ms", 10 * p50)
    parts = [
        Part(module.__name__, slots={}, report=module.report, targets=module.TARGETS)
        for module in (relay, consume, webhook)
    ]
    report = as_json(samples, parts, details={"load_average": 0.1})
    assert set(report) == {
        *SPEEDS,
        "commit_to_confirmed_ms",
        "webhook_to_credit_ms",
        "details",
    }
    assert report["webhook_to_credit_ms"] == {"p50": 20.0, "p99": 200.0}
    assert report["details"]["rounds"]["webhook_to_credit_p50_ms"] == [30.0, 10.0, 20.0]
    met = {target["name"]: target["met"] for target in report["details"]["targets"]}
    assert met == {
        "relay_events_per_s": False,
        "commit_to_confirmed_p50_ms": False,
        "commit_to_confirmed_p99_ms": False,
        "webhook_to_credit_p50_ms": True,
        "webhook_to_credit_p99_ms": True,
    }


def test_a_part_that_fails_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_samples: Samples) -> str:
        raise RuntimeError("no such thing")

    servers = Mock()
    servers.settings.return_value = dict.fromkeys(
        ("server_version", "fsync", "rabbitmq_version"), "0"
    )
    monkeypatch.setattr(main, "running_servers", lambda *_: nullcontext(servers))
    failing = Part("relay", slots={"relay": fails}, report=relay.report, targets=relay.TARGETS)
    monkeypatch.setattr(main, "STAGES", ({"relay": lambda _: failing},))
    options = main.Options(
        rounds=2,
        seconds=1,
        rows=1000,
        aggregates=1,
        rate=1,
        events=200,
        webhooks=1,
        people=1,
        only=("relay",),
        output=tmp_path,
    )
    said = StringIO()
    assert not main.run(options, Console(file=said, width=200))
    assert "Not measured: relay. RuntimeError: no such thing" in said.getvalue()
    report = json.loads((tmp_path / "messaging.json").read_text(encoding="utf-8"))
    assert set(report) == {"details"}
    assert report["details"]["failed"] == {"relay": "RuntimeError: no such thing"}
