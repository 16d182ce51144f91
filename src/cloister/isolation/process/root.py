"""The file system of a sandbox.

Owns the private root, what of the host's system is visible in it, and the private writable directory. Each thing that
is mounted gets its rule of Landlock with it. Standard library only; part of the guest set.

Source: pivot_root(2), tmpfs(5), Documentation/filesystems/devpts.rst.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Sequence
from typing import Final

from cloister.isolation.process import mounts, syscalls, view
from cloister.isolation.process.calls import Calls
from cloister.isolation.process.landlock import Place, Ruleset
from cloister.isolation.process.mechanisms import Mechanism
from cloister.isolation.process.mounts import (
    DEVICE,
    MNT_DETACH,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    PLAIN,
)
from cloister.isolation.process.spec import SCRIPT_PATH
from cloister.isolation.process.view import HostView
from cloister.limits import MIB, ResourceLimits

ROOT_BYTES: Final = 256 * MIB
ROOT_INODES: Final = 4096
"""Bounds of the root itself: mount points, a few small files and the script; read-only before the payload starts."""
OWN_INODES: Final = 2
"""Of the private directory: its root, and the directory for shared memory."""
TERMINALS_MAX: Final = 16
"""Pseudo-terminals of one sandbox; each holds kernel memory that no limit counts."""

PRIVATE: Final = "tmp"
"""The private directory, below the root."""
_NEW_FILE: Final = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC


class Root:
    """The root under construction: a tmpfs that is already attached, so that others can be attached below it.

    Args:
        calls: Makes the system calls.
        ruleset: Gets a rule for everything that is mounted.
        without: Mechanisms that tests leave out.

    Attributes:
        calls: Makes those that follow.
        ruleset: As above.
        without: As above.
        fd: The root directory.
    """

    def __init__(self, calls: Calls, ruleset: Ruleset, without: frozenset[Mechanism] = frozenset()) -> None:
        self.calls = calls
        self.ruleset = ruleset
        self.without = without
        size = {"size": str(ROOT_BYTES), "nr_inodes": str(ROOT_INODES)}
        self.fd = mounts.make_filesystem(calls, "tmpfs", PLAIN, mode="0755", **size)
        # Over the old root, where a directory is sure to be; lookups from the old root do not meet it
        mounts.attach(calls, self.fd, syscalls.AT_FDCWD, "/")

    def add_system(self, host_view: HostView, proc_fd: int) -> None:
        """Add what every executed program sees: system files, /dev and /proc."""
        for name in host_view.directories:
            self.calls.make("mkdirat", self.fd, name, 0o755, about=name)
        # For everything below, too. Whatever a program sees it may read, so this shows names of directories only
        self.ruleset.allow(self.fd, Place.LIST, is_directory=True)
        self._allow_below("etc", Place.READ)
        self._allow_below("dev", Place.DEVICE)
        for bind in host_view.binds:
            if not bind.is_directory:
                self.make_file(bind.name)
            # What is in /etc is in a place that is for reading already
            self._bind(bind.source, bind.name, None if bind.name.startswith("etc/") else bind.is_directory)
        for name, content in host_view.links:
            self.calls.make("symlinkat", content, self.fd, name, about=name)
        for name, data in host_view.files:
            self.make_file(name, data)
        for name in view.DEVICES if Mechanism.MINIMAL_DEV not in self.without else (*view.DEVICES, "tty"):
            self._add_device(name)
        mounts.attach(self.calls, proc_fd, self.fd, "proc")
        self.ruleset.allow(proc_fd, Place.READ, is_directory=True)

    def _allow_below(self, name: str, place: Place) -> None:
        """Allow what is usual at a kind of place below one of the root's own directories, whatever is mounted there."""
        directory_fd = self.calls.open("openat", self.fd, name, os.O_PATH | os.O_CLOEXEC)
        self.ruleset.allow(directory_fd, place, is_directory=True)
        self.calls.close(directory_fd)

    def add_runtime(self, paths: Sequence[str]) -> None:
        """Add what an interpreter outside the system's directories needs."""
        for path in paths:
            is_directory = _is_directory(path)
            self._make_directory(path[1:] if is_directory else path[1:].rpartition("/")[0])
            if not is_directory:
                self.make_file(path[1:])
            self._bind(path, path[1:], is_directory)

    def add_script(self, text: str) -> None:
        """Add the script, which cannot be changed."""
        self._add_script(text.encode("utf-8", "surrogatepass"))

    def add_script_to_come(self) -> int:
        """Add an empty script, and return the only descriptor by which it can be written.

        It is opened through another mount of the same file system, which is attached nowhere and stays writable.
        """
        self._add_script(b"")
        tree_fd = mounts.copy_of(self.calls, self.fd, "", syscalls.AT_EMPTY_PATH)
        script_fd = self.calls.open("openat", tree_fd, SCRIPT_PATH[1:], os.O_WRONLY | os.O_CLOEXEC)
        self.calls.close(tree_fd)
        return script_fd

    def _add_script(self, data: bytes) -> None:
        descriptor = self._new_file(SCRIPT_PATH[1:], data)
        self.ruleset.allow(descriptor, Place.READ, is_directory=False)
        self.calls.close(descriptor)

    def add_private_directory(self, limits: ResourceLimits) -> None:
        """Add /tmp: writable, with a quota, shared with /dev/shm, gone with the sandbox."""
        quota = {"size": str(limits.disk_bytes), "nr_inodes": str(limits.inodes_count + OWN_INODES)}
        if Mechanism.QUOTA in self.without:
            quota = {}
        private_fd = mounts.make_filesystem(self.calls, "tmpfs", PLAIN, mode="1777", **quota)
        self.calls.make("mkdirat", private_fd, ".shm", 0o1777)
        mounts.attach(self.calls, private_fd, self.fd, PRIVATE)
        self.ruleset.allow(private_fd, Place.WRITE_EXECUTE, is_directory=True)
        self.calls.close(private_fd)

    def add_terminals(self) -> None:
        """Add pseudo-terminals of the sandbox's own: nobody else's can be named in it, and its own nowhere else.

        Source: Documentation/filesystems/devpts.rst: every mount is an instance of its own; the host's /dev/tty is
        whatever terminal controls the process that opens it.
        """
        options = {"ptmxmode": "0666", "mode": "0620", "max": str(TERMINALS_MAX)}
        terminals_fd = mounts.make_filesystem(self.calls, "devpts", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, **options)
        self._make_directory("dev/pts")
        mounts.attach(self.calls, terminals_fd, self.fd, "dev/pts")
        self.ruleset.allow(terminals_fd, Place.TERMINAL, is_directory=True)
        self.calls.close(terminals_fd)
        self.calls.make("symlinkat", "pts/ptmx", self.fd, "dev/ptmx")
        if Mechanism.MINIMAL_DEV not in self.without:
            self._add_device("tty", Place.TERMINAL)

    def add_kvm(self) -> None:
        """Add /dev/kvm. What can be asked of it is decided by the system call filter of its lane."""
        self._add_device("kvm", Place.TERMINAL)

    def own_devices(self) -> set[int]:
        """Return the numbers of the file systems that are the sandbox's own."""
        found = {os.fstat(self.fd).st_dev}
        with contextlib.suppress(FileNotFoundError):  # guests have no private directory
            found.add(os.stat(PRIVATE, dir_fd=self.fd, follow_symlinks=False).st_dev)
        return found

    def finish(self) -> None:
        """Make the root read-only, and the only thing there is."""
        if Mechanism.READ_ONLY_ROOT not in self.without:
            mounts.set_attributes(self.calls, self.fd, PLAIN | MOUNT_ATTR_RDONLY)
        self.calls.make("fchdir", self.fd)
        self.calls.close(self.fd)
        if Mechanism.PRIVATE_ROOT in self.without:
            return
        self.calls.make("pivot_root", ".", ".")
        self.calls.make("umount2", ".", MNT_DETACH)
        self.calls.make("chdir", "/")

    def _bind(self, source: str, name: str, is_directory: bool | None) -> None:
        """Show a path of the system. It belongs to the system or to the interpreter, so nothing is compared.

        Args:
            source: Where it is on the host.
            name: Where it is to be found, which is there already.
            is_directory: Whether the rule for it is that of a directory; None for no rule.
        """
        flags = syscalls.AT_SYMLINK_NOFOLLOW | syscalls.AT_RECURSIVE
        tree_fd = mounts.copy_of(self.calls, syscalls.AT_FDCWD, source, flags)
        if is_directory is not None:
            self.ruleset.allow(tree_fd, Place.READ_EXECUTE, is_directory=is_directory)
        mounts.attach_copy(self.calls, tree_fd, self.fd, name, PLAIN | MOUNT_ATTR_RDONLY)

    def _add_device(self, name: str, place: Place | None = None) -> None:
        """Show a device of the host.

        Args:
            name: Of it, below /dev.
            place: What may be done beside what is allowed for everything in /dev.
        """
        self.make_file(f"dev/{name}")
        tree_fd = mounts.copy_of(self.calls, syscalls.AT_FDCWD, f"/dev/{name}", syscalls.AT_SYMLINK_NOFOLLOW)
        if place is not None:
            self.ruleset.allow(tree_fd, place, is_directory=False)
        mounts.attach_copy(self.calls, tree_fd, self.fd, f"dev/{name}", DEVICE)

    def _make_directory(self, name: str) -> None:
        """Make a directory and those above it, where they are not there yet."""
        try:
            os.mkdir(name, 0o755, dir_fd=self.fd)
        except FileExistsError:
            return
        except FileNotFoundError:
            self._make_directory(name.rpartition("/")[0])
            os.mkdir(name, 0o755, dir_fd=self.fd)

    def make_file(self, name: str, data: bytes = b"") -> None:
        """Make a file, which must not be there."""
        self.calls.close(self._new_file(name, data))

    def _new_file(self, name: str, data: bytes) -> int:
        descriptor = self.calls.open("openat", self.fd, name, _NEW_FILE, 0o644, about=name)
        if data:
            self.calls.make("write", descriptor, data, len(data), answer=len(data), about=name)
        return descriptor


def _is_directory(path: str) -> bool:
    return stat.S_ISDIR(os.lstat(path).st_mode)
