"""For how long things are kept, as the environment says it."""

from datetime import UTC, datetime, timedelta

import pytest

from octoco.config import read_settings
from octoco.errors import ConfigurationError
from octoco.ids import first_id, new_id
from octoco.retention import RetentionSettings, read_retention


def test_what_is_not_set_has_a_usual_value() -> None:
    assert read_settings(read_retention) == RetentionSettings(90, 30, 90)


def test_what_is_set_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INBOX_KEEP_DAYS", "400")
    monkeypatch.setenv("IDEMPOTENCY_KEYS_KEEP_DAYS", "1")
    monkeypatch.setenv("INTENTS_KEEP_DAYS", "7")
    assert read_settings(read_retention) == RetentionSettings(400, 1, 7)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("INBOX_KEEP_DAYS", "6"),
        ("INBOX_KEEP_DAYS", "36501"),
        ("IDEMPOTENCY_KEYS_KEEP_DAYS", "0"),
        ("INTENTS_KEEP_DAYS", "-1"),
        ("INTENTS_KEEP_DAYS", "a week"),
    ],
)
def test_a_wrong_one_is_named_with_its_bounds(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"{name} must be a whole number from . to 36500"):
        read_settings(read_retention)


def test_ids_made_before_a_moment_come_before_its_first_one() -> None:
    before = datetime.now(UTC)
    made = new_id("msg")
    assert first_id("msg", at=before) <= made
    assert made < first_id("msg", at=datetime.now(UTC) + timedelta(milliseconds=1))
    assert len(first_id("msg", at=before)) == len(made)
