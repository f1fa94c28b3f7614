"""What the use cases need from outside: stores, keys and the clock.

Adapters make it real; the unit tests have fakes of it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from accounts.domain.audit import AuditRecord
from accounts.domain.credentials import Credential, CredentialId, VerificationToken
from accounts.domain.passwords import PasswordBlocklist
from accounts.domain.policy import IdentityPolicy
from accounts.domain.sessions import (
    AccessClaims,
    Origin,
    RefreshToken,
    RevocationReason,
    Session,
    SessionId,
)
from accounts.domain.users import Email, Role, User, UserId
from octoco.clock import Clock
from octoco.ports import MessagingUnit, UnitsOfWork


class Users(Protocol):
    """The people who registered."""

    def add(self, user: User) -> bool:
        """Store a new user.

        Returns:
            False if the address is taken, without regard to letter case; nothing is stored then.
        """
        ...

    def find(self, user_id: UserId) -> User | None: ...

    def find_by_email(self, email: Email) -> User | None: ...

    def lock(self, user_id: UserId) -> User | None:
        """Read the user and keep others from changing them until the unit ends."""
        ...

    def lock_by_email(self, email: Email) -> User | None:
        """Read the user and keep others from changing them until the unit ends."""
        ...

    def rename(self, user_id: UserId, *, full_name: str) -> None: ...

    def mark_email_verified(self, user_id: UserId, *, verified_at: datetime) -> None: ...

    def freeze(self, user_id: UserId, *, frozen_at: datetime) -> None:
        """Keep when the user was last frozen; later than they were last let go on."""
        ...

    def unfreeze(self, user_id: UserId, *, unfrozen_at: datetime) -> None:
        """Keep when the user was last let go on; later than they were last frozen."""
        ...

    def grant_role(self, user_id: UserId, *, role: Role, granted_at: datetime) -> None:
        """Give a role; a role the user has already stays as it is."""
        ...


class Credentials(Protocol):
    """Hashed passwords."""

    def add(self, credential: Credential) -> None: ...

    def latest_of(self, user_id: UserId) -> Credential | None: ...

    def keep_only(self, credential_id: CredentialId, *, user_id: UserId) -> None:
        """Delete the user's other credentials, and the verification tokens that came with them."""
        ...

    def replace_hash(self, credential_id: CredentialId, *, password_hash: str) -> None: ...


class VerificationTokens(Protocol):
    """Mailed proofs of address, by the hash of the token."""

    def add(self, token: VerificationToken) -> None: ...

    def find(self, token_hash: str) -> VerificationToken | None: ...

    def count_open(self, user_id: UserId, *, now: datetime) -> int:
        """Count the user's tokens that are neither used nor expired."""
        ...

    def use_all(self, user_id: UserId, *, used_at: datetime) -> None:
        """Mark every unused token of the user as used."""
        ...

    def delete_expired(self, *, before: datetime, limit: int) -> int:
        """Delete at most `limit` that expired before the instant; return how many."""
        ...


class Sessions(Protocol):
    """Logins, each a family of refresh tokens."""

    def add(self, session: Session) -> None: ...

    def find(self, session_id: SessionId) -> Session | None: ...

    def lock(self, session_id: SessionId) -> Session | None:
        """Read the session and keep others from changing it until the unit ends."""
        ...

    def touch(self, session_id: SessionId, *, used_at: datetime, origin: Origin) -> None:
        """Remember when and from where the session was last used."""
        ...

    def revoke(
        self, session_id: SessionId, *, revoked_at: datetime, reason: RevocationReason
    ) -> None:
        """End the session; one that has ended keeps its first reason."""
        ...

    def delete_expired(self, *, before: datetime, limit: int) -> int:
        """Delete at most `limit` that expired before the instant and have no tokens left.

        Returns:
            How many were deleted.
        """
        ...


class RefreshTokens(Protocol):
    """The generations of each family, by the hash of the token."""

    def add(self, token: RefreshToken) -> None: ...

    def find(self, token_hash: str) -> RefreshToken | None: ...

    def find_generation(self, session_id: SessionId, generation: int) -> RefreshToken | None: ...

    def mark_rotated(self, token_hash: str, *, rotated_at: datetime) -> None: ...

    def delete_expired(self, *, before: datetime, limit: int) -> int:
        """Delete at most `limit` that expired before the instant; return how many."""
        ...


class AuditLog(Protocol):
    """Append-only; there is no way to change or remove a record."""

    def append(self, record: AuditRecord) -> None: ...


class AccountsUnit(MessagingUnit, Protocol):
    """One unit of work of this service."""

    @property
    def users(self) -> Users: ...
    @property
    def credentials(self) -> Credentials: ...
    @property
    def verification_tokens(self) -> VerificationTokens: ...
    @property
    def sessions(self) -> Sessions: ...
    @property
    def refresh_tokens(self) -> RefreshTokens: ...
    @property
    def audit_log(self) -> AuditLog: ...


class PasswordHasher(Protocol):
    """Slow by design: never called while a unit of work is open."""

    def hash(self, password: str) -> str:
        """Return the salted hash in the PHC string format.

        Raises:
            Unavailable: too many passwords are being hashed right now.
        """
        ...

    def verify(self, password_hash: str | None, *, password: str) -> bool:
        """Tell whether the password has this hash.

        With None (nobody has that address) as much work is done as for a real hash, so that the
        time taken does not tell who is registered.

        Raises:
            Unavailable: too many passwords are being hashed right now.
        """
        ...

    def needs_rehash(self, password_hash: str) -> bool:
        """Tell whether the hash was made with weaker parameters than today's."""
        ...


class AccessTokens(Protocol):
    def sign(self, claims: AccessClaims) -> str:
        """Return the signed token that says this."""
        ...


class RefreshSecrets(Protocol):
    """Makes refresh tokens, and makes a successor again without ever having stored it."""

    @property
    def current_key_id(self) -> str: ...

    def first(self) -> str:
        """Return a fresh random token, the first of a family."""
        ...

    def successor(self, presented: str, *, key_id: str, salt: bytes, generation: int) -> str | None:
        """Derive the token that follows the presented one; the same input gives the same token.

        Args:
            presented: The predecessor, in clear.
            key_id: Which server key to derive with.
            salt: The family's own.
            generation: Of the successor.

        Returns:
            The token; None if the server no longer holds that key.
        """
        ...


class MailTokenCipher(Protocol):
    def encrypt(self, token: str) -> str:
        """Return the token as notifications alone can read it."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything a use case is given; bootstrap fills it with adapters, tests with fakes."""

    units: UnitsOfWork[AccountsUnit]
    clock: Clock
    policy: IdentityPolicy
    password_hasher: PasswordHasher
    password_blocklist: PasswordBlocklist
    access_tokens: AccessTokens
    refresh_secrets: RefreshSecrets
    mail_tokens: MailTokenCipher
