"""Stop a user, and let them go on: an operator's act, with its reason kept for ever."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from accounts.domain.audit import AuditAction, AuditRecord
from accounts.domain.errors import FreezeReasonMissing, UserNotFound
from accounts.domain.users import Email, User
from accounts.messages.outbound import UserFrozen, UserUnfrozen
from accounts.use_cases.ports import AccountsUnit, Ports

REASON_LENGTH_MAX: Final = 1000
# Others order freezes and their ends by these instants, however late the news come.
_LATER: Final = timedelta(microseconds=1)


def freeze_user(ports: Ports, *, email: str, reason: str) -> User:
    """Let the user neither log in nor refresh, and tell the others, who start nothing for them.

    Access tokens that are out already live on for minutes; those who move money know by then.

    Args:
        ports: What accounts works with.
        email: Of a registered user.
        reason: Why, in the operator's words, for the audit log.

    Returns:
        The user as they are now; freezing again changes nothing.

    Raises:
        InvalidEmail: the address is malformed.
        FreezeReasonMissing: no reason is given, or one longer than 1,000 characters.
        UserNotFound: nobody has the address.
        Unavailable: the database is away.
    """

    def freeze(unit: AccountsUnit, user: User, now: datetime) -> User:
        if user.is_frozen:
            return user
        frozen_at = max(now, user.unfrozen_at + _LATER if user.unfrozen_at else now)
        unit.users.freeze(user.id, frozen_at=frozen_at)
        unit.outbox.add(UserFrozen(user_id=user.id, frozen_at=frozen_at))
        unit.audit_log.append(
            AuditRecord(now, AuditAction.USER_FROZEN, user.id, details={"reason": reason.strip()})
        )
        return replace(user, frozen_at=frozen_at)

    return _with_user(ports, email=email, reason=reason, work=freeze)


def unfreeze_user(ports: Ports, *, email: str, reason: str) -> User:
    """Let a frozen user go on; their sessions that have not expired work again.

    Args:
        ports: What accounts works with.
        email: Of a registered user.
        reason: Why, in the operator's words, for the audit log.

    Returns:
        The user as they are now; one who is not frozen is returned unchanged.

    Raises:
        InvalidEmail: the address is malformed.
        FreezeReasonMissing: no reason is given, or one longer than 1,000 characters.
        UserNotFound: nobody has the address.
        Unavailable: the database is away.
    """

    def unfreeze(unit: AccountsUnit, user: User, now: datetime) -> User:
        if not user.is_frozen:
            return user
        assert user.frozen_at is not None
        unfrozen_at = max(now, user.frozen_at + _LATER)
        unit.users.unfreeze(user.id, unfrozen_at=unfrozen_at)
        unit.outbox.add(UserUnfrozen(user_id=user.id, unfrozen_at=unfrozen_at))
        unit.audit_log.append(
            AuditRecord(now, AuditAction.USER_UNFROZEN, user.id, details={"reason": reason.strip()})
        )
        return replace(user, unfrozen_at=unfrozen_at)

    return _with_user(ports, email=email, reason=reason, work=unfreeze)


def _with_user(
    ports: Ports, *, email: str, reason: str, work: Callable[[AccountsUnit, User, datetime], User]
) -> User:
    address = Email.parse(email)
    if not 1 <= len(reason.strip()) <= REASON_LENGTH_MAX:
        raise FreezeReasonMissing(
            f"Give a reason of 1 to {REASON_LENGTH_MAX} characters.", field="reason"
        )

    def on_locked(unit: AccountsUnit) -> User:
        user = unit.users.lock_by_email(address)
        if user is None:
            raise UserNotFound("Nobody is registered with this address.", field="email")
        return work(unit, user, ports.clock.now())

    return ports.units.run(on_locked)
