"""Which event makes which mail, and what the mail says."""

import pytest

from notifications.domain.amounts import format_money
from notifications.domain.deliveries import Template
from octoco.errors import TooEarly
from octoco.messaging.contracts import Contracts
from octoco.money import Money

from .fakes import MONEY, USER_ID, World, event, registered, verification_requested

BANK = {"bank_account_id": "ba_01HV0000000000000000000001"}
TIME = "2026-03-01T08:00:00Z"

EVENTS = {
    Template.WELCOME: event(
        "accounts.user.email_verified.v1",
        user_id=USER_ID, email="thandi@example.com", verified_at=TIME,
    ),
    Template.DEPOSIT_COMPLETED: event(
        "wallet.deposit.completed.v1", **MONEY, available="1250.00", completed_at=TIME
    ),
    Template.DEPOSIT_FAILED: event(
        "wallet.deposit.failed.v1", **MONEY, status="failed", reason_code="insufficient_funds"
    ),
    Template.WITHDRAWAL_COMPLETED: event(
        "wallet.withdrawal.completed.v1", **MONEY, **BANK, completed_at=TIME
    ),
    Template.WITHDRAWAL_FAILED: event(
        "wallet.withdrawal.failed.v1", **MONEY, **BANK, status="failed",
        reason_code="validation_bank_account_invalid",
    ),
    Template.WITHDRAWAL_CANCELLED: event(
        "wallet.withdrawal.failed.v1", **MONEY, **BANK, status="cancelled",
        reason_code="cancelled_by_user",
    ),
    Template.BANK_ACCOUNT_VERIFIED: event(
        "payments.bank_account.verified.v1", **BANK, user_id=USER_ID,
        masked_number="******6789", bank_name="First Bank", verified_at=TIME,
    ),
    Template.EMAIL_VERIFICATION: verification_requested(),
}  # fmt: skip
SAYS = {
    Template.WELCOME: "your wallet is ready",
    Template.DEPOSIT_COMPLETED: "New balance:  R1,250.00",
    Template.DEPOSIT_FAILED: "did not go through: there was not enough money in the paying account",
    Template.WITHDRAWAL_COMPLETED: "Your withdrawal of R250.00 has been paid out",
    Template.WITHDRAWAL_FAILED: "the bank does not know the account number.\n"
    "The money is back in your wallet",
    Template.WITHDRAWAL_CANCELLED: "Your withdrawal of R250.00 was cancelled.",
    Template.BANK_ACCOUNT_VERIFIED: "******6789 at First Bank is verified",
    Template.EMAIL_VERIFICATION: "    evt_token-to-be-mailed-1234567890\n",
}


@pytest.mark.parametrize("template", list(Template))
def test_every_mail_has_its_event_and_says_what_happened(template: Template) -> None:
    Contracts().check_outbound(EVENTS[template].type, EVENTS[template].data)
    world = World()
    world.handle(registered())
    world.handle(EVENTS[template])
    assert world.only.template is template
    mail = world.prepare()
    assert mail is not None
    assert mail.to_address == "thandi@example.com"
    assert SAYS[template] in mail.text
    if template is not Template.EMAIL_VERIFICATION:
        assert mail.text.startswith("Hello Thandi Nkosi,\n\nY")
    assert mail.subject in mail.html
    assert "{" not in mail.subject
    # No line is folded on its way, so that a token stays whole.
    assert max(len(line) for line in mail.text.splitlines()) < 200


def test_an_event_delivered_again_plans_nothing_more() -> None:
    world = World()
    world.handle(registered())
    paid = EVENTS[Template.DEPOSIT_COMPLETED]
    world.handle(paid)
    # Even where the inbox has forgotten the event.
    world.unit.inbox.handled.clear()
    world.handle(paid)
    assert world.only.template is Template.DEPOSIT_COMPLETED
    assert len(world.unit.intents.stored) == 1


def test_a_mail_to_somebody_unknown_waits_and_leaves_nothing_behind() -> None:
    world = World()
    paid = EVENTS[Template.DEPOSIT_COMPLETED]
    with pytest.raises(TooEarly, match=USER_ID):
        world.handle(paid)
    assert not world.unit.inbox.handled
    world.handle(registered())
    world.handle(paid)
    assert world.only.template is Template.DEPOSIT_COMPLETED


def test_the_verification_mail_waits_for_nothing() -> None:
    world = World()
    world.handle(verification_requested())
    mail = world.prepare()
    assert mail is not None
    assert mail.text.startswith("Hello,\n")
    assert "02 March 2026, 08:00 UTC" in mail.text


def test_a_deposit_the_user_cancelled_themselves_makes_no_mail() -> None:
    world = World()
    world.handle(registered())
    cancelled = {**MONEY, "status": "cancelled", "reason_code": "cancelled_by_user"}
    world.handle(event("wallet.deposit.failed.v1", **cancelled))
    assert not world.deliveries


def test_an_expired_deposit_says_so() -> None:
    world = World()
    world.handle(registered())
    expired = {**MONEY, "status": "expired", "reason_code": "payment_expired"}
    world.handle(event("wallet.deposit.failed.v1", **expired))
    mail = world.prepare()
    assert mail is not None
    assert "has expired" in mail.text


@pytest.mark.parametrize("template", [Template.DEPOSIT_FAILED, Template.WITHDRAWAL_FAILED])
def test_a_status_newer_than_ours_is_told_as_a_failure(template: Template) -> None:
    known = EVENTS[template]
    newer = event(known.type, **{**known.data, "status": "given_up"})
    Contracts().check_inbound(newer.type, newer.data)
    world = World()
    world.handle(registered())
    world.handle(newer)
    assert world.only.template is template
    mail = world.prepare()
    assert mail is not None
    assert SAYS[template] in mail.text


def test_an_unlisted_reason_gets_general_words() -> None:
    world = World()
    world.handle(registered())
    failed = {**MONEY, **BANK, "status": "failed", "reason_code": "something.new"}
    world.handle(event("wallet.withdrawal.failed.v1", **failed))
    mail = world.prepare()
    assert mail is not None
    assert "the bank or the payment provider turned it down" in mail.text
    assert "something.new" not in mail.text


def test_a_name_is_escaped_in_markup_and_only_there() -> None:
    world = World()
    world.handle(registered("<b>Bobby</b> & Co"))
    world.handle(EVENTS[Template.DEPOSIT_COMPLETED])
    mail = world.prepare()
    assert mail is not None
    assert "&lt;b&gt;Bobby&lt;/b&gt; &amp; Co" in mail.html
    assert "<b>Bobby</b> & Co" in mail.text


@pytest.mark.parametrize(
    ("amount", "currency", "locale", "written"),
    [
        ("250.00", "ZAR", "en_ZA", "R250.00"),
        ("1234567.89", "ZAR", "en_ZA", "R1,234,567.89"),
        ("1000", "JPY", "en_ZA", "JP¥1,000"),
        ("1.234", "KWD", "en_ZA", "KWD1.234"),
        ("250.00", "EUR", "de", "250,00\xa0€"),
        ("1000", "JPY", "de", "1.000\xa0¥"),
        ("1.230", "KWD", "de", "1,230\xa0KWD"),
        ("1.234", "IQD", "fr", "1,234\xa0IQD"),
    ],
)
def test_amounts_are_written_as_people_there_write_them(
    amount: str, currency: str, locale: str, written: str
) -> None:
    assert format_money(Money.parse(amount, currency), locale=locale) == written


def test_a_balance_larger_than_any_one_amount_is_written_too() -> None:
    balance = Money.parse_sum("10000000000000.00", "ZAR")
    assert format_money(balance, locale="en_ZA") == "R10,000,000,000,000.00"
