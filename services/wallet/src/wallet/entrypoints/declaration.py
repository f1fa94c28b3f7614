"""What the wallet says about its events, for the documents made from them."""

from typing import Final

from octoco.messaging.declaration import EventDeclaration, messages_of
from wallet.bootstrap import SERVICE
from wallet.entrypoints.consumer import BATCH_USE_CASES, USE_CASES
from wallet.messages import outbound

EVENTS: Final = EventDeclaration(
    service=SERVICE,
    sends=messages_of(outbound),
    listens={message.TYPE: use_case for message, use_case in USE_CASES.items()},
    together=frozenset(message.TYPE for message in BATCH_USE_CASES),
)
