"""Between two looks at its queues a watch answers the broker's heartbeats."""

import threading
from typing import Any

import pytest

from octoco.messaging import queue_watch
from octoco.messaging.queue_watch import QueueWatch
from octoco.messaging.topology import Topology


def test_heartbeats_are_answered_between_two_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_watch, "WATCH_EVERY_SECONDS", 0.01)
    stop = threading.Event()
    done: list[str] = []

    class Connection:
        is_open = False

        def process_data_events(self, *, time_limit: float) -> None:
            assert time_limit <= 1
            if done[-1] == "looked":
                done.append("answered")

    def look(_watch: QueueWatch, _connection: Any) -> None:
        done.append("looked")
        if len(done) == 3:
            stop.set()

    monkeypatch.setattr(QueueWatch, "look", look)
    QueueWatch(connect=Connection, topology=Topology("probe"), event_types=()).run(stop)
    assert done == ["looked", "answered", "looked"]
