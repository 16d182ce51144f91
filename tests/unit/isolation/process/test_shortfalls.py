"""What a machine may lack, and the level that is declared then."""

import pytest

from cloister.authority.level import IsolationLevel
from cloister.isolation.process import landlock, shortfalls
from cloister.isolation.process.shortfalls import Strength

FULL = Strength(landlock_abi=landlock.FULL_ABI, clocks_hindrance=None)


def test_nothing_is_missing() -> None:
    assert (FULL.level, FULL.shortfalls, FULL.has_time_namespaces) == (IsolationLevel.PROCESS, (), True)
    newer = Strength(landlock_abi=99, clocks_hindrance=None)
    assert (newer.level, newer.shortfalls) == (IsolationLevel.PROCESS, ())


@pytest.mark.parametrize("abi", range(landlock.FULL_ABI))
def test_an_older_landlock_lowers_the_level(abi: int) -> None:
    old = Strength(landlock_abi=abi, clocks_hindrance=None)
    assert old.level is IsolationLevel.PROCESS_REDUCED
    (shortfall,) = old.shortfalls
    assert "Landlock" in shortfall.missing
    assert f"ABI {abi}" in shortfall.missing or abi == 0
    assert shortfall.remedy.startswith("Linux 6.12 or newer")
    assert ("lsm=" in shortfall.remedy) == (abi == 0)


def test_no_time_namespaces_lower_the_level() -> None:
    without = Strength(landlock_abi=landlock.FULL_ABI, clocks_hindrance=("it is so", "do this"))
    assert (without.level, without.has_time_namespaces) == (IsolationLevel.PROCESS_REDUCED, False)
    (shortfall,) = without.shortfalls
    assert ("it is so" in shortfall.missing, shortfall.remedy) == (True, "do this")


def test_all_that_is_missing_is_named() -> None:
    assert len(Strength(landlock_abi=0, clocks_hindrance=("x", "y")).shortfalls) == 2


def test_levels_are_in_order() -> None:
    assert IsolationLevel.NONE < IsolationLevel.PROCESS_REDUCED < IsolationLevel.PROCESS < IsolationLevel.WASM
    assert IsolationLevel.PROCESS_REDUCED.label == "process-reduced"


def test_this_machine_is_looked_at() -> None:
    assert shortfalls.look().landlock_abi == landlock.abi()
