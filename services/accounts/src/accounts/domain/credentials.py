"""A user's password as it is kept, and the proof of address that confirms it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NewType

from accounts.domain.errors import VerificationTokenExpired, VerificationTokenUsed
from accounts.domain.secrets import hash_secret, new_secret
from accounts.domain.users import UserId

CredentialId = NewType("CredentialId", str)


@dataclass(frozen=True, slots=True)
class Credential:
    """One password of a user, hashed.

    Until the address is proved a user may have several: each registration with that address
    brings its own, and the verification decides which of them stays.

    Args:
        id: Another password is another credential; a stronger hash of the same one is not.
        password_hash: In the PHC string format, with its parameters.
        created_at: UTC.
    """

    id: CredentialId
    user_id: UserId
    password_hash: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class VerificationToken:
    """A mailed proof of address; only its hash is kept.

    Args:
        token_hash: SHA-256 of the token, in hex.
        credential_id: The password that was chosen with it. Proving the address confirms this
            one: a stranger's earlier registration must not become the key to the account.
        created_at: UTC.
        expires_at: UTC.
        used_at: UTC; None while it is open.
    """

    token_hash: str
    user_id: UserId
    credential_id: CredentialId
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None

    def require_open(self, now: datetime) -> None:
        """Let an unused token pass that has not expired.

        Raises:
            VerificationTokenUsed: it did its work before.
            VerificationTokenExpired: its time is over.
        """
        if self.used_at is not None:
            raise VerificationTokenUsed("This token has been used already.", field="token")
        if now >= self.expires_at:
            raise VerificationTokenExpired(
                "This token has expired. Ask for a new one.", field="token"
            )


@dataclass(frozen=True, slots=True)
class MailedToken:
    """A fresh token for a mail, whose plain text is already gone: hash and cipher are left.

    Made before the unit of work opens, also where no mail will be sent, so that the time taken
    is the same.
    """

    token_hash: str
    token_encrypted: str

    @classmethod
    def make(cls, encrypt: Callable[[str], str]) -> "MailedToken":
        token = new_secret("evt")
        return cls(hash_secret(token), encrypt(token))
