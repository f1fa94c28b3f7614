"""Have the proof of address mailed once more."""

from accounts.domain.credentials import MailedToken
from accounts.domain.sessions import Origin
from accounts.domain.users import Email
from accounts.use_cases.ports import AccountsUnit, Ports
from accounts.use_cases.request_verification import request_verification


def resend_verification(ports: Ports, *, email: str, origin: Origin) -> None:
    """Send another verification mail, if somebody unproved has this address.

    Earlier links keep working until they expire. Nothing is sent, and nothing says so, if the
    address is unknown, proved already, or has too many open links.

    Args:
        ports: What accounts works with.
        email: As typed.
        origin: For the audit log.

    Raises:
        InvalidEmail: mail could not be sent to the address.
        Unavailable: the database is away.
    """
    address = Email.parse(email)
    mailed_token = MailedToken.make(ports.mail_tokens.encrypt)

    def work(unit: AccountsUnit) -> None:
        now = ports.clock.now()
        user = unit.users.lock_by_email(address)
        if user is None or user.email_verified:
            return
        open_now = unit.verification_tokens.count_open(user.id, now=now)
        if not ports.policy.allows_another_verification(open_now=open_now):
            return
        credential = unit.credentials.latest_of(user.id)
        assert credential is not None, "every user registered with a password"
        request_verification(
            ports,
            unit,
            user=user,
            credential_id=credential.id,
            mailed_token=mailed_token,
            origin=origin,
        )

    ports.units.run(work)
