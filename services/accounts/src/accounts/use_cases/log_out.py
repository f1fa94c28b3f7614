"""End a session."""

from accounts.domain.audit import AuditAction, AuditRecord
from accounts.domain.sessions import Origin, RevocationReason, SessionId
from accounts.domain.users import UserId
from accounts.use_cases.ports import AccountsUnit, Ports


def log_out(ports: Ports, *, user_id: UserId, session_id: SessionId, origin: Origin) -> None:
    """End the session that the access token belongs to; its refresh tokens stop working.

    A session that has ended already stays as it is.

    Raises:
        Unavailable: the database is away.
    """

    def work(unit: AccountsUnit) -> None:
        now = ports.clock.now()
        session = unit.sessions.lock(session_id)
        if session is None or session.user_id != user_id or session.revoked:
            return
        unit.sessions.revoke(session.id, revoked_at=now, reason=RevocationReason.LOGGED_OUT)
        unit.audit_log.append(
            AuditRecord(now, AuditAction.LOGGED_OUT, user_id, origin, {"session_id": session.id})
        )

    ports.units.run(work)
