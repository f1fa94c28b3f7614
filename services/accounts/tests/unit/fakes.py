"""In-memory stand-ins for what accounts works with."""

import hashlib
import hmac
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from accounts.domain.audit import AuditAction, AuditRecord
from accounts.domain.credentials import Credential, CredentialId, VerificationToken
from accounts.domain.policy import IdentityPolicy
from accounts.domain.secrets import new_secret
from accounts.domain.sessions import (
    AccessClaims,
    IssuedTokens,
    Origin,
    RefreshToken,
    RevocationReason,
    Session,
    SessionId,
)
from accounts.domain.users import Email, Role, User, UserId, sorted_roles
from accounts.use_cases.log_in import log_in
from accounts.use_cases.ports import Ports
from accounts.use_cases.refresh_session import refresh_session
from accounts.use_cases.register_user import register_user
from accounts.use_cases.verify_email import verify_email
from octoco.clock import FixedClock
from octoco.testing import (
    FakeIdempotencyKeys,
    FakeInbox,
    FakeIntents,
    FakeOutbox,
    FakeUnitsOfWork,
)

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
EMAIL = "thandi@example.com"
PASSWORD = "travel by moonlight"
ORIGIN = Origin("198.51.100.7", "tests")


class Expiring(Protocol):
    @property
    def expires_at(self) -> datetime: ...


K = TypeVar("K")
E = TypeVar("E", bound=Expiring)


def delete_expired(stored: dict[K, E], *, before: datetime, limit: int) -> int:
    ended = [key for key, thing in stored.items() if thing.expires_at < before][:limit]
    for key in ended:
        del stored[key]
    return len(ended)


class FakeUsers:
    def __init__(self) -> None:
        self.by_id: dict[UserId, User] = {}

    def add(self, user: User) -> bool:
        if self.find_by_email(user.email) is not None:
            return False
        self.by_id[user.id] = user
        return True

    def find(self, user_id: UserId) -> User | None:
        return self.by_id.get(user_id)

    def find_by_email(self, email: Email) -> User | None:
        return next((user for user in self.by_id.values() if user.email.key == email.key), None)

    lock = find
    lock_by_email = find_by_email

    def rename(self, user_id: UserId, *, full_name: str) -> None:
        self.by_id[user_id] = replace(self.by_id[user_id], full_name=full_name)

    def mark_email_verified(self, user_id: UserId, *, verified_at: datetime) -> None:
        user = self.by_id[user_id]
        if user.email_verified_at is None:
            self.by_id[user_id] = replace(user, email_verified_at=verified_at)

    def freeze(self, user_id: UserId, *, frozen_at: datetime) -> None:
        self.by_id[user_id] = replace(self.by_id[user_id], frozen_at=frozen_at)

    def unfreeze(self, user_id: UserId, *, unfrozen_at: datetime) -> None:
        self.by_id[user_id] = replace(self.by_id[user_id], unfrozen_at=unfrozen_at)

    def grant_role(self, user_id: UserId, *, role: Role, granted_at: datetime) -> None:
        user = self.by_id[user_id]
        self.by_id[user_id] = replace(user, roles=sorted_roles((*user.roles, role)))


class FakeVerificationTokens:
    def __init__(self) -> None:
        self.by_hash: dict[str, VerificationToken] = {}

    def add(self, token: VerificationToken) -> None:
        self.by_hash[token.token_hash] = token

    def find(self, token_hash: str) -> VerificationToken | None:
        return self.by_hash.get(token_hash)

    def count_open(self, user_id: UserId, *, now: datetime) -> int:
        return sum(
            token.user_id == user_id and token.used_at is None and token.expires_at > now
            for token in self.by_hash.values()
        )

    def use_all(self, user_id: UserId, *, used_at: datetime) -> None:
        for token_hash, token in self.by_hash.items():
            if token.user_id == user_id and token.used_at is None:
                self.by_hash[token_hash] = replace(token, used_at=used_at)

    def delete_expired(self, *, before: datetime, limit: int) -> int:
        return delete_expired(self.by_hash, before=before, limit=limit)


class FakeCredentials:
    def __init__(self, verification_tokens: FakeVerificationTokens) -> None:
        self.stored: list[Credential] = []
        self._verification_tokens = verification_tokens

    def add(self, credential: Credential) -> None:
        self.stored.append(credential)

    def latest_of(self, user_id: UserId) -> Credential | None:
        mine = [credential for credential in self.stored if credential.user_id == user_id]
        return max(
            mine, key=lambda credential: (credential.created_at, credential.id), default=None
        )

    def keep_only(self, credential_id: CredentialId, *, user_id: UserId) -> None:
        self.stored = [c for c in self.stored if c.user_id != user_id or c.id == credential_id]
        tokens = self._verification_tokens.by_hash
        for token_hash, token in list(tokens.items()):
            if token.user_id == user_id and token.credential_id != credential_id:
                del tokens[token_hash]

    def replace_hash(self, credential_id: CredentialId, *, password_hash: str) -> None:
        self.stored = [
            replace(c, password_hash=password_hash) if c.id == credential_id else c
            for c in self.stored
        ]


class FakeRefreshTokens:
    def __init__(self) -> None:
        self.by_hash: dict[str, RefreshToken] = {}

    def add(self, token: RefreshToken) -> None:
        assert self.find_generation(token.session_id, token.generation) is None
        self.by_hash[token.token_hash] = token

    def find(self, token_hash: str) -> RefreshToken | None:
        return self.by_hash.get(token_hash)

    def find_generation(self, session_id: SessionId, generation: int) -> RefreshToken | None:
        return next(
            (
                token
                for token in self.by_hash.values()
                if (token.session_id, token.generation) == (session_id, generation)
            ),
            None,
        )

    def mark_rotated(self, token_hash: str, *, rotated_at: datetime) -> None:
        self.by_hash[token_hash] = replace(self.by_hash[token_hash], rotated_at=rotated_at)

    def delete_expired(self, *, before: datetime, limit: int) -> int:
        return delete_expired(self.by_hash, before=before, limit=limit)


class FakeSessions:
    def __init__(self, refresh_tokens: FakeRefreshTokens) -> None:
        self.by_id: dict[SessionId, Session] = {}
        self._refresh_tokens = refresh_tokens
        self.last_used: dict[SessionId, tuple[datetime, Origin]] = {}

    def add(self, session: Session) -> None:
        self.by_id[session.id] = session

    def find(self, session_id: SessionId) -> Session | None:
        return self.by_id.get(session_id)

    lock = find

    def touch(self, session_id: SessionId, *, used_at: datetime, origin: Origin) -> None:
        self.last_used[session_id] = (used_at, origin)

    def revoke(
        self, session_id: SessionId, *, revoked_at: datetime, reason: RevocationReason
    ) -> None:
        session = self.by_id[session_id]
        if not session.revoked:
            self.by_id[session_id] = replace(session, revoked_at=revoked_at, revoked_reason=reason)

    def delete_expired(self, *, before: datetime, limit: int) -> int:
        in_use = {token.session_id for token in self._refresh_tokens.by_hash.values()}
        free = {key: one for key, one in self.by_id.items() if key not in in_use}
        deleted = delete_expired(free, before=before, limit=limit)
        self.by_id = {key: one for key, one in self.by_id.items() if key in in_use or key in free}
        return deleted


class FakeAuditLog:
    def __init__(self) -> None:
        self.records: list[AuditRecord] = []

    def append(self, record: AuditRecord) -> None:
        self.records.append(record)

    @property
    def actions(self) -> list[AuditAction]:
        return [record.action for record in self.records]


class FakeAccountsUnit:
    def __init__(self) -> None:
        self.outbox = FakeOutbox()
        self.inbox = FakeInbox()
        self.intents = FakeIntents()
        self.idempotency_keys = FakeIdempotencyKeys()
        self.users = FakeUsers()
        self.verification_tokens = FakeVerificationTokens()
        self.credentials = FakeCredentials(self.verification_tokens)
        self.refresh_tokens = FakeRefreshTokens()
        self.sessions = FakeSessions(self.refresh_tokens)
        self.audit_log = FakeAuditLog()


@dataclass
class FakePasswordHasher:
    """Hashes by reversing; counts its work."""

    version: int = 1
    verified: list[str | None] = field(default_factory=list)
    hashed: int = 0

    def hash(self, password: str) -> str:
        self.hashed += 1
        return f"${self.version}${password[::-1]}"

    def verify(self, password_hash: str | None, *, password: str) -> bool:
        self.verified.append(password_hash)
        return password_hash is not None and password_hash.split("$", 2)[2] == password[::-1]

    def needs_rehash(self, password_hash: str) -> bool:
        return not password_hash.startswith(f"${self.version}$")


class FakeAccessTokens:
    def sign(self, claims: AccessClaims) -> str:
        return f"signed:{claims.token_id}:{claims.session_id}"


@dataclass
class FakeRefreshSecrets:
    keys: dict[str, bytes] = field(default_factory=lambda: {"key-1": b"one"})

    @property
    def current_key_id(self) -> str:
        return max(self.keys)

    def first(self) -> str:
        return new_secret("rft")

    def successor(self, presented: str, *, key_id: str, salt: bytes, generation: int) -> str | None:
        if key_id not in self.keys:
            return None
        text = f"{presented}|{salt.hex()}|{generation}"
        return "rft_" + hmac.new(self.keys[key_id], text.encode(), hashlib.sha256).hexdigest()


@dataclass
class FakeMailTokens:
    """Keeps what it was given, so that a test can follow the link in the mail."""

    tokens: list[str] = field(default_factory=list)

    def encrypt(self, token: str) -> str:
        self.tokens.append(token)
        return f"encrypted-{len(self.tokens)}"


class World:
    """A service on fakes, at a fixed time."""

    def __init__(self, policy: IdentityPolicy | None = None) -> None:
        self.unit = FakeAccountsUnit()
        self.units = FakeUnitsOfWork(self.unit)
        self.clock = FixedClock(NOW)
        self.hasher = FakePasswordHasher()
        self.refresh_secrets = FakeRefreshSecrets()
        self.mail_tokens = FakeMailTokens()
        self.ports = Ports(
            units=self.units,
            clock=self.clock,
            policy=policy or IdentityPolicy(),
            password_hasher=self.hasher,
            password_blocklist=frozenset({"password", "qwertyuiop"}),
            access_tokens=FakeAccessTokens(),
            refresh_secrets=self.refresh_secrets,
            mail_tokens=self.mail_tokens,
        )

    def register(self, *, email: str = EMAIL, password: str = PASSWORD) -> None:
        register_user(
            self.ports, email=email, password=password, full_name="Thandi Nkosi", origin=ORIGIN
        )

    def register_and_verify(self) -> None:
        self.register()
        verify_email(self.ports, token=self.mail_tokens.tokens[-1], origin=ORIGIN)

    def log_in(self, *, password: str = PASSWORD) -> IssuedTokens:
        return log_in(self.ports, email=EMAIL, password=password, origin=ORIGIN)

    def refresh(self, refresh_token: str) -> IssuedTokens:
        return refresh_session(self.ports, refresh_token=refresh_token, origin=ORIGIN)

    def messages(self) -> list[type]:
        return [type(message) for message in self.unit.outbox.messages]
