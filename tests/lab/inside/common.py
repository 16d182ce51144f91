"""What scenarios of both drivers share: parts of a machine, work in it, and a stopwatch."""

import os
import time
from pathlib import Path
from typing import Any

from cloister.errors import CloisterError
from cloister.isolation.microvm import memory
from cloister.isolation.microvm.link import MachineLink
from cloister.isolation.microvm.vmm import BootParts, Drive, MachineSpec, SavedState
from cloister.isolation.provider import ExecutionContext, ExternalProgram

HARDWARE = MachineSpec(memory_mib=320)
COMMAND_LINE = "quiet edd=off panic=-1 reboot=k cgroup_no_v1=all random.trust_cpu=on"
READY_S = 90.0


def sealed(path: str) -> int:
    descriptor = memory.new_file("part")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        while os.lseek(descriptor, 0, os.SEEK_CUR) < size:
            os.sendfile(descriptor, file.fileno(), None, size)
    memory.seal(descriptor)
    return descriptor


def parts(drives: tuple[Drive, ...] = ()) -> BootParts:
    return BootParts(
        kernel_fd=sealed("/lab/vmlinux"),
        initramfs_fd=sealed("/lab/initramfs"),
        command_line=COMMAND_LINE,
        drives=drives,
    )


class Watch:
    """Milliseconds of each step."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {}
        self._since_s = time.monotonic()

    def step(self, name: str) -> None:
        now_s = time.monotonic()
        self.figures[f"{name} ms"] = round((now_s - self._since_s) * 1000)
        self._since_s = time.monotonic()


def greeted(machine: Any) -> MachineLink:
    link = MachineLink(machine.connect(READY_S))
    link.hello(READY_S)
    return link


def worked(link: MachineLink, number: int) -> None:
    """Set clock and randomness, and run a program."""
    link.adopt(time.time_ns(), os.urandom(64))
    workload = ExternalProgram(argv=("python3", "-c", f"print({number} * 2)"))
    context: Any = ExecutionContext(
        execution_id=str(number),
        capability_id="cloister.exec",
        workload=workload,
        token=None,  # type: ignore[arg-type]
    )
    result = link.execute(context, host=None, on_output=None)
    assert result.stdout == f"{number * 2}\n".encode(), result


def saved(machine: Any) -> SavedState:
    machine.pause()
    memory_fd, state_fd = memory.new_file("memory"), memory.new_file("state")
    machine.save(memory_fd, state_fd)
    memory.seal(memory_fd)
    memory.seal(state_fd)
    return SavedState(memory_fd=memory_fd, state_fd=state_fd, spec=HARDWARE)


def error_of(act: Any, code: str) -> CloisterError:
    try:
        act()
    except CloisterError as error:
        assert error.code == code, error.render()
        return error
    raise AssertionError(f"nothing was refused; {code} was expected")


def left(*places: str) -> list[str]:
    """Return what lies in directories."""
    return sorted(str(path) for place in places if Path(place).exists() for path in Path(place).iterdir())
