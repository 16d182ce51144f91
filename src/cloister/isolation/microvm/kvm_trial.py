"""A trial of /dev/kvm: a machine of one page of instructions, run in a process of its own.

Owns that machine. Some hosts offer a /dev/kvm that creates machines and then emulates every privileged instruction in
software, thousands of times too slowly for a kernel, or refuses some of them. So the trial does what the first moments
of a stock kernel do: real mode, then 64-bit mode with paging at a kernel's addresses, a counted loop, processor
identification, model-specific registers, page table switches, vector registers. Standard library only. Run as a
program, it writes one JSON object; its caller bounds its time. What the instructions themselves have shown is marked,
for it will be so again; that the host had no time or no memory may be otherwise a moment later.

Source: Documentation/virt/kvm/api.rst; arch/x86/include/uapi/asm/kvm.h for the layouts; AMD64 Architecture Programmer's
Manual volume 3 for the instructions.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import signal
import struct
import sys
import time
from collections.abc import Callable
from typing import Any, Final

DEVICE: Final = "/dev/kvm"
API_VERSION: Final = 12
LOOP_COUNT: Final = 20_000_000
"""Milliseconds on hardware, and a tenth of a second where KVM itself runs in an emulator."""
LOOP_LIMIT_S: Final = 2.0
"""Of processor time, which a busy host does not lengthen; instructions count as time of the process that runs them."""
WAIT_LIMIT_S: Final = 10.0
REFUSED: Final = "refused"
"""What is true of a trial whose instructions were executed, and did not do what they do on hardware."""
_PASSING: Final = frozenset({errno.EINTR, errno.ENOMEM, errno.EAGAIN, errno.EBUSY, errno.ENFILE, errno.EMFILE})

_GET_API_VERSION: Final = 0xAE00
_CREATE_VM: Final = 0xAE01
_GET_VCPU_MMAP_SIZE: Final = 0xAE04
_GET_SUPPORTED_CPUID: Final = 0xC008AE05
_CREATE_VCPU: Final = 0xAE41
_SET_USER_MEMORY_REGION: Final = 0x4020AE46
_RUN: Final = 0xAE80
_GET_REGS: Final = 0x8090AE81
_SET_REGS: Final = 0x4090AE82
_GET_SREGS: Final = 0x8138AE83
_SET_SREGS: Final = 0x4138AE84
_SET_CPUID2: Final = 0x4008AE90
_EXITS: Final = {0: "unknown", 2: "io", 5: "hlt", 6: "mmio", 8: "shutdown", 9: "fail entry", 17: "internal error"}
_CPUID_ENTRIES: Final = 256
_CPUID_ENTRY_BYTES: Final = 40

MEMORY_BYTES: Final = 2 * 1024 * 1024
_REAL_CODE: Final = 0x1000
_TABLES: Final = 0x10000
_LONG_CODE: Final = 0x8000
_STACK: Final = 0x7000
_KERNEL_BASE: Final = 0xFFFFFFFF80000000
"""Where Linux maps its own image. Source: Documentation/arch/x86/x86_64/mm.rst."""

_REAL: Final = bytes.fromhex("b04f bae900 ee f4")
"""mov al, 'O'; mov dx, 0xe9; out dx, al; hlt"""
_LONG: Final = b"".join(
    [
        bytes.fromhex("31c0 31c9 0fa2"),  # xor eax, eax; xor ecx, ecx; cpuid
        bytes.fromhex("b9800000c0 0f32 0f30"),  # mov ecx, EFER; rdmsr; wrmsr
        bytes.fromhex("0f20d8 0f22d8"),  # mov rax, cr3; mov cr3, rax
        bytes.fromhex("0f013d00000000"),  # invlpg [rip]
        bytes.fromhex("0f01f8 0f01f8"),  # swapgs; swapgs
        bytes.fromhex("9c 9d"),  # pushfq; popfq
        bytes.fromhex("660fefc0"),  # pxor xmm0, xmm0
        b"\xb9" + struct.pack("<I", LOOP_COUNT),  # mov ecx, count; last, for it takes longest where it is emulated
        bytes.fromhex("ffc9 75fc"),  # dec ecx; jnz back
        bytes.fromhex("b04b 66bae900 ee"),  # mov al, 'K'; mov dx, 0xe9; out dx, al
        b"\xf4",  # hlt
    ]
)

_SEGMENT: Final = struct.Struct("<QIH8B2x")
"""base, limit, selector, type, present, dpl, db, s, l, g, avl and padding: `struct kvm_segment`."""
_SREGS_BYTES: Final = 312
_CONTROL: Final = 8 * 24 + 2 * 16
"""Where cr0, cr2, cr3, cr4, cr8, efer, apic_base begin in `struct kvm_sregs`."""


class _Machine:
    """One machine with one processor."""

    def __init__(self, device: int) -> None:
        self.memory = mmap.mmap(-1, MEMORY_BYTES)
        self._vm = fcntl.ioctl(device, _CREATE_VM, 0)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        fcntl.ioctl(self._vm, _SET_USER_MEMORY_REGION, struct.pack("<IIQQQ", 0, 0, 0, MEMORY_BYTES, address))
        self._cpu = fcntl.ioctl(self._vm, _CREATE_VCPU, 0)
        size = fcntl.ioctl(device, _GET_VCPU_MMAP_SIZE, 0)
        self._run = mmap.mmap(self._cpu, size)
        self._identify(device)

    def _identify(self, device: int) -> None:
        supported = bytearray(8 + _CPUID_ENTRIES * _CPUID_ENTRY_BYTES)
        struct.pack_into("<I", supported, 0, _CPUID_ENTRIES)
        fcntl.ioctl(device, _GET_SUPPORTED_CPUID, supported)
        fcntl.ioctl(self._cpu, _SET_CPUID2, supported)

    def registers(self, *, at: int, stack: int) -> None:
        values = [0] * 18
        values[6], values[16], values[17] = stack, at, 2  # rsp, rip, rflags
        fcntl.ioctl(self._cpu, _SET_REGS, struct.pack("<18Q", *values))

    def address(self) -> int:
        registers = bytearray(18 * 8)
        fcntl.ioctl(self._cpu, _GET_REGS, registers)
        instruction: int = struct.unpack_from("<Q", registers, 16 * 8)[0]
        return instruction

    def special(self, change: Callable[[bytearray], None]) -> None:
        registers = bytearray(_SREGS_BYTES)
        fcntl.ioctl(self._cpu, _GET_SREGS, registers)
        change(registers)
        fcntl.ioctl(self._cpu, _SET_SREGS, bytes(registers))

    def run(self) -> tuple[str, bytes]:
        """Run to the next halt; return why it stopped and what was written to the port on the way."""
        written = b""
        while True:
            fcntl.ioctl(self._cpu, _RUN, 0)
            (reason,) = struct.unpack_from("<I", self._run, 8)
            if reason != 2:
                return _EXITS.get(reason, str(reason)), written
            (offset,) = struct.unpack_from("<Q", self._run, 32 + 8)
            written += self._run[offset : offset + 1]


def _real_mode(machine: _Machine) -> None:
    def flat(registers: bytearray) -> None:
        (_, limit, _, *rest) = _SEGMENT.unpack_from(registers, 0)
        _SEGMENT.pack_into(registers, 0, 0, limit, 0, *rest)

    machine.memory[_REAL_CODE : _REAL_CODE + len(_REAL)] = _REAL
    machine.special(flat)
    machine.registers(at=_REAL_CODE, stack=_STACK)


def _long_mode(machine: _Machine) -> None:
    machine.memory[_LONG_CODE : _LONG_CODE + len(_LONG)] = _LONG
    top, upper, middle = _TABLES, _TABLES + 0x1000, _TABLES + 0x2000
    for table, index, entry in ((top, 511, upper | 3), (upper, 510, middle | 3), (middle, 0, 0 | 0x83)):
        struct.pack_into("<Q", machine.memory, table + 8 * index, entry)  # the last maps 2 MiB at once

    def long(registers: bytearray) -> None:
        code = (0, 0xFFFFFFFF, 0x10, 11, 1, 0, 0, 1, 1, 1, 0)
        data = (0, 0xFFFFFFFF, 0x18, 3, 1, 0, 1, 1, 0, 1, 0)
        _SEGMENT.pack_into(registers, 0, *code)
        for index in range(1, 6):
            _SEGMENT.pack_into(registers, index * 24, *data)
        cr0, cr4, efer = 0x80050033, 0x6A0, 0x500  # paging, write protect; PAE, PGE, vector state; long mode on
        struct.pack_into("<6Q", registers, _CONTROL, cr0, 0, top, cr4, 0, efer)

    machine.special(long)
    machine.registers(at=_KERNEL_BASE + _LONG_CODE, stack=_KERNEL_BASE + _STACK)


def trial(name: str) -> dict[str, Any]:
    """Run the machine on a device.

    Returns:
        `stage`, the last that was begun; `error`, None when all went well; `refused`, whether that is the word of the
        instructions themselves; times, and where instructions stopped.
    """
    facts: dict[str, Any] = {"stage": "open", "error": None}
    is_running = False
    try:
        device = os.open(name, os.O_RDWR | os.O_CLOEXEC)
        facts["stage"] = "create"
        version = fcntl.ioctl(device, _GET_API_VERSION, 0)
        if version != API_VERSION:
            return facts | {"error": f"its interface has version {version}, not {API_VERSION}"}
        for stage, prepare, word in (("real mode", _real_mode, b"O"), ("64-bit mode", _long_mode, b"K")):
            facts["stage"] = stage
            machine = _Machine(device)
            prepare(machine)
            start_s = time.monotonic()
            is_running = True
            reason, written = machine.run()
            is_running = False
            facts[f"{stage} ms"] = round((time.monotonic() - start_s) * 1000, 3)
            if (reason, written) != ("hlt", word):
                facts["stopped at"] = machine.address() - (_REAL_CODE if word == b"O" else _KERNEL_BASE + _LONG_CODE)
                error = f"instructions stopped with {reason!r} after writing {written!r}"
                return facts | {"error": error, REFUSED: True}
    except OSError as error:
        is_slow = error.errno == errno.EINTR and time.process_time() >= LOOP_LIMIT_S
        slow = f"{LOOP_COUNT:,} rounds of a loop take longer than {LOOP_LIMIT_S:g} s: instructions are emulated"
        late = f"instructions did not end in {WAIT_LIMIT_S:g} s, of which they had less than {LOOP_LIMIT_S:g} s"
        text = (slow if is_slow else late) if error.errno == errno.EINTR else (error.strerror or str(error))
        is_refused = is_slow or (is_running and error.errno not in _PASSING)
        return facts | {"error": text, "errno": error.errno, REFUSED: is_refused}
    return facts


def main() -> None:
    """Write what was found; a trial that takes too long is interrupted."""
    for number, timer, limit_s in (
        (signal.SIGPROF, signal.ITIMER_PROF, LOOP_LIMIT_S),
        (signal.SIGALRM, signal.ITIMER_REAL, WAIT_LIMIT_S),
    ):
        signal.signal(number, lambda *_: None)
        signal.setitimer(timer, limit_s, 0.05)
    json.dump(trial(sys.argv[1] if len(sys.argv) > 1 else DEVICE), sys.stdout)


if __name__ == "__main__":
    main()
