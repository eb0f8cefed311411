"""Backoff and CircuitBreaker, with a clock that the test moves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperwatch.concurrency.backoff import Backoff, CircuitBreaker


def pauses(backoff: Backoff, count: int) -> list[float]:
    return [backoff.next() for _ in range(count)]


def test_backoff_repeats_its_last_pause() -> None:
    assert pauses(Backoff((0.1, 0.5, 2.0)), 5) == [0.1, 0.5, 2.0, 2.0, 2.0]


def test_backoff_counts_failures() -> None:
    backoff = Backoff((1.0,))
    assert backoff.failures == 0
    pauses(backoff, 3)
    assert backoff.failures == 3


def test_doubling_backoff_stops_at_the_longest_pause() -> None:
    assert pauses(Backoff.doubling(0.5, 15.0), 8) == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0]


@given(st.floats(0.01, 10), st.floats(0.01, 100))
def test_doubling_backoff_never_shrinks_nor_exceeds_limit(first: float, longest: float) -> None:
    seconds = pauses(Backoff.doubling(first, longest), 20)
    assert seconds == sorted(seconds)
    assert seconds[0] == first
    assert seconds[-1] == max(first, longest)


def test_backoff_without_pauses_is_rejected() -> None:
    with pytest.raises(ValueError, match="at least one pause"):
        Backoff(())


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_breaker_is_open_for_its_time_after_failure() -> None:
    clock = Clock()
    breaker = CircuitBreaker(2.0, clock)
    assert not breaker.is_open
    breaker.open()
    clock.now = 101.9
    assert breaker.is_open
    clock.now = 102.0
    assert not breaker.is_open


def test_breaker_opens_again_with_every_failure() -> None:
    clock = Clock()
    breaker = CircuitBreaker(2.0, clock)
    breaker.open()
    clock.now = 102.0
    breaker.open()
    clock.now = 103.9
    assert breaker.is_open


def test_closed_breaker_lets_calls_through() -> None:
    breaker = CircuitBreaker(2.0, Clock())
    breaker.open()
    breaker.close()
    assert not breaker.is_open
