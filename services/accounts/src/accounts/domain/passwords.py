"""What a password must be, after NIST SP 800-63B: long enough, and not one that is guessed first.

No rules of composition (a digit, a capital) and no forced changes: both make passwords worse.
"""

import itertools
import re
import unicodedata
from collections.abc import Iterable
from typing import Protocol

from accounts.domain.errors import (
    PasswordTooCommon,
    PasswordTooGuessable,
    PasswordTooLong,
    PasswordTooShort,
)
from accounts.domain.users import Email

LENGTH_MIN = 8
LENGTH_RECOMMENDED = 15
LENGTH_MAX = 256
CONTEXT_WORD_LENGTH_MIN = 4
PRODUCT_WORDS = ("octoco", "wallet", "octocowallet")

_LETTERS_INSTEAD = str.maketrans("@4310$57!", "aaeiosstl")


class PasswordBlocklist(Protocol):
    """Passwords that are known to attackers."""

    def __contains__(self, password: str) -> bool: ...


def normalise_password(text: str) -> str:
    """Return the form that is checked and hashed, so that each keyboard's spelling is the same.

    Source: NIST SP 800-63B-4, section 3.1.1.2 (normalisation before hashing).
    """
    return unicodedata.normalize("NFKC", text)


def check_password(
    password: str, *, email: Email, full_name: str, blocklist: PasswordBlocklist
) -> None:
    """Let a password pass that may protect this person's money.

    Args:
        password: Normalised.
        email: Their address; the part before the @ must not be the password.
        full_name: Their name; its words must not be the password.
        blocklist: Known passwords, in lower case.

    Raises:
        PasswordTooShort: fewer than 8 characters.
        PasswordTooLong: more than 256 characters.
        PasswordTooCommon: on the block list as it stands, without the digits and signs around it,
            or with signs in place of letters; or one character, or one run, repeated.
        PasswordTooGuessable: nothing but the person's own words or the product's.

    Source: NIST SP 800-63B-4, section 3.1.1.2 (length, block list, context-specific words).
    """
    if len(password) < LENGTH_MIN:
        raise PasswordTooShort(
            f"The password must have at least {LENGTH_MIN} characters; "
            f"{LENGTH_RECOMMENDED} or more are recommended.",
            field="password",
        )
    if len(password) > LENGTH_MAX:
        raise PasswordTooLong(
            f"The password must have at most {LENGTH_MAX} characters.", field="password"
        )
    spellings = _spellings(password)
    if any(spelling in blocklist for spelling in spellings) or _is_run(password):
        raise PasswordTooCommon(
            "This password is among the first that attackers try.", field="password"
        )
    if spellings & _context_words(email, full_name):
        raise PasswordTooGuessable(
            "The password must not be made of your name, your address or ours.", field="password"
        )


def _spellings(password: str) -> set[str]:
    lower = password.casefold()
    letters = lower.translate(_LETTERS_INSTEAD)
    # "Password2024!" and "123password" are the word with decoration.
    bare = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", lower)
    bare_letters = re.sub(r"[\W\d_]+$", "", lower).translate(_LETTERS_INSTEAD)
    return {spelling for spelling in (lower, letters, bare, bare_letters) if spelling}


def _is_run(password: str) -> bool:
    steps = {ord(after) - ord(before) for before, after in itertools.pairwise(password)}
    return steps in ({0}, {1}, {-1})


def _context_words(email: Email, full_name: str) -> set[str]:
    name_words = re.findall(r"\w+", full_name.casefold())
    words: Iterable[str] = (
        *PRODUCT_WORDS,
        *name_words,
        "".join(name_words),
        " ".join(name_words),
        email.key,
        email.local_part.casefold(),
        *re.split(r"[\W_]+", email.local_part.casefold()),
        email.key.rpartition("@")[2],
    )
    return {word for word in words if len(word) >= CONTEXT_WORD_LENGTH_MIN}
