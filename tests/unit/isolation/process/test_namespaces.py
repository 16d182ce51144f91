"""The clocks of a time namespace, in processes that make one."""

import json
import os
import time
from pathlib import Path

import pytest

from cloister.isolation.process import namespaces
from cloister.isolation.process.calls import AT_ONCE
from cloister.isolation.process.mechanisms import Mechanism

SECOND_NS = 1_000_000_000

pytestmark = pytest.mark.skipif(namespaces.clock_offsets() is None, reason="this kernel has no time namespaces")


def clocks() -> dict[str, int]:
    return {"monotonic": time.monotonic_ns(), "boottime": time.clock_gettime_ns(time.CLOCK_BOOTTIME)}


def after(*acts) -> dict[str, int]:
    """Return the clocks of a process that has done something, with the capabilities of a new user namespace."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            AT_ONCE.make("unshare", namespaces.CLONE_FLAGS[Mechanism.USER_NAMESPACE])
            for act in acts:
                act()
            os.write(theirs, json.dumps(clocks()).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    os.waitpid(child, 0)
    answer = os.read(ours, 1000)
    os.close(ours)
    return json.loads(answer)


def restart() -> None:
    offsets = namespaces.clock_offsets()
    assert offsets is not None
    namespaces.restart_clocks(offsets)


def set_ahead() -> None:
    """Enter a namespace whose clocks are ahead of the machine's."""
    AT_ONCE.make("unshare", namespaces.CLONE_NEWTIME)
    Path(namespaces.CLOCK_OFFSETS).write_text("monotonic 5000 700000000\nboottime 6000 700000000\n")
    namespace_fd = os.open("/proc/self/ns/time_for_children", os.O_RDONLY)
    AT_ONCE.make("setns", namespace_fd, namespaces.CLONE_NEWTIME)


def test_clocks_are_restarted() -> None:
    before = clocks()
    untouched, restarted = after(), after(restart)
    passed = {name: now - before[name] for name, now in clocks().items()}
    apart_ns = abs(time.monotonic_ns() - time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW))
    for name, value in before.items():
        assert untouched[name] >= value
        assert 0 <= restarted[name] <= passed[name] + SECOND_NS + apart_ns


def test_clocks_are_restarted_inside_another_namespace() -> None:
    before = clocks()
    ahead, restarted = after(set_ahead), after(set_ahead, restart)
    passed = {name: now - before[name] for name, now in clocks().items()}
    apart_ns = abs(time.monotonic_ns() - time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW))
    for name, value in before.items():
        assert ahead[name] >= value + 5000 * SECOND_NS
        assert 0 <= restarted[name] <= passed[name] + SECOND_NS + apart_ns
