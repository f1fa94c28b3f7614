"""A running system, as tests address it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from octoco.testing.traces import SeenSpans


@dataclass(frozen=True)
class System:
    """A running system: where it answers, what its `.local/env` says, and the spans it sends.

    One that was running before the tests sends its spans elsewhere, or nowhere.
    """

    environment: Mapping[str, str]
    state: Path
    spans: SeenSpans | None = None

    @property
    def gateway(self) -> str:
        return self.environment["GATEWAY_URL"]

    @property
    def sandbox(self) -> str:
        return self.environment["SANDBOX_URL"]

    @property
    def mailbox(self) -> str:
        return self.environment["MAILBOX_URL"]

    def database_url(self, service: str) -> str:
        return self.environment[f"{service.upper().replace('-', '_')}_DATABASE_URL"]
