"""An engine for the tests of this directory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cloister.isolation.wasm.engine import Engine


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close()
