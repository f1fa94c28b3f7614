"""What goes wrong, on purpose: wrappers around the parts of a worker, by the chances of a seed.

Each keeps to what its part promises: a broker does repeat, reorder, delay and fall silent, and a
process does die anywhere. What is built on the parts has to come through it. Nothing of this needs
a hook in the code that is tested.
"""

from octoco.testing.saboteurs.chances import Chances, shuffled
from octoco.testing.saboteurs.crashes import (
    Crash,
    SimulatedCrash,
    crashing,
    kill_process,
    raise_crash,
)
from octoco.testing.saboteurs.deliveries import UnreliableDeliveries
from octoco.testing.saboteurs.publishers import Delayer, DropBeforeConfirm, Duplicator, Reorderer
from octoco.testing.saboteurs.units import AFTER_COMMIT, BEFORE_COMMIT, BEGUN, UnreliableUnits

__all__ = [
    "AFTER_COMMIT",
    "BEFORE_COMMIT",
    "BEGUN",
    "Chances",
    "Crash",
    "Delayer",
    "DropBeforeConfirm",
    "Duplicator",
    "Reorderer",
    "SimulatedCrash",
    "UnreliableDeliveries",
    "UnreliableUnits",
    "crashing",
    "kill_process",
    "raise_crash",
    "shuffled",
]
