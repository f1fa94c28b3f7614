"""Worker processes that stay from round to round and start their work together."""

import logging
import multiprocessing
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final, cast

import structlog

from .works import WORKS, Bench, Job

STOP_SECONDS: Final = 10.0
_READY: Final = "ready"
_GO: Final = "go"


class WorkerFailed(RuntimeError):
    """A worker raised; the message is its error."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What one worker did.

    Args:
        postings: How many postings (or reads) its units had together.
        units: How many units it finished.
        retries: How often one of them lost its race and was run again.
        began: Monotonic seconds.
        ended: Monotonic seconds, after its last unit.
        durations: Of each unit, in seconds.
    """

    postings: int
    units: int
    retries: float
    began: float
    ended: float
    durations: Sequence[float]


@dataclass(frozen=True, slots=True)
class Measured:
    """What some workers did at once."""

    tallies: Sequence[Tally]

    @property
    def per_second(self) -> float:
        seconds = max(t.ended for t in self.tallies) - min(t.began for t in self.tallies)
        return sum(t.postings for t in self.tallies) / seconds

    @property
    def retry_rate(self) -> float:
        """Tries that lost their race, for each unit that was finished."""
        return sum(t.retries for t in self.tallies) / max(1, sum(t.units for t in self.tallies))

    def percentile_ms(self, percent: float) -> float:
        durations = sorted(second for t in self.tallies for second in t.durations)
        place = min(len(durations) - 1, int(len(durations) * percent / 100))
        return durations[place] * 1000


class Workers:
    """Some processes; made by `running_workers`."""

    def __init__(self, pipes: Sequence["Connection[Any, Any]"]) -> None:
        self._pipes = pipes

    def measure(
        self, jobs: Sequence[Job], *, seconds: float, beside: Sequence[Job] = ()
    ) -> Measured:
        """Let one worker do each job, all at the same time.

        Connections are open and one unit is done before the time begins.

        Args:
            jobs: To be measured; with `beside` no more than there are workers.
            seconds: No unit is begun after this long.
            beside: Go on at the same time and are not counted.

        Raises:
            WorkerFailed: one of them raised.
        """
        everything = (*jobs, *beside)
        pipes = self._pipes[: len(everything)]
        for pipe, job in zip(pipes, everything, strict=True):
            pipe.send((job, seconds))
        for pipe in pipes:
            _received(pipe)
        for pipe in pipes:
            pipe.send(_GO)
        tallies = [cast(Tally, _received(pipe)) for pipe in pipes]
        return Measured(tallies[: len(jobs)])


@contextmanager
def running_workers(count: int) -> Iterator[Workers]:
    """Start worker processes for the block."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for number in range(count):
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, number), daemon=True)
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    try:
        # What they import takes seconds of processor time, which would be somebody else's slot.
        for pipe in pipes:
            _received(pipe)
        yield Workers(pipes)
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.join(STOP_SECONDS)
            process.kill()


def _received(pipe: "Connection[Any, Any]") -> object:
    answer = pipe.recv()
    if isinstance(answer, WorkerFailed):
        raise answer
    return answer


def _serve(pipe: "Connection[Any, Any]", number: int) -> None:
    bench = Bench(random=random.Random(number))
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    pipe.send(_READY)
    try:
        while True:
            job, seconds = pipe.recv()
            try:
                _work(pipe, bench, job, seconds)
            except Exception as error:  # noqa: BLE001 - whatever it is, the parent reports it
                pipe.send(WorkerFailed(f"{job.work}: {type(error).__name__}: {error}"))
    except (EOFError, KeyboardInterrupt):
        bench.close()


def _work(pipe: "Connection[Any, Any]", bench: Bench, job: Job, seconds: float) -> None:
    run = WORKS[job.work](bench, job)
    run()
    pipe.send(_READY)
    pipe.recv()
    retries = bench.retries()
    durations = []
    postings = 0
    began = ended = time.monotonic()
    while ended - began < seconds:
        done = run()
        if done is None:
            break
        postings += done
        now = time.monotonic()
        durations.append(now - ended)
        ended = now
    pipe.send(Tally(postings, len(durations), bench.retries() - retries, began, ended, durations))
