"""The outer machine: a Debian kernel under QEMU's emulation, in which KVM works, and a loop that runs scenarios."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cloister
from cloister.isolation.microvm.image import agent, base
from cloister.isolation.microvm.image.apt import Apt
from cloister.isolation.microvm.image.cpio import CpioWriter
from cloister.isolation.microvm.image.debian import DebianSource
from cloister.isolation.microvm.image.elf import ElfFile
from cloister.isolation.microvm.image.kernel import vmlinux_of
from cloister.isolation.microvm.image.tree import Tree

INSIDE = Path(__file__).parent / "inside"
KVM_MODULES = ("irqbypass", "kvm", "kvm-amd")
MEMORY_MIB = 4096
TSC_KHZ = 2_000_000
BOOT_TIMEOUT_S = 240
SCENARIO_TIMEOUT_S = 300
LEFT_OUT = re.compile(r"/__pycache__/|/(?:cli|editor|repl)/")


def build(place: Path, programs: Mapping[str, Path], packages: Path) -> None:
    """Write kernel and initramfs of the outer machine; the inner one's lie in it, in `/lab`.

    Args:
        place: Directory to write to.
        programs: What to put into `/usr/bin`, by name; a name with a slash is a path.
        packages: Debian's packages are kept there.
    """
    guest_set = agent.guest_set()
    with DebianSource(Apt(packages)) as source, Tree() as inner, Tree() as outer:
        shipped = source.kernel()
        kernel = vmlinux_of(shipped.data, shipped.name)
        (place / "vmlinux").write_bytes(kernel)
        base.fill(inner, source, shipped.release, guest_set)
        written(inner, place / "inner.cpio")
        base.fill(outer, source, shipped.release, guest_set)
        outer.remove("init")
        outer.add_file("init", [(INSIDE / "init.py").read_bytes()], 0o755)
        for name in KVM_MODULES:
            outer.add_file(f"lab/modules/{KVM_MODULES.index(name)}-{name}.ko", [source.module(name) or b""])
        outer.add_file("lab/vmlinux", [kernel])
        outer.add_file("lab/initramfs", [(place / "inner.cpio").read_bytes()])
        for path in sorted(INSIDE.glob("*.py")):
            outer.add_file(f"lab/{path.name}", [path.read_bytes()])
        _add_package(outer)
        _add_programs(outer, source, programs)
        written(outer, place / "outer.cpio")


def written(tree: Tree, path: Path) -> None:
    with path.open("xb") as file:
        CpioWriter(file).write_tree(tree)


def _add_package(tree: Tree) -> None:
    top = Path(cloister.__file__).parent
    for path in sorted(top.rglob("*.py")):
        if not LEFT_OUT.search(str(path)):
            tree.add_file(f"lab/src/cloister/{path.relative_to(top)}", [path.read_bytes()])


def _add_programs(tree: Tree, source: DebianSource, programs: Mapping[str, Path]) -> None:
    for name, path in programs.items():
        data = path.read_bytes()
        tree.add_file(name if "/" in name else f"usr/bin/{name}", [data], 0o755)
        for library in ElfFile(data, name).needed() if data.startswith(b"\x7fELF") else ():
            found = source.shared_library(library)
            if found is not None and found[0] not in tree:
                tree.add_file(found[0], [found[1]], 0o755)


class Outer:
    """The running outer machine."""

    def __init__(self, place: Path) -> None:
        ours, theirs = socket.socketpair()
        self.console = place / "console.log"
        words = f"console=ttyS0 quiet tsc_early_khz={TSC_KHZ} lpj={TSC_KHZ * 4} edd=off panic=-1 reboot=k"
        command = [
            "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-M", "microvm,rtc=on,acpi=on,pic=off,pit=off,isa-serial=on",
            "-accel", "tcg,tb-size=256", "-cpu", "EPYC,+svm,+npt", "-m", str(MEMORY_MIB), "-smp", "1",
            "-serial", f"file:{self.console}",
            "-kernel", str(place / "vmlinux"), "-initrd", str(place / "outer.cpio"), "-append", words,
            "-chardev", f"socket,id=agent,fd={theirs.fileno()}",
            "-device", "virtio-serial-device,max_ports=2", "-device", "virtserialport,chardev=agent,name=agent",
        ]  # fmt: skip
        with theirs:
            self.process = subprocess.Popen(
                command, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        self.connection = ours
        self.boot_s = self._await_ready()

    def _await_ready(self) -> float:
        start_s = time.monotonic()
        self.connection.settimeout(BOOT_TIMEOUT_S)
        answer = self._receive()
        assert answer == {"ready": True, "kvm": True}, (answer, self.console.read_text(errors="replace")[-2000:])
        return time.monotonic() - start_s

    def run(self, module: str, scenario: str, environment: Mapping[str, str]) -> dict[str, Any]:
        """Run a scenario; return its `ok`, `figures`, and `output` with the traceback of what failed."""
        self.connection.settimeout(SCENARIO_TIMEOUT_S)
        data = json.dumps({"module": module, "scenario": scenario, "environment": dict(environment)}).encode()
        self.connection.sendall(struct.pack(">I", len(data)) + data)
        return self._receive()

    def _receive(self) -> dict[str, Any]:
        (size,) = struct.unpack(">I", self._exactly(4))
        answer: dict[str, Any] = json.loads(self._exactly(size))
        return answer

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.connection.recv(count - len(data))
            assert part, "the outer machine ended: " + self.console.read_text(errors="replace")[-2000:]
            data += part
        return data

    def close(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.wait()


def needed_programs() -> Iterator[str]:
    """Yield why the outer machine cannot be, one reason for each thing that is missing."""
    for program, package in (("qemu-system-x86_64", "qemu-system-x86"), ("apt-get", "apt")):
        if shutil.which(program) is None:
            yield f"there is no {program} (package {package})"
    if os.uname().machine != "x86_64":
        yield "the lab is for x86_64"
