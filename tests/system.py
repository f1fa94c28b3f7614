"""A running system, as tests address it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class System:
    """A running system: where it answers, and what its `.local/env` says."""

    environment: Mapping[str, str]
    state: Path

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
