"""Let the user change what is theirs to change."""

from dataclasses import replace

from accounts.domain.audit import AuditAction, AuditRecord
from accounts.domain.sessions import Origin, SessionId
from accounts.domain.users import User, UserId, parse_full_name
from accounts.use_cases.ports import AccountsUnit, Ports
from accounts.use_cases.require_current_user import require_current_user


def update_me(
    ports: Ports, *, user_id: UserId, session_id: SessionId, full_name: str | None, origin: Origin
) -> User:
    """Change the user's name.

    Args:
        ports: What accounts works with.
        user_id: From the access token.
        session_id: From the access token.
        full_name: As typed; None leaves it.
        origin: For the audit log.

    Returns:
        The user as they are now; the same name again changes nothing.

    Raises:
        InvalidFullName: empty, too long, or with control characters.
        SessionRevoked: the session has ended.
        UserNotFound: nobody has the id.
        Unavailable: the database is away.
    """
    name = None if full_name is None else parse_full_name(full_name)

    def work(unit: AccountsUnit) -> User:
        user = require_current_user(unit, user_id=user_id, session_id=session_id, lock=True)
        if name is None or name == user.full_name:
            return user
        unit.users.rename(user.id, full_name=name)
        unit.audit_log.append(
            AuditRecord(
                ports.clock.now(),
                AuditAction.PROFILE_UPDATED,
                user.id,
                origin,
                {"fields": ["full_name"]},
            )
        )
        return replace(user, full_name=name)

    return ports.units.run(work)
