"""The message classes of every service, by service and event type."""

import importlib
import inspect
from typing import Any

# Each service, and the first word of the messages it owns.
SERVICES = {
    "accounts": "accounts",
    "wallet": "wallet",
    "payments_gateway": "payments",
    "notifications": "notifications",
}


def message_classes(service: str, direction: str) -> dict[str, type[Any]]:
    try:
        module = importlib.import_module(f"{service}.messages.{direction}")
    except ModuleNotFoundError as error:
        if service not in (error.name or ""):
            raise
        return {}
    members: list[tuple[str, type[Any]]] = inspect.getmembers(module, inspect.isclass)
    return {
        kind.TYPE: kind
        for _, kind in members
        if kind.__module__ == module.__name__ and isinstance(getattr(kind, "TYPE", None), str)
    }


OUTBOUND = {
    (service, event_type): kind
    for service in SERVICES
    for event_type, kind in message_classes(service, "outbound").items()
}
INBOUND = {
    (service, event_type): kind
    for service in SERVICES
    for event_type, kind in message_classes(service, "inbound").items()
}
