"""Suites that say what an adapter keeps to, for whoever writes another one.

Each is a class of tests. Subclass it under a name that begins with `Test`, and give the subclass a
fixture `ground` that stands on your adapter; what the ground has to offer is the protocol of the
same name beside the suite.

    class TestOurOutbox(OutboxStoreConformance):
        @pytest.fixture
        def ground(self) -> OurGround:
            return OurGround()
"""

from octoco.testing.conformance.broker import BrokerConformance, BrokerGround
from octoco.testing.conformance.consuming import ConsumingConformance, ConsumingGround
from octoco.testing.conformance.inbox import InboxConformance, InboxGround
from octoco.testing.conformance.intents import IntentsConformance, IntentsGround
from octoco.testing.conformance.outbox import OutboxGround, OutboxStoreConformance
from octoco.testing.conformance.parked import ParkedConformance, ParkedGround
from octoco.testing.conformance.probe import PROBE_CONTRACTS
from octoco.testing.conformance.publisher import PublisherConformance, PublisherGround

__all__ = [
    "PROBE_CONTRACTS",
    "BrokerConformance",
    "BrokerGround",
    "ConsumingConformance",
    "ConsumingGround",
    "InboxConformance",
    "InboxGround",
    "IntentsConformance",
    "IntentsGround",
    "OutboxGround",
    "OutboxStoreConformance",
    "ParkedConformance",
    "ParkedGround",
    "PublisherConformance",
    "PublisherGround",
]
