"""What accounts announces, one class for each message version."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class UserRegistered:
    """Somebody registered; their address is not proved yet.

    Args:
        registered_at: UTC.
    """

    TYPE: ClassVar[str] = "accounts.user.registered.v1"

    user_id: str
    email: str
    full_name: str
    registered_at: datetime

    @property
    def aggregate_id(self) -> str:
        return self.user_id

    def to_data(self) -> dict[str, object]:
        return {
            "user_id": self.user_id,
            "email": self.email,
            "full_name": self.full_name,
            "registered_at": _utc_text(self.registered_at),
        }


@dataclass(frozen=True, slots=True)
class EmailVerificationRequested:
    """A proof of address is to be mailed.

    Args:
        token_encrypted: The single-use token, readable by notifications alone.
        expires_at: UTC; the token is worthless afterwards.
    """

    TYPE: ClassVar[str] = "accounts.user.email_verification_requested.v1"

    user_id: str
    email: str
    token_encrypted: str
    expires_at: datetime

    @property
    def aggregate_id(self) -> str:
        return self.user_id

    def to_data(self) -> dict[str, object]:
        return {
            "user_id": self.user_id,
            "email": self.email,
            "token_encrypted": self.token_encrypted,
            "expires_at": _utc_text(self.expires_at),
        }


@dataclass(frozen=True, slots=True)
class EmailVerified:
    """The user proved that the address is theirs.

    Args:
        verified_at: UTC.
    """

    TYPE: ClassVar[str] = "accounts.user.email_verified.v1"

    user_id: str
    email: str
    verified_at: datetime

    @property
    def aggregate_id(self) -> str:
        return self.user_id

    def to_data(self) -> dict[str, object]:
        return {
            "user_id": self.user_id,
            "email": self.email,
            "verified_at": _utc_text(self.verified_at),
        }


@dataclass(frozen=True, slots=True)
class UserFrozen:
    """An operator has stopped the user; why stays in the audit log.

    Args:
        frozen_at: UTC; of several freezes and their ends the latest instant counts.
    """

    TYPE: ClassVar[str] = "accounts.user.frozen.v1"

    user_id: str
    frozen_at: datetime

    @property
    def aggregate_id(self) -> str:
        return self.user_id

    def to_data(self) -> dict[str, object]:
        return {"user_id": self.user_id, "frozen_at": _utc_text(self.frozen_at)}


@dataclass(frozen=True, slots=True)
class UserUnfrozen:
    """An operator lets the user go on.

    Args:
        unfrozen_at: UTC; later than the freeze that it ends.
    """

    TYPE: ClassVar[str] = "accounts.user.unfrozen.v1"

    user_id: str
    unfrozen_at: datetime

    @property
    def aggregate_id(self) -> str:
        return self.user_id

    def to_data(self) -> dict[str, object]:
        return {"user_id": self.user_id, "unfrozen_at": _utc_text(self.unfrozen_at)}


def _utc_text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
