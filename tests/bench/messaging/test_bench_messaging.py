"""The benchmark runs, and reports what it promises; how fast anything is, is no test."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
# As few and as small as can be: this says that it works, on a machine that does other things.
TINY = ["--quick", "--rounds=1", "--seconds=1", "--rows=1000", "--aggregates=50"]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_messages_benchmark_reports_every_figure(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.bench.messaging", *TINY, f"--output={tmp_path}"],
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=170,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    report: dict[str, Any] = json.loads((tmp_path / "messaging.json").read_text(encoding="utf-8"))
    assert report["relay_events_per_s"] > 0
    assert 0 < report["commit_to_confirmed_ms"]["p50"] <= report["commit_to_confirmed_ms"]["p99"]
    assert report["details"]["settings"]["fsync"] == "on"
    assert report["details"]["settings"]["rabbitmq_version"]
    assert {target["name"] for target in report["details"]["targets"]} >= {
        "relay_events_per_s",
        "commit_to_confirmed_p50_ms",
        "commit_to_confirmed_p99_ms",
    }
    # The servers went, and took their data with them.
    assert not (tmp_path / "messaging-servers").exists()
