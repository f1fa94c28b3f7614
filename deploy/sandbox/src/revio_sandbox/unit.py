"""One unit of work: everything a change may touch, committed together."""

import json
import sqlite3

from revio_sandbox.config import Settings
from revio_sandbox.deliveries import Addressee, Deliveries
from revio_sandbox.keys import COMPANY
from revio_sandbox.knobs import Knobs, Match
from revio_sandbox.objects import Objects, StoredObject
from revio_sandbox.timers import Timers


class Unit:
    """Open on one transaction, at one instant of the sandbox's clock (`now`, unix seconds)."""

    def __init__(
        self, connection: sqlite3.Connection, *, settings: Settings, now: float, scale: float
    ) -> None:
        self.connection = connection
        self.settings = settings
        self.now = now
        self.scale = scale
        self.objects = Objects(connection)
        self.deliveries = Deliveries(connection, now=now)
        self.timers = Timers(connection, now=now)
        self.knobs = Knobs(connection)

    def setting(self, name: str, default: str = "") -> str:
        """Return what control or the sandbox remembered under `name`."""
        row = self.connection.execute(
            "SELECT value FROM settings WHERE name = ?", (name,)
        ).fetchone()
        return default if row is None else str(row["value"])

    def remember(self, name: str, value: str) -> None:
        """Keep `value` under `name` over restarts."""
        self.connection.execute(
            "INSERT INTO settings (name, value) VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, value),
        )

    def next_number(self, name: str, *, start: int) -> int:
        """Return the next number of the counter `name`."""
        number = int(self.setting(name, str(start)))
        self.remember(name, str(number + 1))
        return number

    def announce(self, event: str, stored: StoredObject, *, callback: str = "") -> None:
        """Queue `event` with the object as it is now, for every webhook that asked for it.

        Args:
            event: Event type, such as `purchase.paid`.
            stored: The object whose snapshot is sent.
            callback: The purchase's own `success_callback`; signed with the company's key.
        """
        match = Match(
            object_id=stored.id, reference=stored.document.get("reference") or "", event=event
        )
        outcome = self.knobs.take_for_event(match)
        holding = self.setting("holding") == "on"
        for addressee in self.addressees(event, callback=callback):
            self.deliveries.enqueue(
                addressee, event, document=stored.document, outcome=outcome, holding=holding
            )

    def addressees(self, event: str, *, callback: str = "") -> list[Addressee]:
        """Return who is to be told of `event`: webhooks in order of registration, then callback."""
        rows = self.connection.execute("SELECT * FROM webhooks ORDER BY sequence")
        told = [
            Addressee(url=row["callback"], key_name=row["id"])
            for row in rows
            if row["all_events"] or event in json.loads(row["events"])
        ]
        return told + ([Addressee(url=callback, key_name=COMPANY)] if callback else [])
