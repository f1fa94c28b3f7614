"""Single-use tokens on their way to a mail, readable by notifications alone."""

from collections.abc import Sequence

from cryptography.fernet import Fernet, MultiFernet

from octoco.errors import ConfigurationError


class FernetMailTokenCipher:
    """See `accounts.use_cases.ports.MailTokenCipher`.

    Args:
        keys: Fernet keys shared with notifications; the first one encrypts.

    Raises:
        ConfigurationError: a key is malformed.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError as error:
            raise ConfigurationError("MAIL_TOKEN_KEYS holds no valid Fernet key") from error

    def encrypt(self, token: str) -> str:
        return self._fernet.encrypt(token.encode()).decode()
