"""How many examples a property is tried with, and which.

`make test` tries the same ones every time, so that a failure is the fault of the change at hand; `make explore` tries
other ones each time, and more of them.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Final

from hypothesis import HealthCheck, settings

TIMES: Final = int(os.environ.get("EXPLORE_TIMES", "0"))
"""How many times as many examples to try, new ones; 0 for the same ones as always."""


def examples(count: int = 100, suppress: Collection[HealthCheck] = ()) -> settings:
    """Return the settings of a property that `make test` tries with `count` examples."""
    return settings(
        max_examples=count * max(TIMES, 1),
        derandomize=not TIMES,
        deadline=None,
        database=None,
        suppress_health_check=tuple(HealthCheck) if TIMES else tuple(suppress),
        print_blob=True,
    )
