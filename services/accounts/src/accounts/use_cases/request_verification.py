"""Have a proof of address mailed: the step that registering and resending share."""

from accounts.domain.audit import AuditAction, AuditRecord
from accounts.domain.credentials import CredentialId, MailedToken, VerificationToken
from accounts.domain.sessions import Origin
from accounts.domain.users import User
from accounts.messages.outbound import EmailVerificationRequested
from accounts.use_cases.ports import AccountsUnit, Ports


def request_verification(
    ports: Ports,
    unit: AccountsUnit,
    *,
    user: User,
    credential_id: CredentialId,
    mailed_token: MailedToken,
    origin: Origin,
) -> None:
    """Store a token's hash with the message that has it mailed, in the caller's unit of work.

    Args:
        ports: Clock and policy.
        unit: The caller's, open.
        user: Locked, and not verified yet.
        credential_id: The password that following the mail's link confirms.
        mailed_token: Fresh, made before the unit was opened.
        origin: For the audit log.
    """
    now = ports.clock.now()
    expires_at = now + ports.policy.verification_token_lifetime
    unit.verification_tokens.add(
        VerificationToken(mailed_token.token_hash, user.id, credential_id, now, expires_at)
    )
    unit.outbox.add(
        EmailVerificationRequested(
            user_id=user.id,
            email=user.email.address,
            token_encrypted=mailed_token.token_encrypted,
            expires_at=expires_at,
        )
    )
    unit.audit_log.append(AuditRecord(now, AuditAction.VERIFICATION_REQUESTED, user.id, origin))
