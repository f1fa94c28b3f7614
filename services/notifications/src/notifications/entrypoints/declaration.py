"""What notifications says about its events, for the documents made from them."""

from typing import Final

from notifications.bootstrap import SERVICE
from notifications.entrypoints.consumer import USE_CASES
from octoco.messaging.declaration import EventDeclaration

EVENTS: Final = EventDeclaration(service=SERVICE, listens=USE_CASES)
