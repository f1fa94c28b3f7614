"""The rules of identity, each by itself."""

import string
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.domain.errors import (
    InvalidEmail,
    InvalidFullName,
    PasswordTooCommon,
    PasswordTooGuessable,
    PasswordTooLong,
    PasswordTooShort,
    UnknownRole,
)
from accounts.domain.passwords import check_password, normalise_password
from accounts.domain.users import Email, Role, parse_full_name, parse_role, sorted_roles

BLOCKLIST = frozenset({"password", "qwertyuiop", "letmein"})


def check(password: str) -> None:
    check_password(
        password,
        email=Email.parse("thandi.nkosi@example.com"),
        full_name="Thandi Nkosi",
        blocklist=BLOCKLIST,
    )


def test_two_spellings_of_an_address_are_one() -> None:
    assert Email.parse(" Thandi@Example.COM ").key == Email.parse("thandi@example.com").key
    assert Email.parse("Thandi@Example.COM").address == "Thandi@example.com"


def test_a_domain_with_letters_outside_ascii_is_kept_in_the_form_mail_servers_take() -> None:
    assert Email.parse("a@bücher.example.com").address == "a@xn--bcher-kva.example.com"


@pytest.mark.parametrize(
    "text",
    ["", "nobody", "a@", "@example.com", "a@b", "a b@example.com", "a@exa\nmple.com",
     "jörg@example.com", "a@example.com\r\nBcc: b@example.com", f"{'a' * 300}@example.com"],
)  # fmt: skip
def test_what_mail_cannot_be_sent_to_is_no_address(text: str) -> None:
    with pytest.raises(InvalidEmail):
        Email.parse(text)


def test_blanks_around_and_within_a_name_are_tidied() -> None:
    assert parse_full_name("  Thandi   Nkosi ") == "Thandi Nkosi"


@pytest.mark.parametrize("text", ["", "   ", "x" * 201, "a\nb", "a\x00b", "a\u202eb"])
def test_a_name_that_cannot_stand_in_a_mail_is_refused(text: str) -> None:
    with pytest.raises(InvalidFullName):
        parse_full_name(text)


@pytest.mark.parametrize("password", ["", "short", "1234567"])
def test_a_short_password_is_refused(password: str) -> None:
    with pytest.raises(PasswordTooShort):
        check(password)


def test_a_password_may_be_long_but_not_without_end() -> None:
    check("correct horse battery staple " * 8)
    with pytest.raises(PasswordTooLong):
        check("x1" * 129)


@pytest.mark.parametrize(
    "password",
    ["password", "PASSWORD", "Password2024!", "p@ssw0rd", "!!qwertyuiop", "Letmein99", "aaaaaaaa",
     "abcdefgh", "87654321"],
)  # fmt: skip
def test_what_attackers_try_first_is_refused(password: str) -> None:
    with pytest.raises(PasswordTooCommon):
        check(password)


@pytest.mark.parametrize(
    "password",
    ["thandinkosi", "Thandi Nkosi", "nkosi12345", "thandi.nkosi@example.com", "octoco2026",
     "Wallet!!!!", "example.com"],
)  # fmt: skip
def test_a_password_made_of_ones_own_words_is_refused(password: str) -> None:
    with pytest.raises(PasswordTooGuessable):
        check(password)


@pytest.mark.parametrize("password", ["tr4vel by moonlight", "x7#Kq!pz", "пароль который длинный"])
def test_other_passwords_pass_whatever_they_are_made_of(password: str) -> None:
    check(normalise_password(password))


@given(st.text(alphabet=string.printable, min_size=0, max_size=300))
def test_any_text_is_either_passed_or_refused_by_name(password: str) -> None:
    refusals = (PasswordTooShort, PasswordTooLong, PasswordTooCommon, PasswordTooGuessable)
    with suppress(*refusals):
        check(normalise_password(password))


def test_one_password_from_two_keyboards_is_the_same() -> None:
    assert normalise_password("e\u0301clair au chocolat") == "\u00e9clair au chocolat"


def test_roles_are_known_by_name_and_kept_in_order() -> None:
    assert sorted_roles([parse_role("user"), parse_role("admin"), Role.USER]) == (
        Role.ADMIN,
        Role.USER,
    )
    with pytest.raises(UnknownRole):
        parse_role("root")
