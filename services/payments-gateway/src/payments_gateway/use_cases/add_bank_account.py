"""Adding a bank account to be paid out to."""

from octoco.clock import Clock
from octoco.ids import new_id
from octoco.ports import UnitsOfWork
from payments_gateway.domain.bank_accounts import BankAccount, BankAccountDetails
from payments_gateway.domain.errors import TooManyBankAccounts
from payments_gateway.domain.policy import Policy
from payments_gateway.messages.outbound import BankAccountVerified
from payments_gateway.use_cases.ports import BankAccountVerification, Unit


class AddBankAccount:
    """Stores a bank account for good, and announces it as soon as it is verified.

    A bank account never changes: another number is another account. The account number leaves
    here only towards the provider.
    """

    def __init__(
        self,
        *,
        units: UnitsOfWork[Unit],
        verification: BankAccountVerification,
        clock: Clock,
        policy: Policy,
    ) -> None:
        self._units = units
        self._verification = verification
        self._clock = clock
        self._policy = policy

    def __call__(self, *, user_id: str, details: BankAccountDetails) -> BankAccount:
        """Add one bank account.

        Raises:
            TooManyBankAccounts: the user keeps as many as are allowed.
            Unavailable: verification or the database is away; nothing was added.
        """
        now = self._clock.now()
        # May ask somebody outside, so it comes before the unit of work.
        verified = self._verification.verified_at_once(details)
        bank_account = BankAccount(
            bank_account_id=new_id("ba"),
            user_id=user_id,
            details=details,
            created_at=now,
            verified_at=now if verified else None,
        )

        def work(unit: Unit) -> BankAccount:
            if len(unit.bank_accounts.kept_by(user_id)) >= self._policy.bank_accounts_max:
                raise TooManyBankAccounts(
                    f"You can keep {self._policy.bank_accounts_max} bank accounts; remove one."
                )
            unit.bank_accounts.insert(bank_account)
            if bank_account.verified_at is not None:
                unit.outbox.add(
                    BankAccountVerified(
                        bank_account_id=bank_account.bank_account_id,
                        user_id=user_id,
                        masked_number=details.masked_number,
                        bank_name=details.bank_name,
                        verified_at=bank_account.verified_at,
                    )
                )
            return bank_account

        return self._units.run(work)
