"""Environment in, one frozen Settings out."""

from dataclasses import dataclass, field

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
    jwks_url: str
    smtp_url: str
    mail_from: str
    mail_token_keys: tuple[str, ...]
    public_url: str
    worker_host: str
    worker_port: int
    log_level: str
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
        jwks_url=env.str("JWKS_URL"),
        smtp_url=env.str("SMTP_URL"),
        mail_from=env.str("MAIL_FROM"),
        mail_token_keys=tuple(secret_list(env, "MAIL_TOKEN_KEYS")),
        public_url=env.str("PUBLIC_URL"),
        worker_host=env.str("WORKER_HOST", "127.0.0.1"),
        worker_port=env.int("WORKER_PORT", 8114),
        log_level=env.str("LOG_LEVEL", "info"),
        events=read_event_settings(env),
        outbox=read_outbox_settings(env),
        retention=read_retention(env),
    )
