"""What is counted as a machine's own memory: what it has changed of a snapshot, not what it only reads."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cloister.isolation.microvm import usage
from cloister.isolation.microvm.vmm import VmmUsage
from cloister.limits import MIB

SIZE = 64 * MIB
MACHINE = """
import mmap, os, sys
size, written, flags = map(int, sys.argv[1:])
descriptor = os.memfd_create("snapshot")
for _ in range(size >> 20):
    os.write(descriptor, b"x" * (1 << 20))
memory = mmap.mmap(descriptor, size, flags)
for place in range(0, size, mmap.PAGESIZE):
    memory[place]
for place in range(0, written, mmap.PAGESIZE):
    memory[place] = 0
print("ready", flush=True)
input()
"""
MAP_SHARED, MAP_PRIVATE = 1, 2
SLACK = 24 * MIB
"""For the interpreter itself."""


@contextmanager
def machine(written: int, flags: int) -> Iterator[int]:
    argv = [sys.executable, "-ISEc", MACHINE, str(SIZE), str(written), str(flags)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.communicate(b"\n")


def test_what_is_only_read_of_a_snapshot_is_not_its_own() -> None:
    with machine(0, MAP_PRIVATE) as pid:
        measured = usage.of(pid)
    assert measured.private_bytes is not None
    assert measured.private_bytes < SLACK
    assert measured.resident_bytes is not None
    assert measured.resident_bytes > SIZE


@pytest.mark.parametrize("written", [SIZE // 2, SIZE])
def test_what_it_has_changed_is_its_own(written: int) -> None:
    with machine(written, MAP_PRIVATE) as pid:
        private_bytes = usage.of(pid).private_bytes
    assert private_bytes is not None
    assert written <= private_bytes < written + SLACK


def test_memory_from_which_it_can_be_saved_is_its_own() -> None:
    with machine(0, MAP_SHARED) as pid:
        private_bytes = usage.of(pid, owns_shared=True).private_bytes
    assert private_bytes is not None
    assert SIZE <= private_bytes < SIZE + SLACK


def test_nothing_is_known_of_a_process_that_is_not_there() -> None:
    assert usage.of(None) == VmmUsage()
    with machine(0, MAP_PRIVATE) as pid:
        pass
    assert usage.of(pid) == VmmUsage()
