"""Threat: a program that recognises its host by how long it has been up."""

import os
import time

import pytest

from cloister.isolation.process import namespaces

SECOND_NS = 1_000_000_000
CLOCKS = {
    "monotonic": time.CLOCK_MONOTONIC,
    "monotonic raw": time.CLOCK_MONOTONIC_RAW,
    "monotonic coarse": namespaces.CLOCK_MONOTONIC_COARSE,
    "boottime": time.CLOCK_BOOTTIME,
}

pytestmark = pytest.mark.skipif(namespaces.clock_offsets() is None, reason="this kernel has no time namespaces")


def read_all(bench) -> dict[str, int]:
    source = "import json, sys, time; clocks = json.load(sys.stdin)\n"
    source += "print(json.dumps({name: time.clock_gettime_ns(number) for name, number in clocks.items()}))"
    return bench.python(source, CLOCKS | {"realtime": time.CLOCK_REALTIME})


@pytest.fixture
def before() -> dict[str, int]:
    return {name: time.clock_gettime_ns(number) for name, number in CLOCKS.items()}


def test_clocks_begin_with_the_sandbox(before, bench) -> None:
    wall_before_ns = time.time_ns()
    inside = read_all(bench)
    # There was no provider before `before`. A second for the rounding, and what two clocks of the host differ by
    apart_ns = abs(before["monotonic"] - before["monotonic raw"])
    for name, number in CLOCKS.items():
        passed_ns = time.clock_gettime_ns(number) - before[name]
        assert 0 <= inside[name] <= passed_ns + SECOND_NS + apart_ns, name
    assert wall_before_ns <= inside["realtime"] <= time.time_ns()


def test_clocks_run_as_they_do_outside(bench) -> None:
    # Sleeping is until a time of that clock, which the kernel has to translate
    source = "import time; first = time.monotonic_ns(); time.sleep(0.01); print(time.monotonic_ns() - first)"
    before_ns = time.monotonic_ns()
    passed_ns = bench.python(source)
    assert SECOND_NS // 100 <= passed_ns <= time.monotonic_ns() - before_ns


def test_uptime_is_not_shown(bench) -> None:
    source = "import os, json; print(json.dumps([os.path.exists('/proc/uptime'), os.readlink('/proc/self/ns/time')]))"
    is_shown, namespace = bench.python(source)
    assert (is_shown, os.path.exists("/proc/uptime")) == (False, True)  # noqa: PTH110
    assert namespace != os.readlink("/proc/self/ns/time")  # noqa: PTH115


def test_the_first_process_starts_at_the_beginning(bench) -> None:
    # In hundredths of a second; before its zero it would be a very large number
    started = int(bench.program("cut", "-d", " ", "-f", "22", "/proc/1/stat").stdout)
    assert 0 <= started <= time.clock_gettime(time.CLOCK_BOOTTIME) * 100
