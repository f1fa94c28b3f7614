"""Register a person: store them, and have a proof of address mailed."""

from accounts.domain.audit import AuditAction, AuditRecord
from accounts.domain.credentials import Credential, CredentialId, MailedToken
from accounts.domain.passwords import check_password, normalise_password
from accounts.domain.sessions import Origin
from accounts.domain.users import Email, Role, User, UserId, parse_full_name
from accounts.messages.outbound import UserRegistered
from accounts.use_cases.ports import AccountsUnit, Ports
from accounts.use_cases.request_verification import request_verification
from octoco.ids import new_id


def register_user(
    ports: Ports, *, email: str, password: str, full_name: str, origin: Origin
) -> None:
    """Store a new user with their password and have a verification mail sent.

    The answer and the time taken are the same whether or not the address is known, so that
    nobody learns who has an account:

    - an unknown address becomes a user;
    - a known address that is not proved yet gets another mail, and *this* password counts if it
      is that mail's link that is followed. Otherwise whoever registers a stranger's address first
      would own the account that the stranger later proves;
    - a proved address is left alone.

    Args:
        ports: What accounts works with.
        email: As typed; letter case does not make another address.
        password: As typed; never stored or logged, only its hash is kept.
        full_name: As typed.
        origin: For the audit log.

    Raises:
        InvalidEmail: mail could not be sent to the address.
        InvalidFullName: empty, too long, or with control characters.
        PasswordTooShort, PasswordTooLong, PasswordTooCommon, PasswordTooGuessable: the password
            does not meet the policy.
        Unavailable: the database is away or too many passwords are being hashed.

    Source: design 7; OWASP ASVS 5, 6.3.8 (no user enumeration).
    """
    address = Email.parse(email)
    name = parse_full_name(full_name)
    normalised = normalise_password(password)
    check_password(normalised, email=address, full_name=name, blocklist=ports.password_blocklist)
    # Hashed before the unit of work opens (it takes long), and for known addresses too.
    password_hash = ports.password_hasher.hash(normalised)
    mailed_token = MailedToken.make(ports.mail_tokens.encrypt)
    user_id = UserId(new_id("usr"))
    credential_id = CredentialId(new_id("crd"))

    def work(unit: AccountsUnit) -> None:
        now = ports.clock.now()
        user = _add_user(unit, User(user_id, address, name, (Role.USER,), now), origin)
        open_now = unit.verification_tokens.count_open(user.id, now=now)
        if user.email_verified or not ports.policy.allows_another_verification(open_now=open_now):
            return
        unit.credentials.add(Credential(credential_id, user.id, password_hash, now))
        request_verification(
            ports,
            unit,
            user=user,
            credential_id=credential_id,
            mailed_token=mailed_token,
            origin=origin,
        )

    ports.units.run(work)


def _add_user(unit: AccountsUnit, new_user: User, origin: Origin) -> User:
    registered_at = new_user.created_at
    if not unit.users.add(new_user):
        known = unit.users.lock_by_email(new_user.email)
        assert known is not None, "the address was taken a moment ago in this very unit"
        return known
    unit.outbox.add(
        UserRegistered(
            user_id=new_user.id,
            email=new_user.email.address,
            full_name=new_user.full_name,
            registered_at=registered_at,
        )
    )
    unit.audit_log.append(
        AuditRecord(registered_at, AuditAction.USER_REGISTERED, new_user.id, origin)
    )
    return new_user
