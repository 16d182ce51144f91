"""System calls that Python has no function for.

Owns their numbers and their calling convention, nothing of their meaning to a sandbox. Every function raises OSError
whose `filename` is the name of the system call. Standard library only; part of the guest set.

Source: the kernel's `include/uapi/asm-generic/unistd.h` (aarch64) and `arch/x86/entry/syscalls/syscall_64.tbl`
(x86_64); argument orders from man-pages 6.x section 2.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
from collections.abc import Callable
from typing import Any, Final

_NUMBERS: Final[dict[str, dict[str, int]]] = {
    "x86_64": {
        "capset": 126, "pivot_root": 155, "prctl": 157, "umount2": 166, "unshare": 272, "setns": 308,
        "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "clone3": 435,
        "close_range": 436, "openat2": 437, "mount_setattr": 442, "landlock_create_ruleset": 444,
        "landlock_add_rule": 445, "landlock_restrict_self": 446,
    },
    "aarch64": {
        "capset": 91, "pivot_root": 41, "prctl": 167, "umount2": 39, "unshare": 97, "setns": 268,
        "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "clone3": 435,
        "close_range": 436, "openat2": 437, "mount_setattr": 442, "landlock_create_ruleset": 444,
        "landlock_add_rule": 445, "landlock_restrict_self": 446,
    },
}  # fmt: skip
"""System call numbers by `uname -m`."""

# PyDLL keeps the interpreter lock while it calls: these processes have one thread, and a clone must not lose the lock.
_LIBC: Final = ctypes.PyDLL(None, use_errno=True)
_OF_THIS_MACHINE: Final = _NUMBERS.get(platform.machine(), {})

AT_FDCWD: Final = -100
"""include/uapi/linux/fcntl.h"""
AT_SYMLINK_NOFOLLOW: Final = 0x100
AT_EMPTY_PATH: Final = 0x1000
AT_RECURSIVE: Final = 0x8000


def is_known_machine() -> bool:
    """Return whether the system call numbers of this machine are in the table."""
    return bool(_OF_THIS_MACHINE)


def _prepared(name: str, *types: Any) -> Callable[..., int]:
    """Return a system call as a function that raises OSError. Types are converted in C, which is fast."""
    function = _LIBC["syscall"]  # by item, so that each has its own types
    function.restype = ctypes.c_long
    function.argtypes = [ctypes.c_long, *types]
    number = _OF_THIS_MACHINE.get(name, -1)  # -1 is answered with ENOSYS

    def call(*arguments: Any) -> int:
        result: int = function(number, *arguments)
        if result < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), name)
        return result

    return call


_INT: Final = ctypes.c_int
_LONG: Final = ctypes.c_ulong
_TEXT: Final = ctypes.c_char_p
_POINTER: Final = ctypes.c_void_p

_clone3 = _prepared("clone3", _POINTER, _LONG)
_close_range = _prepared("close_range", _INT, _INT, _INT)
_open_tree = _prepared("open_tree", _INT, _TEXT, _INT)
_move_mount = _prepared("move_mount", _INT, _TEXT, _INT, _TEXT, _INT)
_fsopen = _prepared("fsopen", _TEXT, _INT)
_fsconfig = _prepared("fsconfig", _INT, _INT, _TEXT, _TEXT, _INT)
_fsmount = _prepared("fsmount", _INT, _INT, _INT)
_mount_setattr = _prepared("mount_setattr", _INT, _TEXT, _INT, _POINTER, _LONG)
_openat2 = _prepared("openat2", _INT, _TEXT, _POINTER, _LONG)
_pivot_root = _prepared("pivot_root", _TEXT, _TEXT)
_umount2 = _prepared("umount2", _TEXT, _INT)
_capset = _prepared("capset", _POINTER, _POINTER)
_prctl = _prepared("prctl", _INT, _LONG, _LONG, _LONG, _LONG)
_unshare = _prepared("unshare", _INT)
_setns = _prepared("setns", _INT, _INT)
_landlock_create_ruleset = _prepared("landlock_create_ruleset", _TEXT, _LONG, _INT)
_landlock_add_rule = _prepared("landlock_add_rule", _INT, _INT, _TEXT, _INT)
_landlock_restrict_self = _prepared("landlock_restrict_self", _INT, _INT)


def prctl(operation: int, argument: int = 0, pointer: int = 0) -> int:
    """Change or return an attribute of the calling process (prctl, section 2 of the manual)."""
    return _prctl(operation, argument, pointer, 0, 0)


def prctl_each(operation: int, count: int) -> None:
    """Do the same to each of the first `count` arguments, from 0 on."""
    for argument in range(count):
        _prctl(operation, argument, 0, 0, 0)


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
    """Forks the calling process, which must have one thread, into new namespaces, for its parent to wait for.

    Python's hooks for forks are not run. They are for what other threads may have held at that moment, and each of them
    would make the child copy pages of memory. What can be made before is, for the same reason: whatever is written to
    after a clone is a page that is copied.

    Args:
        flags: The namespaces.
    """

    __slots__ = ("_arguments", "_flags", "_reference", "_size")

    def __init__(self, flags: int) -> None:
        self._flags = flags | CLONE_PARENT
        self._arguments = _CloneArgs()
        self._reference = ctypes.byref(self._arguments)
        self._size = ctypes.sizeof(self._arguments)

    def __call__(self, group_fd: int = -1) -> int:
        """Clone.

        Args:
            group_fd: Descriptor of the control group of version 2 to start it in; -1 for the caller's.

        Returns:
            The process id of the clone; 0 in the clone. The parent is told of its end as it is of the caller's.
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
    """Return a path as the kernel takes it: what `os.fsencode` would, and it looks at its argument less."""
    return path.encode("utf-8", "surrogateescape")


def open_tree(directory_fd: int, path: str, flags: int) -> int:
    """Return a descriptor of a mount, or of a detached copy of it (open_tree, section 2 of the manual)."""
    return _open_tree(directory_fd, _encoded(path), flags)


def move_mount(source_fd: int, target_fd: int, target: str, flags: int) -> None:
    """Attach the detached mount `source_fd` at `target` (move_mount, section 2 of the manual)."""
    _move_mount(source_fd, b"", target_fd, _encoded(target), flags)


def fsopen(filesystem: str, flags: int) -> int:
    """Return a context for making a file system (fsopen, section 2 of the manual)."""
    return _fsopen(filesystem.encode(), flags)


def fsconfig(context_fd: int, command: int, key: str | None = None, value: str | None = None) -> None:
    """Set a parameter of a file system or make it (fsconfig, section 2 of the manual)."""
    words = [None if word is None else word.encode() for word in (key, value)]
    _fsconfig(context_fd, command, *words, 0)


def fsmount(context_fd: int, flags: int, attributes: int) -> int:
    """Return a detached mount of a file system (fsmount, section 2 of the manual)."""
    return _fsmount(context_fd, flags, attributes)


class _MountAttr(ctypes.Structure):
    """`struct mount_attr` of include/uapi/linux/mount.h."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


_MOUNT_ATTR_BYTES: Final = ctypes.sizeof(_MountAttr)


@functools.lru_cache
def _mount_attr(attributes: int, propagation: int) -> _MountAttr:
    return _MountAttr(attr_set=attributes, propagation=propagation)


def mount_setattr(mount_fd: int, flags: int, attributes: int, propagation: int = 0) -> None:
    """Add attributes to a mount, and to all below it with AT_RECURSIVE (mount_setattr, section 2 of the manual)."""
    wanted = _mount_attr(attributes, propagation)
    _mount_setattr(mount_fd, b"", flags | AT_EMPTY_PATH, ctypes.byref(wanted), _MOUNT_ATTR_BYTES)


class _OpenHow(ctypes.Structure):
    """`struct open_how` of include/uapi/linux/openat2.h."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("flags", "mode", "resolve")]


def openat2(directory_fd: int, path: str, flags: int, resolve: int) -> int:
    """Open a path with restricted resolution (openat2, section 2 of the manual)."""
    how = _OpenHow(flags=flags, resolve=resolve)
    return _openat2(directory_fd, _encoded(path), ctypes.byref(how), ctypes.sizeof(how))


def pivot_root(new_root: str, put_old: str) -> None:
    """Exchange the root mount (pivot_root, section 2 of the manual)."""
    _pivot_root(_encoded(new_root), _encoded(put_old))


def umount2(target: str, flags: int) -> None:
    """Detach a mount (umount2, section 2 of the manual)."""
    _umount2(_encoded(target), flags)


class _CapHeader(ctypes.Structure):
    """`struct __user_cap_header_struct` of include/uapi/linux/capability.h."""

    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _CapData(ctypes.Structure):
    """Two `struct __user_cap_data_struct`, as version 3 has them."""

    _fields_ = [("words", ctypes.c_uint32 * 6)]


_CAPABILITY_VERSION_3: Final = 0x20080522


def clear_capabilities() -> None:
    """Empty the effective, permitted and inheritable sets (capset, section 2 of the manual)."""
    _capset(ctypes.byref(_CapHeader(version=_CAPABILITY_VERSION_3, pid=0)), ctypes.byref(_CapData()))


def unshare(flags: int) -> None:
    """Make new namespaces for the calling process, or for its children (unshare, section 2 of the manual)."""
    _unshare(flags)


def setns(namespace_fd: int, kind: int) -> None:
    """Enter a namespace of the kind CLONE_NEW* (setns, section 2 of the manual)."""
    _setns(namespace_fd, kind)


def landlock_create_ruleset(attributes: bytes | None, flags: int) -> int:
    """Return a descriptor of a new ruleset, or what the flags ask for (landlock_create_ruleset, section 2)."""
    return _landlock_create_ruleset(attributes, 0 if attributes is None else len(attributes), flags)


def landlock_add_rule(ruleset_fd: int, kind: int, attributes: bytes) -> None:
    """Add a rule to a ruleset (landlock_add_rule, section 2 of the manual)."""
    _landlock_add_rule(ruleset_fd, kind, attributes, 0)


def landlock_restrict_self(ruleset_fd: int, flags: int) -> None:
    """Hold the calling thread and all it starts to a ruleset, for good (landlock_restrict_self, section 2)."""
    _landlock_restrict_self(ruleset_fd, flags)
