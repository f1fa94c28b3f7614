"""What the wallet refuses.

Refusal
├── AdjustmentAlreadyDecided   somebody decided it, or it was decided otherwise
├── AdjustmentNeedsTwoPeople   whoever asked for it may not decide it
├── AdjustmentNotFound         no such adjustment
├── AlreadyAssigned            nothing of the purchase lies in suspense
├── AlreadyBooked              money is booked under this reference
├── AmountNotPositive          an amount of money to move must be above zero
├── AssignmentNeedsTwoPeople   whoever entered the money neither assigns nor gets it
├── BankAccountNotVerified     not a verified bank account of this user
├── BusinessKeyReused          the posting's key came before for something else
├── CurrencyNotOffered         no limits are set for this currency
├── DepositDoesNotFit          no deposit that waits for just this money
├── ExceedsPurchase            more than is left of what the purchase brought in
├── HoldAlreadyReleased        the hold's money went back to the user
├── HoldAlreadySettled         the hold's money went out
├── HoldNotFound               nothing was ever held for this transaction
├── InsufficientFunds          less is available than was asked for
├── InvalidPeriod              no month, or a period that does not end after it begins
├── LedgerAccountNotFound      the user has no ledger accounts in this currency
├── LimitExceeded              more than the limits allow
├── PeriodNotBegun             all of the period lies ahead
├── PositionNotInPeriod        the cursor is of another statement
├── PurchaseNotBooked          nothing is booked for this purchase
├── OwnAdjustment              nobody asks for or decides their own adjustment
├── OwnAssignment              nobody assigns money to themselves
├── OwnWithdrawal              nobody decides about their own money
├── ReasonMissing              a decision needs its reason
├── TransactionNotCancellable  the transaction has gone too far
├── TransactionNotFound        no such transaction of this user
├── TransferNotFound           no transfer has this business key
├── TransferNotReversible      this kind of transfer is never undone
├── UserFrozen                 an operator has stopped the user from starting anything
├── UserNotFound               the wallet knows no such user
└── WithdrawalNotInReview      it was decided already, or never waited for a decision
Unavailable
└── UserNotKnownYet            the token is valid, the news of its user has not arrived
"""

from octoco.errors import Refusal, Unavailable


class AdjustmentAlreadyDecided(Refusal):
    """The adjustment was decided by somebody, or otherwise."""

    code = "adjustment_already_decided"


class AdjustmentNeedsTwoPeople(Refusal):
    """Whoever asked for the adjustment may not decide it."""

    code = "adjustment_needs_two_people"


class AdjustmentNotFound(Refusal):
    """There is no such adjustment."""

    code = "adjustment_not_found"


class AlreadyAssigned(Refusal):
    """Nothing of the purchase lies in suspense."""

    code = "already_assigned"


class AlreadyBooked(Refusal):
    """Money is booked under the reference."""

    code = "already_booked"


class AmountNotPositive(Refusal):
    """An amount of money to move must be above zero."""

    code = "invalid_amount"


class AssignmentNeedsTwoPeople(Refusal):
    """Whoever entered the money may neither assign it nor be given it."""

    code = "assignment_needs_two_people"


class BankAccountNotVerified(Refusal):
    """The bank account is not a verified one of this user."""

    code = "bank_account_not_verified"


class BusinessKeyReused(Refusal):
    """The business key has posted something else already."""

    code = "business_key_reused"


class CurrencyNotOffered(Refusal):
    """No limits are configured for the currency, so nothing moves in it."""

    code = "currency_not_offered"


class DepositDoesNotFit(Refusal):
    """The transaction is no deposit of the user that waits for just this money."""

    code = "deposit_does_not_fit"


class ExceedsPurchase(Refusal):
    """No more can be taken or given than is left of what the purchase brought in."""

    code = "exceeds_purchase"


class HoldAlreadyReleased(Refusal):
    """The hold has ended: its money went back to the user."""

    code = "hold_already_released"


class HoldAlreadySettled(Refusal):
    """The hold has ended: its money went out."""

    code = "hold_already_settled"


class HoldNotFound(Refusal):
    """Nothing was ever held for the transaction."""

    code = "hold_not_found"


class InsufficientFunds(Refusal):
    """Less is available than was asked for."""

    code = "insufficient_funds"


class InvalidPeriod(Refusal):
    """The text names no month, or the period does not end after it begins."""

    code = "invalid_period"


class LedgerAccountNotFound(Refusal):
    """The user has no ledger accounts in the currency."""

    code = "ledger_account_not_found"


class LimitExceeded(Refusal):
    """The amount is more than the limits allow."""

    code = "limit_exceeded"


class PeriodNotBegun(Refusal):
    """All of the period lies ahead, so there is no statement of it yet."""

    code = "period_not_begun"


class PositionNotInPeriod(Refusal):
    """The place in a history at which to go on is not within the statement."""

    code = "invalid_cursor"


class PurchaseNotBooked(Refusal):
    """Nothing is booked for the purchase."""

    code = "purchase_not_booked"


class ReasonMissing(Refusal):
    """A decision about somebody else's money needs a reason in words."""

    code = "reason_missing"


class TransactionNotCancellable(Refusal):
    """The transaction has gone too far to be cancelled."""

    code = "transaction_not_cancellable"


class TransactionNotFound(Refusal):
    """The user has no such transaction."""

    code = "transaction_not_found"


class TransferNotFound(Refusal):
    """No transfer has the business key."""

    code = "transfer_not_found"


class TransferNotReversible(Refusal):
    """Transfers of this kind are never undone by a reversal."""

    code = "transfer_not_reversible"


class UserNotFound(Refusal):
    """The wallet knows no such user."""

    code = "user_not_found"


class UserFrozen(Refusal):
    """The user is frozen: nothing of theirs may be started."""

    code = "user_frozen"


class WithdrawalNotInReview(Refusal):
    """The withdrawal does not wait for an operator's decision, or not any more."""

    code = "withdrawal_not_in_review"


class OwnAdjustment(Refusal):
    """An operator may neither ask for an adjustment of their own money nor decide it."""

    code = "own_adjustment"


class OwnAssignment(Refusal):
    """An operator may not assign money to themselves."""

    code = "own_assignment"


class OwnWithdrawal(Refusal):
    """An operator may not decide about their own withdrawal."""

    code = "own_withdrawal"


class UserNotKnownYet(Unavailable):
    """The token is valid, but the news of its user has not reached the wallet yet."""

    code = "user_not_known_yet"
