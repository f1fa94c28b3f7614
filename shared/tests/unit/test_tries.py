"""Tries within the process: for passing trouble only, few, and short."""

import threading
import time
from collections.abc import Callable

import pytest

from octoco.errors import NotTried, Refusal, TooEarly, Unavailable
from octoco.messaging.tries import TRIES, TRY_SECONDS, Tries

RUNNING = threading.Event()


def failing(*errors: Exception) -> tuple[Callable[[], str], list[int]]:
    made: list[int] = []

    def work() -> str:
        made.append(1)
        if len(made) <= len(errors):
            raise errors[len(made) - 1]
        return "done"

    return work, made


def test_passing_trouble_is_tried_again_until_it_has_passed() -> None:
    work, made = failing(Unavailable("busy"), Unavailable("busy"))
    assert Tries().run(work, event_type="a", stop=RUNNING) == "done"
    assert len(made) == 3


def test_trouble_that_does_not_pass_comes_out_after_a_few_tries_within_a_second() -> None:
    work, made = failing(*[Unavailable("away")] * 50)
    began = time.monotonic()
    with pytest.raises(Unavailable):
        Tries().run(work, event_type="a", stop=RUNNING)
    assert len(made) == TRIES
    assert time.monotonic() - began < TRY_SECONDS


@pytest.mark.parametrize(
    "error",
    [Refusal("never"), TooEarly(waits_for="x"), ZeroDivisionError(), NotTried("open circuit")],
    ids=["refusal", "too early", "bug", "not tried"],
)
def test_what_would_only_meet_the_same_again_is_tried_once(error: Exception) -> None:
    work, made = failing(*[error] * 50)
    with pytest.raises(type(error)):
        Tries().run(work, event_type="a", stop=RUNNING)
    assert len(made) == 1


def test_a_type_whose_tries_have_failed_has_one_for_a_while_and_others_have_theirs() -> None:
    tries = Tries()
    for event_type, expected in (("sick", TRIES), ("sick", 1), ("sick", 1), ("other", TRIES)):
        work, made = failing(*[Unavailable("away")] * 50)
        with pytest.raises(Unavailable):
            tries.run(work, event_type=event_type, stop=RUNNING)
        assert len(made) == expected


def test_no_other_try_is_begun_once_all_is_to_stop() -> None:
    stop = threading.Event()
    stop.set()
    work, made = failing(*[Unavailable("away")] * 50)
    with pytest.raises(Unavailable):
        Tries().run(work, event_type="a", stop=stop)
    assert len(made) == 1
