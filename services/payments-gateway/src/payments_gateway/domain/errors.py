"""What the payments gateway refuses.

Refusal
├── InvalidBankAccount      a field does not look like a South African bank account
├── TooManyBankAccounts     the user keeps as many as are allowed
├── BankAccountNotFound     none with this id belongs to the user
├── SignatureMissing        a webhook came without a signature
├── SignatureInvalid        a webhook's signature was not made by a key of our webhooks
└── ProviderRefused         the provider understood the request and turned it down
"""

from octoco.errors import Refusal


class InvalidBankAccount(Refusal):
    """A field does not look like a part of a South African bank account."""

    code = "invalid_bank_account"


class TooManyBankAccounts(Refusal):
    """The user already keeps as many bank accounts as are allowed."""

    code = "too_many_bank_accounts"


class BankAccountNotFound(Refusal):
    """No bank account with this id belongs to the user."""

    code = "bank_account_not_found"


class SignatureMissing(Refusal):
    """The webhook came without a signature."""

    code = "webhook_signature_missing"


class SignatureInvalid(Refusal):
    """The webhook's signature was not made by a key of our registered webhooks."""

    code = "webhook_signature_invalid"


class ProviderRefused(Refusal):
    """The provider understood the request and turned it down; nothing happened there.

    Args:
        message: What the provider said, for people; never branch on it.
        provider_code: The provider's own code of the error.
    """

    code = "provider_refused"

    def __init__(self, message: str, *, provider_code: str) -> None:
        super().__init__(message, provider_code=provider_code)
        self.provider_code = provider_code
