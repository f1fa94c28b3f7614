"""The plainest verification of bank accounts: what is well formed is taken for the user's."""

from payments_gateway.domain.bank_accounts import BankAccountDetails


class FormatVerification:
    """Trusts the format checks that made the details; asks nobody."""

    def verified_at_once(self, details: BankAccountDetails) -> bool:
        # Details exist only in checked form; the type is the proof.
        return isinstance(details, BankAccountDetails)
