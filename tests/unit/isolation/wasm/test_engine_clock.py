"""The clock of an engine: it goes on while there is a guest, rests when there was none for a while, and wakes."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from cloister.errors import ProviderError
from cloister.isolation.wasm.engine import Ticker

PATIENCE_S = 20


class CountingEngine:
    """In the place of wasmtime's engine: lets tests wait for what its clock does."""

    def __init__(self) -> None:
        self.ticks_count = 0
        self._ticked = threading.Condition()

    def increment_epoch(self) -> None:
        with self._ticked:
            self.ticks_count += 1
            self._ticked.notify_all()

    def await_ticks(self, count: int) -> None:
        wanted = self.ticks_count + count
        self.await_that(lambda: self.ticks_count >= wanted)

    def await_that(self, holds: Callable[[], bool]) -> None:
        with self._ticked:
            # With a bound on each wait: what is waited for may happen after the last tick
            for _ in range(PATIENCE_S * 100):
                if holds():
                    return
                self._ticked.wait(0.01)
        raise AssertionError("it did not happen")


def test_the_clock_goes_on_while_there_is_a_guest() -> None:
    engine = CountingEngine()
    ticker = Ticker(engine, rest_after_ticks=0)
    with ticker.running():
        engine.await_ticks(3)
        assert repr(ticker) == "Ticker(1 users, ticking)"
    ticker.close()


def test_the_clock_rests_without_guests_and_wakes_for_each_that_comes() -> None:
    engine = CountingEngine()
    ticker = Ticker(engine, rest_after_ticks=2)
    for _ in range(3):
        with ticker.running():
            engine.await_ticks(1)
        engine.await_that(lambda: repr(ticker) == "Ticker(0 users, resting)")
    ticker.close()


def test_a_guest_that_is_gone_at_once_wakes_the_clock_too() -> None:
    engine = CountingEngine()
    ticker = Ticker(engine, rest_after_ticks=0)
    for _ in range(3):
        before = engine.ticks_count
        with ticker.running():
            pass
        engine.await_that(lambda before=before: engine.ticks_count > before)  # type: ignore[misc]
        engine.await_that(lambda: repr(ticker) == "Ticker(0 users, resting)")
    ticker.close()


def test_a_resting_clock_can_be_closed() -> None:
    engine = CountingEngine()
    ticker = Ticker(engine, rest_after_ticks=0)
    with ticker.running():
        pass
    engine.await_that(lambda: repr(ticker) == "Ticker(0 users, resting)")
    ticker.close()
    assert repr(ticker) == "Ticker(0 users, closed)"
    assert ticker._thread is not None
    assert not ticker._thread.is_alive()
    with pytest.raises(ProviderError), ticker.running():
        pass


def test_a_guest_that_still_runs_keeps_a_closed_clock_going() -> None:
    engine = CountingEngine()
    ticker = Ticker(engine)
    with ticker.running():
        ticker.close()
        engine.await_ticks(2)
    assert ticker._thread is not None
    ticker._thread.join(PATIENCE_S)
    assert not ticker._thread.is_alive()
