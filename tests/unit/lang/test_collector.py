"""Pausing the garbage collector: only for the block, and only when it was running."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from cloister.errors import ReadError
from cloister.lang.collector import paused_collector
from cloister.lang.reader import LARGE_CHARS, read
from cloister.lang.source import Source


@pytest.fixture(autouse=True)
def running() -> Iterator[None]:
    gc.enable()
    yield
    gc.enable()


def test_it_pauses_for_the_block_and_whatever_ends_it() -> None:
    with paused_collector():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ReadError):
        read(Source("plan", "(" + "a " * LARGE_CHARS))
    assert gc.isenabled()


def test_it_stays_off_where_it_was_off() -> None:
    gc.disable()
    with paused_collector():
        assert not gc.isenabled()
    assert not gc.isenabled()
