"""Settings of event handling from the environment: defaults, bounds, and a line that names them."""

import pytest

from octoco.config import read_settings
from octoco.errors import ConfigurationError
from octoco.intents.executor import THREADS_PER_KIND
from octoco.messaging.settings import EventSettings, read_event_settings


def read(monkeypatch: pytest.MonkeyPatch, **variables: str) -> EventSettings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return read_settings(read_event_settings)


def test_without_any_variable_the_defaults_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(monkeypatch)
    assert settings == EventSettings()
    assert settings.prefetch_count(has_batches=False) == 2 * settings.threads
    assert settings.prefetch_count(has_batches=True) == 2 * settings.batch_size


def test_every_variable_is_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(
        monkeypatch,
        EVENT_THREADS="8",
        EVENT_PREFETCH="30",
        EVENT_BATCH_SIZE="250",
        EVENT_BATCH_TURN_SECONDS="0.5",
        EVENT_HANDLING_SECONDS_MAX="90",
        EVENT_PARKED_SECONDS_MAX="3600",
    )
    assert settings == EventSettings(
        threads=8,
        prefetch=30,
        batch_size=250,
        batch_turn_seconds=0.5,
        handling_seconds_max=90.0,
        parked_seconds_max=3600.0,
    )
    assert settings.prefetch_count(has_batches=True) == 30


def test_nothing_that_a_worker_does_at_once_waits_for_a_connection() -> None:
    settings = EventSettings(threads=4)
    assert settings.connections() == 4 + 6
    assert settings.connections(intent_kinds=8) == 4 + 6 + 8 * THREADS_PER_KIND


def test_what_is_fetched_ahead_fits_the_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    assert EventSettings(batch_size=40_000).prefetch_count(has_batches=True) == 65_535


@pytest.mark.parametrize(
    ("name", "value", "bounds"),
    [
        ("EVENT_THREADS", "0", "whole number from 1 to 64"),
        ("EVENT_THREADS", "65", "whole number from 1 to 64"),
        ("EVENT_THREADS", "many", "whole number from 1 to 64"),
        ("EVENT_THREADS", "2.5", "whole number from 1 to 64"),
        ("EVENT_PREFETCH", "3", "whole number from 4 to 65535"),
        ("EVENT_PREFETCH", "65536", "whole number from 4 to 65535"),
        ("EVENT_BATCH_SIZE", "0", "whole number from 1 to 10000"),
        ("EVENT_BATCH_TURN_SECONDS", "0", "number from 0.01 to 60"),
        ("EVENT_BATCH_TURN_SECONDS", "nan", "number from 0.01 to 60"),
        ("EVENT_HANDLING_SECONDS_MAX", "inf", "number from 30 to 1500"),
        ("EVENT_PARKED_SECONDS_MAX", "59", "number from 60 to 31536000"),
    ],
)
def test_what_is_out_of_bounds_is_refused_with_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, bounds: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read(monkeypatch, **{name: value})
    assert str(refused.value) == f"{name} must be a {bounds}"
