"""A delivery: one mail to one person about one message, and the states it passes through."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NewType

from octoco.transitions import TransitionTable

DeliveryId = NewType("DeliveryId", str)

SEND_EMAIL: Final = "send_email"
REPEATS_MAX: Final = 1
GIVE_UP_AFTER: Final = timedelta(days=3)


class Template(StrEnum):
    """Which mail it is."""

    EMAIL_VERIFICATION = "email_verification"
    WELCOME = "welcome"
    DEPOSIT_COMPLETED = "deposit_completed"
    DEPOSIT_FAILED = "deposit_failed"
    WITHDRAWAL_COMPLETED = "withdrawal_completed"
    WITHDRAWAL_FAILED = "withdrawal_failed"
    WITHDRAWAL_CANCELLED = "withdrawal_cancelled"
    BANK_ACCOUNT_VERIFIED = "bank_account_verified"


class DeliveryStatus(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"


class FailureReason(StrEnum):
    """Why a delivery failed."""

    REFUSED_BY_SERVER = "refused_by_server"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - a reason, no secret
    TOKEN_UNREADABLE = "token_unreadable"  # noqa: S105 - a reason, no secret
    OUTCOME_UNKNOWN = "outcome_unknown"
    GAVE_UP = "gave_up"


# `sending` to `sending` is the repeat after a try whose outcome nobody knows.
TRANSITIONS: Final = TransitionTable(
    {
        DeliveryStatus.WAITING: {DeliveryStatus.SENDING, DeliveryStatus.FAILED},
        DeliveryStatus.SENDING: {
            DeliveryStatus.SENDING,
            DeliveryStatus.SENT,
            DeliveryStatus.WAITING,
            DeliveryStatus.FAILED,
        },
        DeliveryStatus.SENT: set(),
        DeliveryStatus.FAILED: set(),
    }
)


@dataclass(frozen=True, slots=True)
class EncryptedToken:
    """A single-use token to be mailed, readable only at sending.

    Args:
        expires_at: UTC; worthless afterwards.
    """

    ciphertext: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """One mail. It is unique by the message it is about and its template.

    Args:
        message_id: The event that called for it.
        to_address: Where it goes, as known when it was planned.
        locale: Babel's name of the reader's locale, `en_ZA`.
        facts: What the template says besides; JSON-ready, no secrets.
        created_at: UTC.
        token: To be mailed with it; gone once the delivery has ended.
        status: Where it stands.
        repeats: Sendings begun while the outcome of the one before was unknown.
        sent_at: UTC; when the mail server took it.
        failure_reason: Why it failed, if it did.
    """

    id: DeliveryId
    message_id: str
    template: Template
    user_id: str
    to_address: str
    locale: str
    facts: Mapping[str, str]
    created_at: datetime
    token: EncryptedToken | None = None
    status: DeliveryStatus = DeliveryStatus.WAITING
    repeats: int = 0
    sent_at: datetime | None = None
    failure_reason: FailureReason | None = None

    @property
    def has_ended(self) -> bool:
        return TRANSITIONS.is_final(self.status)

    def begin(self, now: datetime, *, in_doubt: bool) -> "Delivery":
        """Begin to send, or end the delivery where sending makes no sense any more.

        A mail that may have gone out already is sent once more, and no more than once.

        Args:
            now: UTC.
            in_doubt: Whether a try was begun before whose outcome nobody recorded.
        """
        if self.token is not None and now >= self.token.expires_at:
            return self.fail(FailureReason.TOKEN_EXPIRED)
        if now - self.created_at >= GIVE_UP_AFTER:
            return self.fail(FailureReason.GAVE_UP)
        if in_doubt and self.repeats >= REPEATS_MAX:
            return self.fail(FailureReason.OUTCOME_UNKNOWN)
        return self._moved_to(DeliveryStatus.SENDING, repeats=self.repeats + int(in_doubt))

    def postpone(self) -> "Delivery":
        """Go back to waiting after a try that surely sent nothing."""
        return self._moved_to(DeliveryStatus.WAITING)

    def succeed(self, now: datetime) -> "Delivery":
        """End well; the token is forgotten.

        Args:
            now: UTC.
        """
        return replace(self._moved_to(DeliveryStatus.SENT), sent_at=now, token=None)

    def fail(self, reason: FailureReason) -> "Delivery":
        """End badly; the token is forgotten."""
        return replace(self._moved_to(DeliveryStatus.FAILED), failure_reason=reason, token=None)

    def _moved_to(self, status: DeliveryStatus, *, repeats: int | None = None) -> "Delivery":
        TRANSITIONS.require(self.status, status)
        return replace(self, status=status, repeats=self.repeats if repeats is None else repeats)
