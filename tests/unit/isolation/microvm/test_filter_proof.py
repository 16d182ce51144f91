"""Filters in force are told from filters that let everything through, on real processes."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloister.errors import ProviderUnavailable
from cloister.isolation.microvm import filter_proof
from cloister.isolation.microvm.bpf_reading import (
    INSTRUCTION,
    RET_ALLOW,
    Call,
    UnknownInstruction,
    answer,
    is_let_through,
)

ARCH = 0xC000003E
KILL, ERRNO = 0x80000000, 0x00050001
ALLOW_ALL = [(0x06, 0, 0, RET_ALLOW)]
ALLOW_SOME = [
    (0x20, 0, 0, 4),  # the architecture
    (0x15, 1, 0, ARCH),
    (0x06, 0, 0, KILL),
    (0x20, 0, 0, 0),  # the number
    (0x15, 7, 0, 41),  # socket
    (0x35, 0, 5, 56),  # clone and above
    (0x15, 4, 0, 202),  # futex: Python's threads cannot do without
    (0x15, 3, 0, 230),  # clock_nanosleep
    (0x15, 2, 0, 60),  # exit
    (0x15, 1, 0, 231),  # exit_group
    (0x06, 0, 0, ERRNO),
    (0x06, 0, 0, RET_ALLOW),
    (0x20, 0, 0, 16),  # the first argument
    (0x15, 0, 1, 1),  # AF_UNIX
    (0x06, 0, 0, RET_ALLOW),
    (0x06, 0, 0, ERRNO),
]

FILTERED = """
import ctypes, struct, sys, threading, time
steps = bytes.fromhex(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
room = ctypes.create_string_buffer(steps)
program = struct.pack("=HxxxxxxQ", len(steps) // 8, ctypes.addressof(room))
def install():
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, program, 0, 0) == 0, ctypes.get_errno()
if sys.argv[2] == "one":
    threading.Thread(target=lambda: (install(), time.sleep(60)), daemon=True).start()
    time.sleep(0.2)
elif sys.argv[2] == "all":
    install()
print("ready", flush=True)
sys.stdin.read(1)
"""

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or platform.machine() != "x86_64", reason="filters are handed out to root alone; x86_64"
)


def packed(steps: list[tuple[int, int, int, int]]) -> bytes:
    return b"".join(INSTRUCTION.pack(*step) for step in steps)


@pytest.fixture
def start() -> Iterator[object]:
    started: list[subprocess.Popen[bytes]] = []

    def begin(steps: list[tuple[int, int, int, int]], where: str) -> int:
        process = subprocess.Popen(
            [sys.executable, "-c", FILTERED, packed(steps).hex(), where], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process.pid

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("call", "is_allowed"),
    [
        (Call(0, ARCH), True), (Call(59, ARCH), False), (Call(60, ARCH), True), (Call(0, 0x40000003), False),
        (Call(41, ARCH, (1,)), True), (Call(41, ARCH, (2,)), False), (Call(55, ARCH), True), (Call(322, ARCH), False),
    ],
)  # fmt: skip
def test_a_filter_is_evaluated_as_the_kernel_does(call: Call, is_allowed: bool) -> None:
    assert is_let_through([packed(ALLOW_SOME)], call) is is_allowed


def test_the_strictest_of_several_counts_and_none_lets_everything_through() -> None:
    assert not is_let_through([packed(ALLOW_ALL), packed(ALLOW_SOME)], Call(59, ARCH))
    assert is_let_through([], Call(59, ARCH))


@pytest.mark.parametrize(
    "steps", [[], [(0x28, 0, 0, 0), *ALLOW_ALL], [(0x20, 0, 0, 62), *ALLOW_ALL], [(0x05, 0, 0, 9)]]
)
def test_what_cannot_be_evaluated_is_an_error(steps: list[tuple[int, int, int, int]]) -> None:
    with pytest.raises(UnknownInstruction):
        answer(packed(steps), Call(0, ARCH))


@needs_root
def test_a_filter_that_refuses_is_proven(start) -> None:
    proof = filter_proof.prove(start(ALLOW_SOME, "all"))
    assert "execve" in proof.refused
    assert len(proof.threads) == 1


@needs_root
@pytest.mark.parametrize(
    ("steps", "where", "words"),
    [
        (ALLOW_ALL, "all", "lets execve, execveat"), (ALLOW_SOME, "none", "under no system call filter"),
        (ALLOW_SOME, "one", "under no system call filter"),
    ],
)  # fmt: skip
def test_a_filter_that_does_not_is_not(start, steps: list[tuple[int, int, int, int]], where: str, words: str) -> None:
    with pytest.raises(ProviderUnavailable, match=words) as caught:
        filter_proof.prove(start(steps, where))
    assert caught.value.code == "provider.confinement"


@needs_root
def test_the_process_goes_on_afterwards(start) -> None:
    pid = start(ALLOW_SOME, "all")
    filter_proof.prove(pid)
    filter_proof.prove(pid)
    assert "TracerPid:\t0\n" in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
