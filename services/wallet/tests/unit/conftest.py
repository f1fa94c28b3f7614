"""Stories to begin from."""

import pytest

from .story import Story


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def funded(story: Story) -> Story:
    story.pay(story.deposit().id, purchase_id="funding")
    story.verify_bank_account()
    story.unit.outbox.messages.clear()
    return story
