"""Prove that an address belongs to the user who registered it."""

from accounts.domain.audit import AuditAction, AuditRecord
from accounts.domain.errors import VerificationTokenInvalid
from accounts.domain.secrets import hash_secret
from accounts.domain.sessions import Origin
from accounts.domain.users import UserId
from accounts.messages.outbound import EmailVerified
from accounts.use_cases.ports import AccountsUnit, Ports


def verify_email(ports: Ports, *, token: str, origin: Origin) -> UserId:
    """Mark the user's address as proved and confirm the password that came with this token.

    The token works once. Every other open token of the user stops working, and passwords from
    other registrations of the address are deleted.

    Args:
        ports: What accounts works with.
        token: From the mail.
        origin: For the audit log.

    Returns:
        The user's id.

    Raises:
        VerificationTokenInvalid: never issued, or withdrawn by another verification.
        VerificationTokenUsed: it worked once already.
        VerificationTokenExpired: its time is over.
        Unavailable: the database is away.
    """
    token_hash = hash_secret(token)

    def work(unit: AccountsUnit) -> UserId:
        now = ports.clock.now()
        found = unit.verification_tokens.find(token_hash)
        # Two uses of one token race for the user's row; the loser is run again and finds it used.
        user = unit.users.lock(found.user_id) if found else None
        if found is None or user is None:
            raise VerificationTokenInvalid("This token is not valid.", field="token")
        found.require_open(now)
        unit.verification_tokens.use_all(user.id, used_at=now)
        unit.credentials.keep_only(found.credential_id, user_id=user.id)
        unit.users.mark_email_verified(user.id, verified_at=now)
        unit.outbox.add(EmailVerified(user_id=user.id, email=user.email.address, verified_at=now))
        unit.audit_log.append(AuditRecord(now, AuditAction.EMAIL_VERIFIED, user.id, origin))
        return user.id

    return ports.units.run(work)
