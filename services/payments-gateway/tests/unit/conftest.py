"""A world with a known user."""

import pytest

from .world import World


@pytest.fixture
def world() -> World:
    made = World()
    made.know_user()
    return made
