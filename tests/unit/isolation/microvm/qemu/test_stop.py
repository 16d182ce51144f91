"""A machine is stopped once, whoever asks: its descriptors may be somebody else's afterwards."""

import socket
import threading
import time

import pytest

from cloister.isolation.microvm import memory
from cloister.isolation.microvm.qemu.machine import QemuMachine
from cloister.limits import MIB


class Process:
    """A VMM that takes a moment to end."""

    def __init__(self) -> None:
        self.inside_count = 0
        self.most_count = 0

    def stop(self) -> None:
        self.inside_count += 1
        self.most_count = max(self.most_count, self.inside_count)
        time.sleep(0.01)
        self.inside_count -= 1


class Control:
    def close(self) -> None:
        pass


@pytest.fixture
def filled_fd() -> int:
    """Memory that takes a while to give back."""
    descriptor = memory.new_file("machine", 32 * MIB)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(b"x" * (32 * MIB))
    return descriptor


@pytest.mark.parametrize("_", range(5))
def test_threads_that_stop_a_machine_at_once_close_nothing_twice(filled_fd, _) -> None:
    process = Process()
    ours, theirs = socket.socketpair()
    machine = QemuMachine(process, Control(), ours, filled_fd)  # type: ignore[arg-type]
    failures: list[OSError] = []

    def stop() -> None:
        try:
            machine.stop()
        except OSError as error:
            failures.append(error)

    stopping = [threading.Thread(target=stop) for _ in range(4)]
    for each in stopping:
        each.start()
    for each in stopping:
        each.join()
    assert (failures, process.most_count) == ([], 1)
    with theirs:
        assert theirs.recv(1) == b""
