"""Tokens on their way to a mail, encrypted by accounts."""

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from notifications.use_cases.ports import UnreadableToken
from octoco.errors import ConfigurationError


class FernetMailTokens:
    """See `notifications.use_cases.ports.MailTokens`.

    Args:
        keys: Fernet keys shared with accounts; any of them may have encrypted.

    Raises:
        ConfigurationError: a key is malformed.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError as error:
            raise ConfigurationError("MAIL_TOKEN_KEYS holds no valid Fernet key") from error

    def decrypt(self, ciphertext: str) -> str:
        try:
            return self._fernet.decrypt(ciphertext.encode()).decode()
        except InvalidToken as error:
            raise UnreadableToken from error
