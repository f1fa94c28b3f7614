"""Every refusal has a code of its own and an HTTP status."""

import accounts.domain.errors
from accounts.entrypoints.http.refusals import REFUSAL_STATUS
from octoco.errors import Refusal


def own_refusals() -> list[type[Refusal]]:
    return [
        thing
        for thing in vars(accounts.domain.errors).values()
        if isinstance(thing, type) and issubclass(thing, Refusal) and thing is not Refusal
    ]


def test_every_refusal_has_a_status() -> None:
    assert set(REFUSAL_STATUS) == set(own_refusals())
    assert all(400 <= status < 500 for status in REFUSAL_STATUS.values())


def test_every_refusal_has_a_code_of_its_own_and_stands_in_the_tree() -> None:
    codes = [refusal.code for refusal in own_refusals()]
    assert len(set(codes)) == len(codes)
    tree = accounts.domain.errors.__doc__ or ""
    assert [refusal.__name__ for refusal in own_refusals() if refusal.__name__ not in tree] == []
