"""The circuit breaker opens after failures in a row and lets one call try again."""

from payments_gateway.adapters.revio.circuit_breaker import (
    FAILURES_UNTIL_OPEN,
    OPEN_SECONDS,
    CircuitBreaker,
)


class Seconds:
    """A clock in the test's hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def opened(seconds: Seconds) -> CircuitBreaker:
    breaker = CircuitBreaker(monotonic=seconds)
    for _ in range(FAILURES_UNTIL_OPEN):
        assert breaker.allows()
        breaker.failed()
    return breaker


def test_failures_in_a_row_open_it_and_a_success_between_them_does_not() -> None:
    breaker = CircuitBreaker(monotonic=Seconds())
    for _ in range(FAILURES_UNTIL_OPEN - 1):
        breaker.failed()
    breaker.succeeded()
    breaker.failed()
    assert breaker.allows()


def test_while_open_nothing_passes() -> None:
    seconds = Seconds()
    breaker = opened(seconds)
    seconds.now += OPEN_SECONDS - 1
    assert not breaker.allows()


def test_half_open_one_passes_and_its_success_closes() -> None:
    seconds = Seconds()
    breaker = opened(seconds)
    seconds.now += OPEN_SECONDS
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    breaker.succeeded()
    assert breaker.allows()
    assert breaker.allows()


def test_half_open_its_failure_opens_again() -> None:
    seconds = Seconds()
    breaker = opened(seconds)
    seconds.now += OPEN_SECONDS
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()
    seconds.now += OPEN_SECONDS
    assert breaker.allows()


def test_a_probe_that_never_reports_back_gives_up_its_turn() -> None:
    seconds = Seconds()
    breaker = opened(seconds)
    seconds.now += OPEN_SECONDS
    assert breaker.allows()
    seconds.now += OPEN_SECONDS
    assert breaker.allows()


def test_who_wants_to_know_is_told() -> None:
    told: list[bool] = []
    breaker = CircuitBreaker(monotonic=Seconds(), on_change=told.append)
    for _ in range(FAILURES_UNTIL_OPEN):
        breaker.failed()
    breaker.succeeded()
    assert told == [True, False]
