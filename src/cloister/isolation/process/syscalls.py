"""System calls that Python has no function for.

Owns their numbers and their calling convention, nothing of their meaning to a sandbox. Every function raises OSError
whose `filename` is the name of the system call. Standard library only; part of the guest set.

Source: the kernel's `include/uapi/asm-generic/unistd.h` (aarch64) and `arch/x86/entry/syscalls/syscall_64.tbl`
(x86_64); argument orders from man-pages 6.x section 2.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Final

_NUMBERS: Final[dict[str, dict[str, int]]] = {
    "x86_64": {
        "read": 0, "write": 1, "close": 3, "pread64": 17, "sendmsg": 46, "uname": 63, "getuid": 102, "getsid": 124,
        "mknodat": 259, "faccessat": 269, "chdir": 80, "fchdir": 81, "setsid": 112, "capset": 126, "setpriority": 141,
        "pivot_root": 155, "prctl": 157, "umount2": 166, "sethostname": 170, "openat": 257, "mkdirat": 258,
        "symlinkat": 266, "readlinkat": 267, "unshare": 272, "dup3": 292, "prlimit64": 302, "setns": 308,
        "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "clone3": 435,
        "close_range": 436, "openat2": 437, "mount_setattr": 442, "landlock_create_ruleset": 444,
        "landlock_add_rule": 445, "landlock_restrict_self": 446,
    },
    "aarch64": {
        "read": 63, "write": 64, "close": 57, "pread64": 67, "sendmsg": 211, "uname": 160, "getuid": 174, "getsid": 156,
        "mknodat": 33, "faccessat": 48, "chdir": 49, "fchdir": 50, "setsid": 157, "capset": 91, "setpriority": 140,
        "pivot_root": 41, "prctl": 167, "umount2": 39, "sethostname": 161, "openat": 56, "mkdirat": 34, "symlinkat": 36,
        "readlinkat": 78, "unshare": 97, "dup3": 24, "prlimit64": 261, "setns": 268,
        "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "clone3": 435,
        "close_range": 436, "openat2": 437, "mount_setattr": 442, "landlock_create_ruleset": 444,
        "landlock_add_rule": 445, "landlock_restrict_self": 446,
    },
}  # fmt: skip
"""System call numbers by `uname -m`."""

# PyDLL keeps the interpreter lock while it calls: these processes have one thread, and a clone must not lose the lock.
_LIBC: Final = ctypes.PyDLL(None, use_errno=True)
_LIBC_UNLOCKED: Final = ctypes.CDLL(None, use_errno=True)
"""Gives the lock back while it calls, for what a slow file system may keep waiting while other threads go on."""
_OF_THIS_MACHINE: Final = _NUMBERS.get(platform.machine(), {})

AT_FDCWD: Final = -100
"""include/uapi/linux/fcntl.h"""
AT_SYMLINK_NOFOLLOW: Final = 0x100
AT_EMPTY_PATH: Final = 0x1000
AT_RECURSIVE: Final = 0x8000
RESOLVE_NO_MAGICLINKS: Final = 0x02
"""include/uapi/linux/openat2.h"""
RESOLVE_NO_SYMLINKS: Final = 0x04
RESOLVE_BENEATH: Final = 0x08


def is_known_machine() -> bool:
    """Return whether the system call numbers of this machine are in the table."""
    return bool(_OF_THIS_MACHINE)


def number_of(name: str) -> int:
    """Return the number of a system call here; -1, which the kernel answers with ENOSYS, where it is not known."""
    return _OF_THIS_MACHINE.get(name, -1)


invoke = _LIBC["syscall"]
"""Makes a system call: its number and six numbers or addresses; returns what the kernel says, -1 for a failure with
`ctypes.get_errno()`."""
invoke.restype = ctypes.c_long
invoke.argtypes = [ctypes.c_long] * 7

invoke_near = _LIBC["syscall"]
"""The same for at most five numbers and addresses of 32 bits. Nothing is converted: half the time."""
invoke_near.restype = ctypes.c_long

NEAR_AT: Final = 1 << 30
NEAR_BYTES: Final = 1 << 20
_PROT_READ_WRITE: Final = 3
_MAP_PRIVATE_ANONYMOUS_FIXED_NOREPLACE: Final = 0x02 | 0x20 | 0x100000
"""include/uapi/asm-generic/mman-common.h and mman.h; a kernel before 4.17 takes the address for a wish."""


class _NearMemory:
    """Memory whose addresses have 32 bits, for what is given to the kernel again and again.

    It is never given back. Where that part of the address space is taken, there is none.
    """

    def __init__(self) -> None:
        self._free_from = NEAR_AT
        self._end = NEAR_AT

    def take(self, size: int) -> int | None:
        """Return the address of so many bytes, all of them 0; None when there is no more."""
        if self._end == NEAR_AT:
            self._map()
        start = self._free_from
        if start + size > self._end:
            return None
        self._free_from = (start + size + 15) & ~15
        return start

    def _map(self) -> None:
        mmap = _LIBC["mmap"]
        mmap.restype = ctypes.c_void_p
        mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
        found = mmap(NEAR_AT, NEAR_BYTES, _PROT_READ_WRITE, _MAP_PRIVATE_ANONYMOUS_FIXED_NOREPLACE, -1, 0)
        self._end = NEAR_AT + NEAR_BYTES if found == NEAR_AT else NEAR_AT + 1


_NEAR: Final = _NearMemory()


def memory(size: int) -> ctypes.Array[ctypes.c_char]:
    """Return memory for the kernel to read or write, all of it 0; near, where there is some."""
    kind = ctypes.c_char * size
    address = _NEAR.take(size)
    return kind() if address is None else kind.from_address(address)


def _prepared(name: str, *types: Any, library: ctypes.CDLL = _LIBC) -> Callable[..., int]:
    """Return a system call as a function that raises OSError. Types are converted in C, which is fast."""
    function = library["syscall"]  # by item, so that each has its own types
    function.restype = ctypes.c_long
    function.argtypes = [ctypes.c_long, *types]

    def checked(result: int, _function: object, _arguments: object) -> int:
        if result < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), name)
        return result

    function.errcheck = checked  # type: ignore[assignment]  # typeshed wants it to take the function by its class
    return partial(function, number_of(name))


_INT: Final = ctypes.c_int
_LONG: Final = ctypes.c_ulong
_TEXT: Final = ctypes.c_char_p
_POINTER: Final = ctypes.c_void_p

_clone3 = _prepared("clone3", _POINTER, _LONG)
_close_range = _prepared("close_range", _INT, _INT, _INT)
_openat2 = _prepared("openat2", _INT, _TEXT, _POINTER, _LONG, library=_LIBC_UNLOCKED)
_prctl = _prepared("prctl", _INT, _LONG, _LONG, _LONG, _LONG)


def prctl(operation: int, argument: int = 0, pointer: int = 0) -> int:
    """Change or return an attribute of the calling process (prctl, section 2 of the manual)."""
    return _prctl(operation, argument, pointer, 0, 0)


class _CloneArgs(ctypes.Structure):
    """`struct clone_args` of include/uapi/linux/sched.h, up to its third published size (Linux 5.7)."""

    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            "flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls", "set_tid",
            "set_tid_size", "cgroup",
        )
    ]  # fmt: skip


CLONE_PARENT: Final = 0x8000
"""include/uapi/linux/sched.h"""
CLONE_INTO_CGROUP: Final = 0x200000000


class Clone:
    """Forks the calling process, which must have one thread, into new namespaces.

    Python's hooks for forks are not run. They are for what other threads may have held at that moment, and each of them
    would make the child copy pages of memory. What can be made before is, for the same reason: whatever is written to
    after a clone is a page that is copied.

    Args:
        flags: The namespaces.
        is_sibling: Whether the caller's parent is to wait for it, and not the caller; process 1 has none.
    """

    __slots__ = ("_arguments", "_flags", "_reference", "_size")

    def __init__(self, flags: int, *, is_sibling: bool = True) -> None:
        self._flags = flags | CLONE_PARENT if is_sibling else flags
        self._arguments = _CloneArgs(exit_signal=0 if is_sibling else signal.SIGCHLD)
        self._reference = ctypes.byref(self._arguments)
        self._size = ctypes.sizeof(self._arguments)

    def __call__(self, group_fd: int = -1) -> int:
        """Clone.

        Args:
            group_fd: Descriptor of the control group of version 2 to start it in; -1 for the caller's.

        Returns:
            The process id of the clone; 0 in the clone. A parent of both is told of its end as it is of the caller's.
        """
        self._arguments.flags = self._flags if group_fd < 0 else self._flags | CLONE_INTO_CGROUP
        self._arguments.cgroup = max(0, group_fd)
        return _clone3(self._reference, self._size)


LAST_FD: Final = 0x7FFFFFFF
"""A descriptor that is not below any."""


def close_range(first: int, last: int) -> None:
    """Close every descriptor from `first` to `last`."""
    _close_range(first, last, 0)


def _encoded(path: str) -> bytes:
    """Return a path as the kernel takes it: what `os.fsencode` would, and it looks at its argument less.

    Raises:
        ValueError: No path can be so: it holds NUL, where the kernel would stop reading, or a lone surrogate.
    """
    if "\0" in path:
        raise ValueError("embedded null character in a path")
    return path.encode("utf-8", "surrogateescape")


class _OpenHow(ctypes.Structure):
    """`struct open_how` of include/uapi/linux/openat2.h."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("flags", "mode", "resolve")]


_OPEN_HOW_BYTES: Final = ctypes.sizeof(_OpenHow)


@lru_cache(maxsize=32)
def _open_how(flags: int, resolve: int) -> Any:
    """Return how a file is opened, as the kernel takes it; it only reads it, so one of a kind will do."""
    return ctypes.byref(_OpenHow(flags=flags, resolve=resolve))


def openat2(directory_fd: int, path: str, flags: int, resolve: int) -> int:
    """Open a path with restricted resolution (openat2, section 2 of the manual)."""
    return _openat2(directory_fd, _encoded(path), _open_how(flags, resolve), _OPEN_HOW_BYTES)
