"""The user: a person with an address, a name and roles."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

from email_validator import EmailNotValidError, validate_email

from accounts.domain.errors import InvalidEmail, InvalidFullName, UnknownRole

UserId = NewType("UserId", str)

FULL_NAME_LENGTH_MAX = 200


class Role(StrEnum):
    """What a user may be; every user is at least `user`."""

    USER = "user"
    SUPPORT = "support"
    FINANCE = "finance"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Email:
    """An address in the form mail is sent to.

    Args:
        address: As the person wrote it, the domain in lower case and in ASCII (IDNA).
    """

    address: str

    @classmethod
    def parse(cls, text: str) -> "Email":
        """Read an address.

        Only syntax is checked: that the address exists is proved by the mail that reaches it.
        Letters outside ASCII before the @ are refused, because many servers cannot take them.

        Raises:
            InvalidEmail: mail could not be sent to it.

        Source: RFC 5321, RFC 5891.
        """
        try:
            checked = validate_email(text.strip(), check_deliverability=False, allow_smtputf8=False)
        except EmailNotValidError as error:
            raise InvalidEmail("This is not a valid e-mail address.", field="email") from error
        assert checked.ascii_email is not None, "given whenever allow_smtputf8 is False"
        return cls(checked.ascii_email)

    @property
    def key(self) -> str:
        """What makes two spellings one address: letter case is ignored in the local part too."""
        return self.address.casefold()

    @property
    def local_part(self) -> str:
        return self.address.rpartition("@")[0]


@dataclass(frozen=True, slots=True)
class User:
    """A person who registered.

    Args:
        id: Theirs for ever.
        email: Where mail reaches them; unique without regard to letter case.
        full_name: As they write it.
        roles: Sorted, always with `user`.
        created_at: UTC.
        email_verified_at: UTC; None until they proved the address.
        frozen_at: UTC; when an operator last froze them.
        unfrozen_at: UTC; when an operator last let them go on.
    """

    id: UserId
    email: Email
    full_name: str
    roles: tuple[Role, ...]
    created_at: datetime
    email_verified_at: datetime | None = None
    frozen_at: datetime | None = None
    unfrozen_at: datetime | None = None

    @property
    def is_frozen(self) -> bool:
        if self.frozen_at is None:
            return False
        return self.unfrozen_at is None or self.frozen_at > self.unfrozen_at

    @property
    def email_verified(self) -> bool:
        return self.email_verified_at is not None


def parse_full_name(text: str) -> str:
    """Read a person's name: surrounding and repeated blanks are dropped, nothing else is judged.

    Raises:
        InvalidFullName: empty, longer than 200 characters, or with control characters.
    """
    name = " ".join(word for word in text.split(" ") if word)
    if not name:
        raise InvalidFullName("The name must not be empty.", field="full_name")
    if len(name) > FULL_NAME_LENGTH_MAX:
        raise InvalidFullName(
            f"The name must have at most {FULL_NAME_LENGTH_MAX} characters.", field="full_name"
        )
    # Line breaks would end a mail header, and other control characters have no place in a name.
    if not name.isprintable():
        raise InvalidFullName("The name must not hold control characters.", field="full_name")
    return name


def parse_role(text: str) -> Role:
    """Read a role's name.

    Raises:
        UnknownRole: no role has it.
    """
    try:
        return Role(text)
    except ValueError as error:
        raise UnknownRole(
            f"The roles are {', '.join(role.value for role in Role)}.", field="role"
        ) from error


def sorted_roles(roles: Iterable[Role]) -> tuple[Role, ...]:
    """Return the roles without repeats, in a fixed order."""
    return tuple(sorted(set(roles)))
