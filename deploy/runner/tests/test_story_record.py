"""The story's judgement."""

import io

from rich.console import Console

from octoco_runner.screen import Screen
from octoco_runner.story.record import Record


def record() -> Record:
    return Record(Screen(Console(file=io.StringIO(), width=200)))


def printed(found: Record) -> str:
    found.screen.console.print(found.table())
    output = found.screen.console.file
    assert isinstance(output, io.StringIO)
    return output.getvalue()


def test_an_empty_story_does_not_pass() -> None:
    assert not record().fits


def test_one_difference_fails_the_story_and_is_in_the_table() -> None:
    found = record()
    found.saw("Register", expected=202, saw=202)
    found.saw("Balance", expected="250.00", saw="[249.99]")

    assert not found.fits
    assert "[249.99]" in printed(found)


def test_a_wait_ends_when_the_expected_is_seen() -> None:
    found, answers = record(), iter(["pending", "pending", "completed"])

    assert found.waited_for("Deposit", lambda: next(answers), expected="completed")
    assert found.fits
