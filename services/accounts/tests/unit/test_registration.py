"""Registering and proving an address."""

from datetime import timedelta

import pytest

from accounts.domain.audit import AuditAction
from accounts.domain.errors import (
    InvalidCredentials,
    PasswordTooShort,
    VerificationTokenExpired,
    VerificationTokenInvalid,
    VerificationTokenUsed,
)
from accounts.domain.policy import IdentityPolicy
from accounts.messages.outbound import EmailVerificationRequested, EmailVerified, UserRegistered
from accounts.use_cases.log_in import log_in
from accounts.use_cases.resend_verification import resend_verification
from accounts.use_cases.verify_email import verify_email

from .fakes import EMAIL, ORIGIN, PASSWORD, World


def test_registering_stores_the_user_and_asks_for_the_verification_mail() -> None:
    world = World()
    world.register()
    assert world.messages() == [UserRegistered, EmailVerificationRequested]
    (user,) = world.unit.users.by_id.values()
    assert (user.email.address, user.full_name, user.email_verified) == (
        EMAIL, "Thandi Nkosi", False,
    )  # fmt: skip
    assert world.unit.audit_log.actions == [
        AuditAction.USER_REGISTERED,
        AuditAction.VERIFICATION_REQUESTED,
    ]


def test_neither_the_password_nor_the_token_is_stored_or_announced() -> None:
    world = World()
    world.register()
    (token,) = world.mail_tokens.tokens
    seen = repr(
        (
            [message.to_data() for message in world.unit.outbox.messages],
            world.unit.audit_log.records,
            world.unit.verification_tokens.by_hash,
            world.unit.users.by_id,
        )
    )
    assert PASSWORD not in seen
    assert token not in seen


def test_a_refused_password_leaves_nothing_behind() -> None:
    world = World()
    with pytest.raises(PasswordTooShort):
        world.register(password="short")
    assert not world.unit.users.by_id
    assert not world.unit.outbox.messages


def test_registering_a_verified_address_again_changes_nothing_and_costs_the_same() -> None:
    world = World()
    world.register_and_verify()
    before, hashed = world.messages(), world.hasher.hashed
    world.register(email=EMAIL.upper(), password="another long password")
    assert world.messages() == before
    assert world.hasher.hashed == hashed + 1
    assert world.log_in().access_token


def test_the_password_that_counts_is_the_one_registered_with_the_link_that_was_followed() -> None:
    world = World()
    world.register(password="the stranger who came first")
    world.register(password=PASSWORD)
    stranger_token, own_token = world.mail_tokens.tokens
    verify_email(world.ports, token=own_token, origin=ORIGIN)
    assert world.log_in(password=PASSWORD).access_token
    with pytest.raises(InvalidCredentials):
        world.log_in(password="the stranger who came first")
    with pytest.raises(VerificationTokenInvalid):
        verify_email(world.ports, token=stranger_token, origin=ORIGIN)
    assert world.messages().count(UserRegistered) == 1


def test_proving_the_address_is_announced_once() -> None:
    world = World()
    world.register_and_verify()
    assert world.messages()[-1] is EmailVerified
    with pytest.raises(VerificationTokenUsed):
        verify_email(world.ports, token=world.mail_tokens.tokens[0], origin=ORIGIN)
    assert world.messages().count(EmailVerified) == 1


def test_an_unknown_token_is_refused() -> None:
    with pytest.raises(VerificationTokenInvalid):
        verify_email(World().ports, token="evt_guess", origin=ORIGIN)


def test_a_token_is_refused_from_the_instant_it_expires() -> None:
    world = World()
    world.register()
    (token,) = world.mail_tokens.tokens
    world.clock.advance(timedelta(hours=24))
    with pytest.raises(VerificationTokenExpired):
        verify_email(world.ports, token=token, origin=ORIGIN)
    world.clock.advance(timedelta(microseconds=-1))
    verify_email(world.ports, token=token, origin=ORIGIN)


def test_a_resent_mail_has_another_link_and_the_first_one_keeps_working() -> None:
    world = World()
    world.register()
    resend_verification(world.ports, email=EMAIL.upper(), origin=ORIGIN)
    first, second = world.mail_tokens.tokens
    assert first != second
    verify_email(world.ports, token=first, origin=ORIGIN)
    with pytest.raises(VerificationTokenUsed):
        verify_email(world.ports, token=second, origin=ORIGIN)


def test_resending_to_an_unknown_or_verified_address_sends_nothing_and_says_nothing() -> None:
    world = World()
    resend_verification(world.ports, email="nobody@example.com", origin=ORIGIN)
    assert not world.unit.outbox.messages
    world.register_and_verify()
    before = world.messages()
    resend_verification(world.ports, email=EMAIL, origin=ORIGIN)
    assert world.messages() == before


def test_nobodys_mailbox_can_be_flooded() -> None:
    world = World(IdentityPolicy(open_verifications_max=3))
    for _ in range(3):
        world.register()
        resend_verification(world.ports, email=EMAIL, origin=ORIGIN)
    assert world.messages().count(EmailVerificationRequested) == 3
    world.clock.advance(timedelta(days=2))
    resend_verification(world.ports, email=EMAIL, origin=ORIGIN)
    assert world.messages().count(EmailVerificationRequested) == 4


def test_every_step_is_kept_with_where_it_came_from() -> None:
    world = World()
    world.register_and_verify()
    log_in(world.ports, email=EMAIL, password=PASSWORD, origin=ORIGIN)
    assert [record.origin for record in world.unit.audit_log.records] == [ORIGIN] * 4
