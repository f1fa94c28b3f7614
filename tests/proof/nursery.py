"""The worker processes of one service, started again as soon as they die: a script of the proof.

It imports the service once and forks, so that a new worker is there within a moment however many
are killed. Each is the real worker of the service; around its outbox, its publisher, its units of
work and its handlers are those of `crashing`, which kill it at named points.
"""

import contextlib
import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import octoco.worker
from octoco.config import read_settings_or_exit
from octoco.intents.executor import Executor
from octoco.messaging.publisher import ConfirmedPublisher
from octoco.messaging.topology import Topology
from octoco.outbox.store import PostgresOutboxStore
from octoco.telemetry.logs import configure_logging
from octoco.testing.saboteurs import crashing
from octoco.worker import WorkerParts, run_worker

from .crashing import CrashingPublisher, CrashingUnits, Killer, Stumbling
from .journal import Journal

SLOTS = 2
# Shorter than a person would wait: what the proof has to see is that it comes, not how late.
TIER_SECONDS = (0.5, 1.0, 2.0, 4.0)
LEASE_SECONDS = 8.0
EVENT_FAILS_ONE_IN = 60
END_SECONDS = 40
LOOK_SECONDS = 0.02


def wallet_parts(topology: Topology, slot: int) -> WorkerParts[Any]:
    from wallet.bootstrap import build, build_sealing  # noqa: PLC0415 - one service a process
    from wallet.config import read, read_seals  # noqa: PLC0415
    from wallet.entrypoints.worker import worker_parts  # noqa: PLC0415

    wallet = build(read_settings_or_exit(read))
    # One process seals.
    sealing = build_sealing(wallet, read_settings_or_exit(read_seals)) if slot == 0 else None
    return worker_parts(wallet, topology=topology, sealing=sealing)


def gateway_parts(topology: Topology, _slot: int) -> WorkerParts[Any]:
    from payments_gateway import config  # noqa: PLC0415
    from payments_gateway.bootstrap import assemble, worker_parts  # noqa: PLC0415
    from payments_gateway.domain.policy import Policy  # noqa: PLC0415
    from payments_gateway.entrypoints.consumer import subscriptions  # noqa: PLC0415

    policy = Policy(
        look_interval_min=timedelta(seconds=3),
        look_interval_max=timedelta(seconds=10),
        execution_stuck_after=timedelta(seconds=15),
    )
    gateway = assemble(read_settings_or_exit(config.read), policy=policy)
    return worker_parts(gateway, subscriptions=subscriptions(gateway), topology=topology)


PARTS: dict[str, Callable[[Topology, int], WorkerParts[Any]]] = {
    "wallet": wallet_parts,
    "payments-gateway": gateway_parts,
}


def topology_of(service: str) -> Topology:
    return Topology(service, tier_seconds=TIER_SECONDS)


def work(service: str, *, slot: int, life: int, folder: Path) -> None:
    """Be a worker."""
    seed = os.environ["PROOF_SEED"]
    os.environ["DATABASE_URL"] = os.environ[f"UNITS_DATABASE_URL_{slot}"]
    os.environ["WORKER_PORT"] = "0"
    configure_logging(service=service, process=f"worker-{slot}", level="info")
    journal = Journal(folder)
    who = {"service": service, "slot": slot, "life": life}
    drawn = random.Random(f"{seed}:{service}:{slot}:{life}").getrandbits(32)
    killer = Killer(drawn, journal=journal, who=who)

    def publisher(**arguments: Any) -> CrashingPublisher:
        real = ConfirmedPublisher(**arguments)
        return CrashingPublisher(real, killer=killer, journal=journal, service=service, slot=slot)

    def store(**arguments: Any) -> PostgresOutboxStore:
        return crashing(PostgresOutboxStore(**arguments), killer.crash, name="outbox")

    executor = partial(Executor, lease_seconds=LEASE_SECONDS)
    parts = PARTS[service](topology_of(service), slot)
    stumbling: Stumbling[Any] = Stumbling(seed=seed, journal=journal, one_in=EVENT_FAILS_ONE_IN)
    sabotaged = replace(
        parts,
        database_url=os.environ[f"RELAY_DATABASE_URL_{slot}"],
        units=CrashingUnits(parts.units, crash=killer.crash),
        subscriptions=stumbling.handlers(parts.subscriptions),
        batch_subscriptions=stumbling.batch_handlers(parts.batch_subscriptions),
    )
    with (
        mock.patch.object(octoco.worker, "ConfirmedPublisher", publisher),
        mock.patch.object(octoco.worker, "PostgresOutboxStore", store),
        mock.patch.object(octoco.worker, "Executor", executor),
    ):
        run_worker(sabotaged)


class Nursery:
    """Keeps a number of workers alive until it is told to end.

    Args:
        service: Whose.
        folder: Of the journal.
    """

    def __init__(self, service: str, folder: Path) -> None:
        self._service = service
        self._folder = folder
        self._journal = Journal(folder)
        self._lives = [0] * SLOTS
        self._pids: dict[int, int] = {}
        self._is_ending = threading.Event()

    def run(self) -> int:
        """Return 0 if every worker that was told to end did so by itself, with 0."""
        # Whatever is imported late is imported once.
        PARTS[self._service](topology_of(self._service), SLOTS)
        signal.signal(signal.SIGTERM, lambda *_: self._is_ending.set())
        for slot in range(SLOTS):
            self._bear(slot)
        while not self._is_ending.wait(LOOK_SECONDS):
            self._bury(os.WNOHANG)
        return self._end()

    def _bear(self, slot: int) -> None:
        self._lives[slot] += 1
        pid = os.fork()
        if pid:
            self._pids[pid] = slot
            (self._folder / f"pid-{self._service}-{slot}").write_text(str(pid))
            return
        status = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            work(self._service, slot=slot, life=self._lives[slot], folder=self._folder)
        finally:
            sys.stdout.flush()
            os._exit(status)

    def _bury(self, options: int) -> bool:
        try:
            pid, status = os.waitpid(-1, options)
        except ChildProcessError:
            return False
        if pid == 0:
            return False
        slot = self._pids.pop(pid)
        code = os.waitstatus_to_exitcode(status)
        self._journal.note("ended", service=self._service, slot=slot, status=code)
        if not self._is_ending.is_set():
            self._bear(slot)
        return True

    def _end(self) -> int:
        for pid in self._pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        threading.Timer(END_SECONDS, partial(os._exit, 3)).start()
        while self._pids:
            self._bury(0)
        os._exit(0)


if __name__ == "__main__":
    sys.exit(Nursery(sys.argv[1], Path(sys.argv[2])).run())
