"""Environment in, one frozen Settings out."""

import base64
import binascii
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from environs import Env

from octoco.config import secret_list
from octoco.errors import ConfigurationError
from octoco.messaging.settings import EventSettings, read_event_settings
from octoco.outbox.archive import OutboxSettings, read_outbox_settings
from octoco.retention import RetentionSettings, read_retention
from wallet.domain.limit_notation import limits_of
from wallet.domain.limits import Limits
from wallet.domain.seals import SealKey

KEY_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment decides; README.md lists the variables."""

    database_url: str
    amqp_url: str
    jwks_url: str
    worker_host: str
    worker_port: int
    log_level: str
    limits: Limits
    database_pool_size: int
    events: EventSettings = field(default_factory=EventSettings)
    outbox: OutboxSettings = field(default_factory=OutboxSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)

    def __repr__(self) -> str:
        """Name nothing: the addresses carry passwords."""
        return "Settings(...)"


def read(env: Env) -> Settings:
    """Read the service's settings; `octoco.config` turns what is missing into one line."""
    events = read_event_settings(env)
    database_pool_size: int = env.int("DATABASE_POOL_SIZE", max(12, events.connections()))
    if database_pool_size < events.connections():
        raise ConfigurationError(f"DATABASE_POOL_SIZE must be at least {events.connections()}")
    return Settings(
        database_url=env.str("DATABASE_URL"),
        amqp_url=env.str("AMQP_URL"),
        jwks_url=env.str("JWKS_URL"),
        worker_host=env.str("WORKER_HOST", "127.0.0.1"),
        worker_port=env.int("WORKER_PORT", 8112),
        log_level=env.str("LOG_LEVEL", "info"),
        limits=limits_of(env.str),
        database_pool_size=database_pool_size,
        events=events,
        outbox=read_outbox_settings(env),
        retention=read_retention(env),
    )


@dataclass(frozen=True, slots=True)
class SealSettings:
    """What the process that seals the ledger is told, and no other one.

    Args:
        signing_key: The private key that signs.
        heads_file: Where the heads of seals are kept, outside of the database.
        older_keys: Private keys that signed before; their seals are still checked.
        public_keys: Those of others that signed, or whose private half is gone.
    """

    signing_key: SealKey
    heads_file: Path
    older_keys: Sequence[SealKey] = ()
    public_keys: Sequence[SealKey] = ()


def read_seals(env: Env) -> SealSettings:
    """Read the key that signs seals, those they are checked with, and where heads are kept.

    Raises:
        ConfigurationError: one of them is missing, malformed, or cannot be written to.
    """
    heads_file = read_heads_file(env)
    target = heads_file if heads_file.exists() else heads_file.parent
    if not os.access(target, os.W_OK):
        raise ConfigurationError("LEDGER_SEAL_HEADS_FILE cannot be written to")
    signing_key, *older_keys = _keys(env, "LEDGER_SEAL_KEYS")
    return SealSettings(signing_key, heads_file, tuple(older_keys), read_seal_public_keys(env))


def read_heads_file(env: Env) -> Path:
    """Read where the heads of seals are kept.

    Raises:
        ConfigurationError: it is not named, or its folder is missing.
    """
    path: Path = env.path("LEDGER_SEAL_HEADS_FILE")
    if path.is_dir() or not path.parent.is_dir():
        raise ConfigurationError("LEDGER_SEAL_HEADS_FILE must name a file in a folder that exists")
    return path


def read_seal_private_keys(env: Env) -> Sequence[SealKey]:
    """Read all private keys for seals, the one that signs first; none if they are not given."""
    return _keys(env, "LEDGER_SEAL_KEYS") if env.str("LEDGER_SEAL_KEYS", "") else ()


def read_seal_public_keys(env: Env) -> Sequence[SealKey]:
    """Read the public keys that seals are checked with; none if they are not given."""
    name = "LEDGER_SEAL_PUBLIC_KEYS"
    return _keys(env, name) if env.str(name, "") else ()


def _keys(env: Env, name: str) -> Sequence[SealKey]:
    """Read keys of 32 bytes, written as `2026-11:<base64>,2026-05:<base64>`."""
    keys = []
    for pair in secret_list(env, name):
        key_id, _, text = pair.partition(":")
        try:
            value = base64.b64decode(text, validate=True)
        except binascii.Error:
            value = b""
        if not KEY_ID.fullmatch(key_id) or len(value) != _KEY_BYTES:
            raise ConfigurationError(f"{name} is malformed: it holds <key id>:<32 bytes in base64>")
        keys.append(SealKey(key_id, value))
    if len({key.key_id for key in keys}) < len(keys):
        raise ConfigurationError(f"{name} names a key twice")
    return tuple(keys)
