"""The machine's kernel: what process 1 asks of it by calls that Python lacks.

Owns mounts, modules, randomness, the loopback device and the end of the machine. Runs in the machine only. Part of the
guest set: standard library only.

Source: mount(2), finit_module(2), random(4), netdevice(7), reboot(2); numbers from
include/uapi/linux/{mount,random,sockios,if,reboot}.h and arch/x86/entry/syscalls/syscall_64.tbl.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from typing import Final

READ_ONLY: Final = 1
NO_SET_ID: Final = 2
NO_DEVICES: Final = 4
NO_EXECUTION: Final = 8
REMOUNT: Final = 32
BIND: Final = 4096
RECURSIVE: Final = 16384
PRIVATE: Final = 1 << 18
MOVE: Final = 8192

_FINIT_MODULE: Final = {"x86_64": 313, "aarch64": 273}
_ADD_ENTROPY: Final = 0x40085203
"""RNDADDENTROPY, `_IOW('R', 0x03, int [2])`."""
_RESEED: Final = 0x5207
"""RNDRESEEDCRNG, `_IO('R', 0x07)`."""
_SET_FLAGS: Final = 0x8914
"""SIOCSIFFLAGS"""
_UP: Final = 1
"""IFF_UP"""
_POWER_OFF: Final = 0x4321FEDC

_libc: Final = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount a file system, or change a mount.

    Raises:
        OSError: The kernel refuses; the name is that of the target.
    """
    words = [word.encode("utf-8", "surrogateescape") for word in (source, target, kind)]
    if _libc.mount(*words, ctypes.c_ulong(flags), options.encode("ascii") or None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


def load_module(path: str) -> None:
    """Load a module. One that is there already is no error.

    Raises:
        OSError: The kernel refuses it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.syscall(_FINIT_MODULE[os.uname().machine], descriptor, b"", 0) != 0:
            number = ctypes.get_errno()
            if number != 17:  # EEXIST
                raise OSError(number, os.strerror(number), path)
    finally:
        os.close(descriptor)


def mix_in(entropy: bytes) -> None:
    """Give the kernel randomness that counts, and have all that is drawn from now on depend on it.

    Raises:
        OSError: The kernel refuses.
    """
    descriptor = os.open("/dev/urandom", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _ADD_ENTROPY, struct.pack("ii", 8 * len(entropy), len(entropy)) + entropy)
        fcntl.ioctl(descriptor, _RESEED)
    finally:
        os.close(descriptor)


def raise_loopback() -> None:
    """Let processes of this network namespace reach each other by 127.0.0.1; there is no other device.

    Raises:
        OSError: The kernel refuses.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as any_socket:
        # struct ifreq: a name of 16 bytes, then a union of 24 that begins with the flags
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sH22x", b"lo", _UP))


def power_off() -> None:
    """End the machine at once; what is in memory is nobody's. Returns only when the kernel refuses."""
    _libc.reboot(ctypes.c_int(_POWER_OFF))
