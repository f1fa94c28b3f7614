"""Settings: flags and environment in, one frozen object out."""

import uuid
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

DEFAULT_SECRET_KEY = "sandbox-secret-key"  # noqa: S105  # Published, and opens play money.
DEFAULT_BRAND_ID = "b7e2c6d4-90ab-4c3d-a1f5-77d09e3f2202"
DEFAULT_COMPANY_ID = "a51d3f70-2c55-4f0e-8f0b-1b7d0c4be101"
FEE_PERCENT_LIMIT = 100


class ConfigurationError(Exception):
    """A setting is missing or unusable; the message names its variable."""


@dataclass(frozen=True)
class Settings:
    """Everything the sandbox can be told from outside.

    Durations are seconds of the sandbox's clock. Amounts are minor units. `clock_scale` divides
    the webhook retry intervals and the refund limit, and nothing else: dates stay believable.
    """

    data_dir: Path
    public_url: str
    execution_base_url: str = ""
    secret_key: str = DEFAULT_SECRET_KEY
    brand_id: str = DEFAULT_BRAND_ID
    company_id: str = DEFAULT_COMPANY_ID
    merchant_name: str = "Octoco Wallet"
    clock_scale: float = 1.0
    fee_percent: Decimal = Decimal("2.9")
    payout_fee: int = 500
    payout_balance: int = 100_000_000
    payout_seconds: float = 1.0
    pending_seconds: float = 1.0
    card_pending: bool = False
    key_bits: int = 3072
    delivery_threads: int = 8
    delivery_timeout_seconds: float = 10.0

    def __post_init__(self) -> None:
        """Refuse what would only fail later.

        Raises:
            ConfigurationError: naming the first variable that cannot be used.
        """
        if not self.secret_key.strip():
            raise ConfigurationError("SANDBOX_SECRET_KEY must not be empty")
        for variable, value in (
            ("SANDBOX_BRAND_ID", self.brand_id),
            ("SANDBOX_COMPANY_ID", self.company_id),
        ):
            if not _is_uuid(value):
                raise ConfigurationError(f"{variable} must be a UUID, not {value!r}")
        for variable, address in (
            ("SANDBOX_PUBLIC_URL", self.public_url),
            ("SANDBOX_EXECUTION_BASE_URL", self.execution_base_url or self.public_url),
        ):
            parts = urlsplit(address)
            if parts.scheme not in ("http", "https") or not parts.netloc:
                raise ConfigurationError(
                    f"{variable} must be an http or https address, not {address!r}"
                )
        self._require_ranges()

    def _require_ranges(self) -> None:
        if not self.clock_scale > 0:
            raise ConfigurationError("SANDBOX_CLOCK_SCALE must be greater than 0")
        if not 0 <= self.fee_percent < FEE_PERCENT_LIMIT:
            raise ConfigurationError("SANDBOX_FEE_PERCENT must be at least 0 and below 100")
        for variable, number in (
            ("SANDBOX_PAYOUT_FEE", self.payout_fee),
            ("SANDBOX_PAYOUT_BALANCE", self.payout_balance),
            ("SANDBOX_PAYOUT_SECONDS", self.payout_seconds),
            ("SANDBOX_PENDING_SECONDS", self.pending_seconds),
        ):
            if number < 0:
                raise ConfigurationError(f"{variable} must not be negative")

    def url(self, path: str) -> str:
        """Return the public address of `path`, which starts with a slash."""
        return self.public_url.rstrip("/") + path

    def execution_url(self, path: str) -> str:
        """Return the address of `path` as the merchant's server reaches it."""
        return (self.execution_base_url or self.public_url).rstrip("/") + path


def _is_uuid(value: str) -> bool:
    try:
        uuid.UUID(value)
    except ValueError:
        return False
    return True
