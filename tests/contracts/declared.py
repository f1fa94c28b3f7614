"""What the services declare: their message classes, and the events they send and listen to."""

import importlib
from typing import Any

from octoco.messaging.declaration import EventDeclaration, messages_of

# Each service, and the first word of the messages it owns.
SERVICES = {
    "accounts": "accounts",
    "wallet": "wallet",
    "payments_gateway": "payments",
    "notifications": "notifications",
}
# One of them announces nothing, and one listens to nobody.
DIRECTIONS = {
    "outbound": ("accounts", "wallet", "payments_gateway"),
    "inbound": ("wallet", "payments_gateway", "notifications"),
}


def _classes(direction: str) -> dict[tuple[str, str], type[Any]]:
    return {
        (service, kind.TYPE): kind
        for service in DIRECTIONS[direction]
        for kind in messages_of(importlib.import_module(f"{service}.messages.{direction}"))
    }


def _declaration(service: str) -> EventDeclaration:
    declared = importlib.import_module(f"{service}.entrypoints.declaration")
    events: EventDeclaration = declared.EVENTS
    return events


OUTBOUND = _classes("outbound")
INBOUND = _classes("inbound")
EVENTS = [_declaration(service) for service in SERVICES]
