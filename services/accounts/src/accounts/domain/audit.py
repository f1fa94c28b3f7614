"""What is written down for ever about identity."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from accounts.domain.sessions import UNKNOWN_ORIGIN, Origin
from accounts.domain.users import UserId


class AuditAction(StrEnum):
    """What happened."""

    USER_REGISTERED = "user_registered"
    VERIFICATION_REQUESTED = "verification_requested"
    EMAIL_VERIFIED = "email_verified"
    LOGGED_IN = "logged_in"
    LOGIN_FAILED = "login_failed"
    LOGGED_OUT = "logged_out"
    SESSION_REVOKED_FOR_REUSE = "session_revoked_for_reuse"
    PROFILE_UPDATED = "profile_updated"
    ROLE_GRANTED = "role_granted"
    USER_FROZEN = "user_frozen"
    USER_UNFROZEN = "user_unfrozen"


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One line of the audit log.

    Args:
        at: UTC.
        user_id: Whom it is about; None where nobody is known.
        origin: Where the request came from.
        details: JSON-ready; ids and field names, never a secret or a person's data.
    """

    at: datetime
    action: AuditAction
    user_id: UserId | None
    origin: Origin = UNKNOWN_ORIGIN
    details: Mapping[str, object] = field(default_factory=dict)
