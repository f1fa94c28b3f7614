"""A transition table lets legal moves pass and no others."""

from enum import StrEnum

import pytest

from octoco.errors import IllegalTransition
from octoco.transitions import TransitionTable


class Door(StrEnum):
    OPEN = "open"
    SHUT = "shut"
    WALLED = "walled"


TABLE = TransitionTable(
    {Door.OPEN: {Door.SHUT}, Door.SHUT: {Door.OPEN, Door.WALLED}, Door.WALLED: set()}
)


def test_a_legal_move_passes_and_an_illegal_one_is_refused() -> None:
    TABLE.require(Door.OPEN, Door.SHUT)
    with pytest.raises(IllegalTransition) as refused:
        TABLE.require(Door.OPEN, Door.WALLED)
    assert refused.value.details == {"current": "open", "following": "walled"}
    assert TABLE.is_final(Door.WALLED)


def test_a_state_without_a_line_of_its_own_is_refused() -> None:
    with pytest.raises(ValueError, match="shut"):
        TransitionTable({Door.OPEN: {Door.SHUT}})


def test_the_diagram_shows_every_move_once() -> None:
    assert TABLE.as_mermaid(starts=[Door.OPEN]).splitlines() == [
        "stateDiagram-v2",
        "    [*] --> open",
        "    open --> shut",
        "    shut --> open",
        "    shut --> walled",
        "    walled --> [*]",
    ]
