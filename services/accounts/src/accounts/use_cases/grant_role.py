"""Give a user a role: an operator's act, and the way to the first admin."""

from dataclasses import replace

from accounts.domain.audit import AuditAction, AuditRecord
from accounts.domain.errors import UserNotFound
from accounts.domain.users import Email, User, parse_role, sorted_roles
from accounts.use_cases.ports import AccountsUnit, Ports


def grant_role(ports: Ports, *, email: str, role: str) -> User:
    """Give the user with this address a role; their next access token carries it.

    Args:
        ports: What accounts works with.
        email: Of a registered user.
        role: `user`, `support`, `finance` or `admin`.

    Returns:
        The user as they are now; granting a role again changes nothing.

    Raises:
        InvalidEmail: the address is malformed.
        UnknownRole: no such role.
        UserNotFound: nobody has the address.
        Unavailable: the database is away.
    """
    address = Email.parse(email)
    granted = parse_role(role)

    def work(unit: AccountsUnit) -> User:
        now = ports.clock.now()
        user = unit.users.lock_by_email(address)
        if user is None:
            raise UserNotFound("Nobody is registered with this address.", field="email")
        if granted in user.roles:
            return user
        unit.users.grant_role(user.id, role=granted, granted_at=now)
        unit.audit_log.append(
            AuditRecord(now, AuditAction.ROLE_GRANTED, user.id, details={"role": granted.value})
        )
        return replace(user, roles=sorted_roles((*user.roles, granted)))

    return ports.units.run(work)
