"""Why accounts turns a request down.

Refusal
├── InvalidEmail                 no address that mail can be sent to
├── InvalidFullName              empty, too long, or with control characters
├── PasswordTooShort             fewer characters than the policy asks
├── PasswordTooLong              more characters than the hasher should be fed
├── PasswordTooCommon            on the list every attacker tries first
├── PasswordTooGuessable         made of the person's own name or address, or of ours
├── VerificationTokenInvalid     never issued, or withdrawn
├── VerificationTokenUsed        it worked once already
├── VerificationTokenExpired     its time is over
├── InvalidCredentials           no such user, or not their password: never says which
├── EmailNotVerified             the right password, but the address is not proved yet
├── RefreshTokenInvalid          never issued
├── RefreshTokenExpired          its time is over
├── RefreshTokenReused           it was exchanged before: its whole family is revoked
├── SessionRevoked               logged out, or revoked for safety
├── UserFrozen                   an operator has stopped the user
├── FreezeReasonMissing          a freeze or its end needs a reason
├── UserNotFound                 nobody has this id or address
└── UnknownRole                  no such role
"""

from octoco.errors import Refusal


class InvalidEmail(Refusal):
    """The text is no address that mail can be sent to."""

    code = "invalid_email"


class InvalidFullName(Refusal):
    """The name is empty, too long, or holds control characters."""

    code = "invalid_full_name"


class PasswordTooShort(Refusal):
    """The password has fewer characters than the policy asks."""

    code = "password_too_short"


class PasswordTooLong(Refusal):
    """The password has more characters than anyone should have to hash."""

    code = "password_too_long"


class PasswordTooCommon(Refusal):
    """The password is on the list that every attacker tries first."""

    code = "password_too_common"


class PasswordTooGuessable(Refusal):
    """The password is made of the person's own name or address, or of the product's name."""

    code = "password_too_guessable"


class VerificationTokenInvalid(Refusal):
    """The verification token was never issued, or was withdrawn."""

    code = "verification_token_invalid"


class VerificationTokenUsed(Refusal):
    """The verification token did its work before."""

    code = "verification_token_used"


class VerificationTokenExpired(Refusal):
    """The verification token's time is over."""

    code = "verification_token_expired"


class InvalidCredentials(Refusal):
    """No user has this address with this password; which of the two is wrong is never said."""

    code = "invalid_credentials"


class EmailNotVerified(Refusal):
    """The password is right, but the address has not been proved yet."""

    code = "email_not_verified"


class RefreshTokenInvalid(Refusal):
    """The refresh token was never issued."""

    code = "refresh_token_invalid"


class RefreshTokenExpired(Refusal):
    """The refresh token's time, or its session's, is over."""

    code = "refresh_token_expired"


class RefreshTokenReused(Refusal):
    """The refresh token was exchanged before, so its whole family has been revoked."""

    code = "refresh_token_reused"


class SessionRevoked(Refusal):
    """The session was ended: logged out, or revoked for safety."""

    code = "session_revoked"


class UserFrozen(Refusal):
    """An operator has frozen the user: they may not log in or refresh."""

    code = "user_frozen"


class FreezeReasonMissing(Refusal):
    """A freeze or its end needs a reason in words."""

    code = "reason_missing"


class UserNotFound(Refusal):
    """Nobody has this id or address."""

    code = "user_not_found"


class UnknownRole(Refusal):
    """There is no such role."""

    code = "unknown_role"
