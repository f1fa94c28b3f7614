"""How long things live and how much is allowed: the numbers of identity in one place."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class IdentityPolicy:
    """The lifetimes and bounds that the use cases apply.

    Args:
        access_token_lifetime: After it the client must refresh.
        refresh_token_lifetime: A refresh token that is not exchanged dies after it.
        refresh_grace: How long an exchanged refresh token still yields the same successor, for a
            client that lost the answer or sent the request twice.
        session_lifetime: After it even an active session must log in again.
        verification_token_lifetime: How long the link in the verification mail works.
        open_verifications_max: Verifications of one user that may be open at once; more are
            silently not sent, so that nobody's mailbox can be flooded through us.

    Source: design 7; NIST SP 800-63B-4, section 2.1.3 (reauthentication within 30 days).
    """

    access_token_lifetime: timedelta = timedelta(minutes=15)
    refresh_token_lifetime: timedelta = timedelta(days=7)
    refresh_grace: timedelta = timedelta(seconds=10)
    session_lifetime: timedelta = timedelta(days=30)
    verification_token_lifetime: timedelta = timedelta(hours=24)
    open_verifications_max: int = 5

    def allows_another_verification(self, *, open_now: int) -> bool:
        """Tell whether a user with so many open verifications may be sent one more."""
        return open_now < self.open_verifications_max
