"""The benchmark runs, and reports what it promises; how fast anything is, is no test."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
RATES = {
    "limit_tps",
    "limit_batch_500_tps",
    "psycopg2_tps",
    "single_tps",
    "hot_tps",
    "batch_100_tps",
    "batch_500_tps",
}
# As few and as small as can be: this says that it works, on a machine that does other things.
TINY = ["--quick", "--rounds=1", "--seconds=1", "--scale=1000,4000", "--users=200", "--workers=2"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_ledger_benchmark_reports_every_figure(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.bench.ledger", *TINY, f"--output={tmp_path}"],
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=280,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    report: dict[str, Any] = json.loads((tmp_path / "ledger.json").read_text(encoding="utf-8"))
    assert set(report) == {*RATES, "serializable_retry_rate", "scale", "details"}
    assert all(isinstance(report[name], float) and report[name] > 0 for name in RATES)
    assert 0 <= report["serializable_retry_rate"] < 1
    assert [step["entries"] for step in report["scale"]] == [1000, 4000]
    for step in report["scale"]:
        assert set(step) == {"entries", "single_tps", "history_p99_ms", "balance_p99_ms"}
        assert all(value > 0 for value in step.values())
    assert report["details"]["settings"]["fsync"] == "on"
    assert {target["name"] for target in report["details"]["targets"]} >= {
        "psycopg2 / limit",
        "single / psycopg2",
        "hot / single",
        "batch_500 / limit_batch_500",
    }
    # The server went, and took its data with it.
    assert not (tmp_path / "server").exists()
