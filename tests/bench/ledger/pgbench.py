"""Drive the ceiling with pgbench, the quickest client there is."""

import os
import re
import subprocess
from dataclasses import dataclass
from typing import Final

from psycopg2.extensions import parse_dsn

from .databases import LIMIT, SQL
from .server import Server

TRIES_MAX: Final = 1000
EXTRA_SECONDS: Final = 60
_TPS: Final = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)
_PROCESSED: Final = re.compile(r"^number of transactions actually processed: (\d+)", re.MULTILINE)
_RETRIES: Final = re.compile(r"^total number of retries: (\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What pgbench saw.

    Args:
        per_second: Postings.
        retry_rate: Tries that lost their race, for each transaction that was done.
    """

    per_second: float
    retry_rate: float


def run_pgbench(
    server: Server,
    script: str,
    *,
    clients: int,
    isolation: str,
    seconds: int,
    users: int,
    size: int = 1,
) -> Ceiling:
    """Run a script of the ceiling for some seconds; lost races are tried again.

    Args:
        server: Where.
        script: A file in `sql/`.
        clients: At once.
        isolation: Of every transaction: `serializable` or `read committed`.
        seconds: How long.
        users: To choose from.
        size: Postings in one transaction.

    Raises:
        subprocess.CalledProcessError: pgbench failed; its words are in the error.
    """
    admin = parse_dsn(server.admin_url)
    isolation_option = isolation.replace(" ", "\\ ")
    ran = subprocess.run(
        [
            str(server.binaries / "pgbench"),
            "--no-vacuum",
            "--protocol=prepared",
            f"--client={clients}",
            f"--jobs={min(clients, os.cpu_count() or 1)}",
            f"--time={seconds}",
            f"--max-tries={TRIES_MAX}",
            f"--define=users={users}",
            f"--define=size={size}",
            f"--file={SQL / script}",
            LIMIT,
        ],
        env={
            "PATH": os.environ["PATH"],
            "LC_ALL": "C",
            "PGHOST": admin["host"],
            "PGPORT": admin["port"],
            "PGUSER": admin["user"],
            "PGPASSWORD": admin["password"],
            # Generic plans save what planning anew would cost; the service's functions have it too.
            "PGOPTIONS": f"-c default_transaction_isolation={isolation_option} "
            "-c plan_cache_mode=force_generic_plan",
        },
        capture_output=True,
        text=True,
        timeout=seconds + EXTRA_SECONDS,
        check=False,
    )
    found = [pattern.search(ran.stdout) for pattern in (_TPS, _PROCESSED, _RETRIES)]
    tps, processed, retries = (float(match.group(1)) if match else 0.0 for match in found)
    if ran.returncode != 0 or not tps:
        raise subprocess.CalledProcessError(ran.returncode, "pgbench", ran.stdout, ran.stderr)
    return Ceiling(tps * size, retries / max(1.0, processed))
