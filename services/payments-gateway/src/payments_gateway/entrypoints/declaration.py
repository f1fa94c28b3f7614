"""What the payments gateway says about its events, for the documents made from them."""

from typing import Final

from octoco.messaging.declaration import EventDeclaration, messages_of
from payments_gateway.adapters.postgres.unit import SERVICE
from payments_gateway.entrypoints.consumer import USE_CASES
from payments_gateway.messages import outbound

EVENTS: Final = EventDeclaration(
    service=SERVICE,
    sends=messages_of(outbound),
    listens={message.TYPE: use_case for message, use_case in USE_CASES.items()},
)
