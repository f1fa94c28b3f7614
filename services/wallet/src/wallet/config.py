"""Environment in, one frozen Settings out."""

from collections.abc import Mapping
from dataclasses import dataclass

from environs import Env

from octoco.errors import ConfigurationError, Refusal
from octoco.money import Money
from wallet.domain.limits import Limits


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

    def __repr__(self) -> str:
        """Name nothing: the addresses carry passwords."""
        return "Settings(...)"


def read(env: Env) -> Settings:
    """Read the service's settings; `octoco.config` turns what is missing into one line."""
    return Settings(
        database_url=env.str("DATABASE_URL"),
        amqp_url=env.str("AMQP_URL"),
        jwks_url=env.str("JWKS_URL"),
        worker_host=env.str("WORKER_HOST", "127.0.0.1"),
        worker_port=env.int("WORKER_PORT", 8112),
        log_level=env.str("LOG_LEVEL", "info"),
        limits=Limits(
            deposit_per_transaction=_amounts(env, "DEPOSIT_LIMIT_PER_TRANSACTION", "ZAR=100000.00"),
            withdrawal_per_transaction=_amounts(
                env, "WITHDRAWAL_LIMIT_PER_TRANSACTION", "ZAR=50000.00"
            ),
            withdrawal_per_day=_amounts(env, "WITHDRAWAL_LIMIT_PER_DAY", "ZAR=100000.00"),
        ),
        database_pool_size=env.int("DATABASE_POOL_SIZE", 12),
    )


def _amounts(env: Env, name: str, default: str) -> Mapping[str, Money]:
    """Read amounts by currency, written as `ZAR=50000.00,JPY=400000`."""
    amounts: dict[str, Money] = {}
    for pair in env.str(name, default).split(","):
        currency, _, amount = pair.strip().partition("=")
        try:
            amounts[currency] = Money.parse(amount, currency)
        except Refusal as refusal:
            raise ConfigurationError(f"{name} is malformed: {refusal.message}") from refusal
    return amounts
