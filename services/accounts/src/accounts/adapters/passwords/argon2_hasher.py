"""Argon2id with a bound on how many passwords are hashed at once."""

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import argon2
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from octoco.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Argon2Parameters:
    """How much work one hash costs.

    Args:
        time_cost: Passes over the memory.
        memory_kibibytes: Memory that one hash fills.
        parallelism: Lanes.
        concurrent_max: Hashes that run at once in one process; more wait, so that a flood of
            logins cannot take every core and all memory.
        wait_seconds_max: How long one waits for its turn.

    Source: RFC 9106, section 4; OWASP Password Storage Cheat Sheet.
    """

    time_cost: int = 3
    memory_kibibytes: int = 65536
    parallelism: int = 1
    concurrent_max: int = 2
    wait_seconds_max: float = 5.0


class Argon2PasswordHasher:
    """See `accounts.use_cases.ports.PasswordHasher`."""

    def __init__(self, parameters: Argon2Parameters) -> None:
        self._hasher = argon2.PasswordHasher(
            time_cost=parameters.time_cost,
            memory_cost=parameters.memory_kibibytes,
            parallelism=parameters.parallelism,
            type=argon2.Type.ID,
        )
        self._turns = threading.BoundedSemaphore(parameters.concurrent_max)
        self._wait_seconds_max = parameters.wait_seconds_max
        # Of a password nobody knows: verifying against it takes as long as against a real one.
        self._dummy_hash = self._hasher.hash(secrets.token_urlsafe())

    def hash(self, password: str) -> str:
        with self._turn():
            return self._hasher.hash(password)

    def verify(self, password_hash: str | None, *, password: str) -> bool:
        with self._turn():
            try:
                self._hasher.verify(password_hash or self._dummy_hash, password)
            except VerifyMismatchError:
                return False
            except (VerificationError, InvalidHashError) as error:
                # A stored hash that cannot be read is damage, not a wrong password.
                raise AssertionError("a stored password hash is unreadable") from error
        return password_hash is not None

    def needs_rehash(self, password_hash: str) -> bool:
        return self._hasher.check_needs_rehash(password_hash)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._turns.acquire(timeout=self._wait_seconds_max):
            raise Unavailable("Too many logins at once; please try again.", retry_after_seconds=2)
        try:
            yield
        finally:
            self._turns.release()
