"""Calls that leave the system: stored with the state that wants them, performed under a lease."""

from octoco.intents.intent import Again, Done, Intent, IntentHandler

__all__ = ["Again", "Done", "Intent", "IntentHandler"]
