"""Reason codes in words that a person can act on."""

from collections.abc import Mapping
from typing import Final

_OTHER: Final = "the bank or the payment provider turned it down"

_WORDS: Final[Mapping[str, str]] = {
    "3ds_authentication_failed": "the bank's extra check (3-D Secure) was not completed",
    "acquirer_configuration_error": "the payment provider had a technical fault",
    "acquirer_internal_error": "the payment provider had a technical fault",
    "antifraud_general": "the payment provider's fraud check turned it down",
    "authorization_failed": "the bank did not authorise it",
    "bank_account_not_found": "the bank account is no longer on your profile",
    "bank_account_not_verified": "the bank account has not been verified",
    "bank_account_removed": "the bank account was removed from your profile",
    "blacklisted_tx": "the payment provider does not accept this card or account",
    "cancelled_by_user": "you cancelled it",
    "do_not_honour": "the bank turned it down without giving a reason",
    "exceeded_account_limit": "it is above the account's limit",
    "exceeds_frequency_limit": "there were too many payments in a short time",
    "exceeds_withdrawal_limit": "it is above the card's limit",
    "expired_card": "the card has expired",
    "general_transaction_error": "the payment provider had a technical fault",
    "insufficient_funds": "there was not enough money in the paying account",
    "invalid_amount": "the payment provider does not accept this amount",
    "invalid_card_number": "the card number is not valid",
    "invalid_expires": "the card's expiry date is not right",
    "issuer_not_available": "the bank could not be reached",
    "lost_card": "the bank does not accept this card",
    "no_matching_terminal": "the payment provider does not take this kind of payment",
    "not_ordered_in_time": "it could not be handed to the payment provider in time",
    "payment_expired": "it was not paid in time",
    "payment_rejected_other_reason": "the bank turned it down without giving a reason",
    "provider_mismatch": "what the payment provider reported does not fit your request",
    "provider_refused": "the payment provider turned it down",
    "restricted_card": "the bank does not accept this card for such payments",
    "stolen_card": "the bank does not accept this card",
    "suspected_fraud": "the bank's fraud check turned it down",
    "unknown_payment_method": "the payment provider does not take this kind of payment",
    "user_cancelled": "it was cancelled at the checkout",
}

# The same code is about the payer's card when money comes in, and about us or the receiving bank
# when it goes out.
_PAYOUT_WORDS: Final[Mapping[str, str]] = {
    "exceeded_account_limit": "it is above what the receiving account may take",
    "exceeds_withdrawal_limit": "it is above what the bank pays out at once",
    "insufficient_funds": "the payout could not be funded at that moment",
    "validation_bank_account_invalid": "the bank does not know the account number",
}
# Codes of one family that differ only in the field they are about.
_DETAILS_REFUSED: Final = "the payment provider does not accept the details given"


def explain_payment(reason_code: str) -> str:
    """Say why money did not come in, as the end of a sentence; unknown codes get general words."""
    return _WORDS.get(reason_code) or _general(reason_code)


def explain_payout(reason_code: str) -> str:
    """Say why money did not go out, as the end of a sentence; unknown codes get general words."""
    return _PAYOUT_WORDS.get(reason_code) or explain_payment(reason_code)


def _general(reason_code: str) -> str:
    return _DETAILS_REFUSED if reason_code.startswith("validation_") else _OTHER
