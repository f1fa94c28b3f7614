"""Keeping the name and the e-mail that the provider requires."""

from dataclasses import replace

from octoco.errors import TooEarly
from payments_gateway.messages.inbound import EmailVerified, UserRegistered
from payments_gateway.use_cases.ports import KnownUser, Unit


def remember_user(unit: Unit, registered: UserRegistered) -> None:
    """Keep a newly registered user; a repeat, or news older than ours, changes nothing."""
    unit.users.keep(
        KnownUser(
            user_id=registered.user_id,
            email=registered.email,
            full_name=registered.full_name,
            as_of=registered.registered_at,
        )
    )


def remember_email(unit: Unit, verified: EmailVerified) -> None:
    """Keep the e-mail that a user proved to be theirs.

    Raises:
        TooEarly: the user's registration has not arrived yet.
    """
    user = unit.users.find(verified.user_id)
    if user is None:
        raise TooEarly(waits_for=f"user {verified.user_id}")
    unit.users.keep(replace(user, email=verified.email, as_of=verified.verified_at))
