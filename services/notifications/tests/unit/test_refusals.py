"""Every refusal has a code of its own and an HTTP status."""

import notifications.domain.errors
from notifications.entrypoints.http.refusals import REFUSAL_STATUS
from octoco.errors import Refusal


def test_every_refusal_has_a_status() -> None:
    own = {
        thing
        for thing in vars(notifications.domain.errors).values()
        if isinstance(thing, type) and issubclass(thing, Refusal) and thing is not Refusal
    }
    assert set(REFUSAL_STATUS) == own
    assert all(400 <= status < 500 for status in REFUSAL_STATUS.values())
