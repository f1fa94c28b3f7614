"""Environment in, one frozen Settings out."""

from dataclasses import dataclass, field
from pathlib import Path

from environs import Env

from octoco.config import secret_list
from octoco.messaging.settings import EventSettings, read_event_settings
from octoco.outbox.archive import OutboxSettings, read_outbox_settings
from octoco.retention import RetentionSettings, read_retention


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment decides; README.md lists the variables."""

    database_url: str
    amqp_url: str
    token_signing_keys_dir: Path
    mail_token_keys: tuple[str, ...]
    worker_host: str
    worker_port: int
    log_level: str
    argon2_time_cost: int
    argon2_memory_kibibytes: int
    argon2_parallelism: int
    argon2_concurrent_max: int
    events: EventSettings = field(default_factory=EventSettings)
    outbox: OutboxSettings = field(default_factory=OutboxSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)

    def __repr__(self) -> str:
        """Name nothing: most of it is secret."""
        return "Settings(...)"


def read(env: Env) -> Settings:
    """Read the service's settings; `octoco.config` turns what is missing into one line."""
    return Settings(
        database_url=env.str("DATABASE_URL"),
        amqp_url=env.str("AMQP_URL"),
        token_signing_keys_dir=env.path("TOKEN_SIGNING_KEYS_DIR"),
        mail_token_keys=tuple(secret_list(env, "MAIL_TOKEN_KEYS")),
        worker_host=env.str("WORKER_HOST", "127.0.0.1"),
        worker_port=env.int("WORKER_PORT", 8111),
        log_level=env.str("LOG_LEVEL", "info"),
        argon2_time_cost=env.int("ARGON2_TIME_COST", 3),
        argon2_memory_kibibytes=env.int("ARGON2_MEMORY_KIBIBYTES", 65536),
        argon2_parallelism=env.int("ARGON2_PARALLELISM", 1),
        argon2_concurrent_max=env.int("ARGON2_CONCURRENT_MAX", 2),
        events=read_event_settings(env),
        outbox=read_outbox_settings(env),
        retention=read_retention(env),
    )
