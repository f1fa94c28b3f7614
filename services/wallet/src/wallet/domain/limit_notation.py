"""Limits as an operator writes them: `ZAR=50000.00,JPY=none,finance:ZAR=200000.00`."""

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from octoco.errors import ConfigurationError, Refusal
from octoco.money import Money, exponent_of
from wallet.domain.limits import Bounds, Limits
from wallet.domain.roles import Role

V = TypeVar("V")

_RULE: Final = re.compile(r"(?:([a-z]+):)?([A-Z]{3})=([0-9.]+|none)", re.ASCII)
_COUNT: Final = re.compile(r"[0-9]{1,9}", re.ASCII)

# Which role, None for everybody, and which currency.
_Rules = Mapping[tuple[Role | None, str], V | None]


def limits_of(read: Callable[[str, str], str]) -> Limits:
    """Read all limits from the environment.

    Each variable holds rules separated by commas: a currency, `=`, and an amount, a count or
    `none`; a role and a colon before it make it a rule for users with that role.

    Args:
        read: Returns a variable's text, or the default that is given with its name.

    Raises:
        ConfigurationError: a rule is malformed, comes twice, or names an unknown role or
            currency; or a currency that is offered is missing in one of the variables, so that
            no bound is ever forgotten: it can only be left out by `none`.
    """
    deposits = _Variables(read, "DEPOSIT_LIMIT_PER_TRANSACTION", "ZAR=100000.00")
    deposits.read_count("DEPOSIT_COUNT_PER_HOUR", "ZAR=100")
    deposits.read_money("per_day", "DEPOSIT_LIMIT_PER_DAY", "ZAR=300000.00")
    deposits.read_money("per_month", "DEPOSIT_LIMIT_PER_MONTH", "ZAR=1000000.00")
    withdrawals = _Variables(read, "WITHDRAWAL_LIMIT_PER_TRANSACTION", "ZAR=50000.00")
    withdrawals.read_count("WITHDRAWAL_COUNT_PER_HOUR", "ZAR=20")
    withdrawals.read_money("per_day", "WITHDRAWAL_LIMIT_PER_DAY", "ZAR=100000.00")
    withdrawals.read_money("per_month", "WITHDRAWAL_LIMIT_PER_MONTH", "ZAR=500000.00")
    withdrawals.read_money("review_above", "WITHDRAWAL_REVIEW_ABOVE", "ZAR=25000.00")
    by_role = {
        role: Limits(deposits=deposits.bounds(role), withdrawals=withdrawals.bounds(role))
        for role in Role
        if deposits.name(role) or withdrawals.name(role)
    }
    return Limits(
        deposits=deposits.bounds(None), withdrawals=withdrawals.bounds(None), by_role=by_role
    )


class _Variables:
    """The variables that bound one kind of transaction.

    The first one says which currencies are offered; the others must name each of them.
    """

    def __init__(self, read: Callable[[str, str], str], first: str, default: str) -> None:
        self._read = read
        self._first = first
        self._money: dict[str, _Rules[Money]] = {}
        self._per_hour: _Rules[int] = {}
        rules = _rules(first, read(first, default), _amount)
        self._offered = {currency for role, currency in rules if role is None}
        self._money["per_transaction"] = self._checked(first, rules)

    def read_money(self, bound: str, name: str, default: str) -> None:
        self._money[bound] = self._checked(name, _rules(name, self._read(name, default), _amount))

    def read_count(self, name: str, default: str) -> None:
        self._per_hour = self._checked(name, _rules(name, self._read(name, default), _count))

    def name(self, role: Role) -> bool:
        """Say whether any rule is for this role."""
        named = {rule[0] for rules in self._money.values() for rule in rules}
        return role in named | {rule[0] for rule in self._per_hour}

    def bounds(self, role: Role | None) -> Bounds:
        """Return the bounds that are given for this role, or for everybody."""
        amounts = {bound: _of(rules, role) for bound, rules in self._money.items()}
        return Bounds(
            per_transaction=amounts["per_transaction"],
            per_hour=_of(self._per_hour, role),
            per_day=amounts["per_day"],
            per_month=amounts["per_month"],
            review_above=amounts.get("review_above", {}),
        )

    def _checked(self, name: str, rules: _Rules[V]) -> _Rules[V]:
        everybodys = {currency for role, currency in rules if role is None}
        if missing := sorted(self._offered - everybodys):
            raise ConfigurationError(
                f"{name} does not name {missing[0]}, which {self._first} offers; "
                f"write {missing[0]}=none if there is to be no bound"
            )
        if unknown := sorted({currency for _, currency in rules} - self._offered):
            raise ConfigurationError(
                f"{name} names {unknown[0]}, which {self._first} does not offer"
            )
        return rules


def _of(rules: _Rules[V], role: Role | None) -> dict[str, V | None]:
    return {currency: value for (named, currency), value in rules.items() if named is role}


def _rules(name: str, text: str, value_of: Callable[[str, str], V]) -> _Rules[V]:
    rules: dict[tuple[Role | None, str], V | None] = {}
    for part in text.split(","):
        found = _RULE.fullmatch(part.strip())
        if found is None:
            raise ConfigurationError(
                f"{name} is malformed: it holds rules such as ZAR=50000.00 or finance:ZAR=none"
            )
        role_name, currency, value = found.groups()
        try:
            role = Role(role_name) if role_name else None
        except ValueError:
            raise ConfigurationError(
                f"{name} names an unknown role; the roles are {', '.join(Role)}"
            ) from None
        if (role, currency) in rules:
            raise ConfigurationError(f"{name} bounds {currency} twice")
        try:
            exponent_of(currency)
            rules[role, currency] = None if value == "none" else value_of(value, currency)
        except Refusal as refusal:
            raise ConfigurationError(f"{name} is malformed: {refusal.message}") from refusal
    return rules


def _amount(text: str, currency: str) -> Money:
    return Money.parse(text, currency)


def _count(text: str, currency: str) -> int:
    if not _COUNT.fullmatch(text):
        raise Refusal(f"The bound of {currency} is a number of transactions.")
    return int(text)
