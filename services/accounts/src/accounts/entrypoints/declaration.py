"""What accounts says about its events, for the documents made from them."""

from typing import Final

from accounts.bootstrap import SERVICE
from accounts.messages import outbound
from octoco.messaging.declaration import EventDeclaration, messages_of

EVENTS: Final = EventDeclaration(service=SERVICE, sends=messages_of(outbound))
