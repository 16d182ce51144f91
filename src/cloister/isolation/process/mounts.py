"""Building blocks of a sandbox's file system: new file systems, copies of the host's mounts, and where they go.

Owns the system calls for mounts and their constants. A path is never attached as a path: what is attached is a copy of
the opened object. Standard library only; part of the guest set.

Source: mount_setattr(2), open_tree(2), fsopen(2), move_mount(2); numbers from include/uapi/linux/mount.h. The youngest
of these calls came with Linux 5.12.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

from cloister.isolation.process import syscalls
from cloister.isolation.process.calls import Calls

OPEN_TREE_CLONE: Final = 1
OPEN_TREE_CLOEXEC: Final = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH: Final = 0x4
FSOPEN_CLOEXEC: Final = 1
FSCONFIG_SET_STRING: Final = 1
FSCONFIG_CMD_CREATE: Final = 6
FSMOUNT_CLOEXEC: Final = 1
MOUNT_ATTR_RDONLY: Final = 0x1
MOUNT_ATTR_NOSUID: Final = 0x2
MOUNT_ATTR_NODEV: Final = 0x4
MOUNT_ATTR_NOEXEC: Final = 0x8
MS_PRIVATE: Final = 1 << 18
MNT_DETACH: Final = 2

PLAIN: Final = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV
DEVICE: Final = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC
"""For a node of the host. Read-only keeps its mode and times as they are; reading and writing the device still work."""


class _MountAttr(ctypes.Structure):
    """`struct mount_attr` of include/uapi/linux/mount.h."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


def make_filesystem(calls: Calls, kind: str, attributes: int, **options: str) -> int:
    """Return a descriptor of a new, detached mount.

    Args:
        calls: Makes the system calls.
        kind: File system type.
        attributes: MOUNT_ATTR_* flags.
        **options: Its mount options.
    """
    context_fd = calls.open("fsopen", kind, FSOPEN_CLOEXEC)
    for key, value in options.items():
        calls.make("fsconfig", context_fd, FSCONFIG_SET_STRING, key, value, 0)
    calls.make("fsconfig", context_fd, FSCONFIG_CMD_CREATE, None, None, 0)
    mount_fd = calls.open("fsmount", context_fd, FSMOUNT_CLOEXEC, attributes)
    calls.close(context_fd)
    return mount_fd


def make_proc(calls: Calls, *, is_private: bool = True) -> int:
    """Return a detached /proc of the calling process's pid namespace: processes only, nothing of the system.

    Args:
        calls: Makes the system calls.
        is_private: Whether the system's settings are left away; tests have them shown.
    """
    options = {"subset": "pid"} if is_private else {}
    return make_filesystem(calls, "proc", PLAIN | MOUNT_ATTR_NOEXEC, **options)


def copy_of(calls: Calls, directory_fd: int, path: str, flags: int) -> int:
    """Return a detached copy of a mount, or of a part of one.

    Args:
        calls: Makes the system calls.
        directory_fd: Where the path begins.
        path: Of what is copied.
        flags: AT_* flags.
    """
    all_flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags
    return calls.open("open_tree", directory_fd, path, all_flags, about=path or None)


def set_attributes(calls: Calls, mount_fd: int, attributes: int, *, flags: int = 0, propagation: int = 0) -> None:
    """Add attributes to a mount.

    Args:
        calls: Makes the system calls.
        mount_fd: The mount.
        attributes: MOUNT_ATTR_* flags.
        flags: AT_RECURSIVE for all below it, too.
        propagation: MS_PRIVATE, or 0 to leave it.
    """
    wanted = _MountAttr(attr_set=attributes, propagation=propagation)
    calls.make("mount_setattr", mount_fd, "", flags | syscalls.AT_EMPTY_PATH, wanted, ctypes.sizeof(wanted))


def attach(calls: Calls, mount_fd: int, directory_fd: int, path: str) -> None:
    """Attach a detached mount at a path."""
    calls.make("move_mount", mount_fd, "", directory_fd, path, MOVE_MOUNT_F_EMPTY_PATH, about=path)


def attach_copy(calls: Calls, tree_fd: int, directory_fd: int, path: str, attributes: int) -> None:
    """Attach a copy of the host's mounts, and close its descriptor."""
    # Private, so that nothing the host mounts there later appears inside
    set_attributes(calls, tree_fd, attributes, flags=syscalls.AT_RECURSIVE, propagation=MS_PRIVATE)
    attach(calls, tree_fd, directory_fd, path)
    calls.close(tree_fd)
