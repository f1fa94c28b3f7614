"""Encryption at rest with keys that can be changed while the service runs."""

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from octoco.errors import ConfigurationError
from payments_gateway.domain.sensitive import SensitiveText


class Encryption:
    """Encrypts with the first key and decrypts with any.

    Args:
        keys: Fernet keys (32 bytes in URL-safe base64), the one in use first.

    Raises:
        ConfigurationError: one of them is no Fernet key.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError:
            raise ConfigurationError("BANK_ACCOUNT_KEYS holds something that is no key") from None

    def encrypt(self, text: SensitiveText) -> str:
        return self._fernet.encrypt(text.reveal().encode()).decode()

    def decrypt(self, token: str) -> SensitiveText:
        """Decrypt what `encrypt` made.

        Raises:
            ConfigurationError: none of the keys fits; one was taken away too early.
        """
        try:
            return SensitiveText(self._fernet.decrypt(token.encode()).decode())
        except InvalidToken:
            raise ConfigurationError("no key of BANK_ACCOUNT_KEYS decrypts a stored row") from None
