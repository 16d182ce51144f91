"""The file system of a sandbox, built by its first process.

Owns every mount: the private root, what of the host is visible in it, and the private writable directory. Each thing
that is mounted gets its rule of Landlock with it. A source is opened without following a single symbolic link and
compared with what the host saw, so nothing swapped in between can be mounted; the opened object itself is cloned, never
its path. Standard library only; part of the guest set.

Source: mount_setattr(2), open_tree(2), fsopen(2), move_mount(2), openat2(2), pivot_root(2); numbers from
include/uapi/linux/mount.h and include/uapi/linux/openat2.h. The youngest of these calls came with Linux 5.12.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from typing import Final

from cloister.isolation.process import syscalls, view
from cloister.isolation.process.landlock import Place, Ruleset
from cloister.isolation.process.mechanisms import Mechanism
from cloister.isolation.process.spec import SCRIPT_PATH, Grant
from cloister.isolation.process.view import HostView
from cloister.limits import MIB, ResourceLimits

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
RESOLVE_NO_MAGICLINKS: Final = 0x02
RESOLVE_NO_SYMLINKS: Final = 0x04
RESOLVE_BENEATH: Final = 0x08

PLAIN: Final = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV
DEVICE: Final = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC
"""For a node of the host. Read-only keeps its mode and times as they are; reading and writing the device still work."""
ROOT_BYTES: Final = 256 * MIB
ROOT_INODES: Final = 4096
"""Bounds of the root itself: mount points, a few small files and the script; read-only before the payload starts."""
OWN_INODES: Final = 2
"""Of the private directory: its root, and the directory for shared memory."""
TERMINALS_MAX: Final = 16
"""Pseudo-terminals of one sandbox; each holds kernel memory that no limit counts."""
KERNEL_FILESYSTEMS: Final = frozenset(
    {"proc", "sysfs", "devtmpfs", "devpts", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "bpf", "mqueue"}
)
"""File systems that show the kernel or other processes; none may come in below a granted directory."""

_PLACES: Final = {
    (False, False): Place.READ,
    (False, True): Place.READ_EXECUTE,
    (True, False): Place.WRITE,
    (True, True): Place.WRITE_EXECUTE,
}
"""What a grant allows: by whether it is writable, and whether programs may be executed."""


class GrantRefused(Exception):
    """A granted path cannot be mounted as it was granted.

    Args:
        path: The host path, or the path inside.
        reason: Why, for a person.
        code: The error number of the kernel, or 0.
    """

    def __init__(self, path: str, reason: str, code: int = 0) -> None:
        super().__init__(reason)
        self.path = path
        self.reason = reason
        self.errno = code


def make_filesystem(kind: str, attributes: int, **options: str) -> int:
    """Return a descriptor of a new, detached mount.

    Args:
        kind: File system type.
        attributes: MOUNT_ATTR_* flags.
        **options: Its mount options.
    """
    context_fd = syscalls.fsopen(kind, FSOPEN_CLOEXEC)
    try:
        for key, value in options.items():
            syscalls.fsconfig(context_fd, FSCONFIG_SET_STRING, key, value)
        syscalls.fsconfig(context_fd, FSCONFIG_CMD_CREATE)
        return syscalls.fsmount(context_fd, FSMOUNT_CLOEXEC, attributes)
    finally:
        os.close(context_fd)


def make_proc(*, is_private: bool = True) -> int:
    """Return a detached /proc of the calling process's pid namespace: processes only, nothing of the system.

    Args:
        is_private: Whether the system's settings are left away; tests have them shown.
    """
    options = {"subset": "pid"} if is_private else {}
    return make_filesystem("proc", PLAIN | MOUNT_ATTR_NOEXEC, **options)


class Root:
    """The root under construction: a tmpfs that is already attached, so that others can be attached below it.

    Args:
        ruleset: Gets a rule for everything that is mounted.
        without: Mechanisms that tests leave out.
    """

    def __init__(self, ruleset: Ruleset, without: frozenset[Mechanism] = frozenset()) -> None:
        self._ruleset = ruleset
        self._without = without
        self._fd = make_filesystem("tmpfs", PLAIN, size=str(ROOT_BYTES), nr_inodes=str(ROOT_INODES), mode="0755")
        # Over the old root, where a directory is sure to be; lookups from the old root do not meet it
        syscalls.move_mount(self._fd, syscalls.AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH)
        self._own_devices = {os.fstat(self._fd).st_dev}

    def add_system(self, host_view: HostView, proc_fd: int) -> None:
        """Add what every executed program sees: system files, /dev and /proc."""
        for name in host_view.directories:
            os.mkdir(name, 0o755, dir_fd=self._fd)
        # For everything below, too. Whatever a program sees it may read, so this shows names of directories only
        self._ruleset.allow(self._fd, Place.LIST, is_directory=True)
        self._allow_below("etc", Place.READ)
        self._allow_below("dev", Place.DEVICE)
        for bind in host_view.binds:
            if not bind.is_directory:
                self._make_file(bind.name)
            # What is in /etc is in a place that is for reading already
            self._bind(bind.source, bind.name, None if bind.name.startswith("etc/") else bind.is_directory)
        for name, content in host_view.links:
            os.symlink(content, name, dir_fd=self._fd)
        for name, data in host_view.files:
            os.close(self._write(name, data))
        for name in view.DEVICES if Mechanism.MINIMAL_DEV not in self._without else (*view.DEVICES, "tty"):
            self._add_device(name)
        syscalls.move_mount(proc_fd, self._fd, "proc", MOVE_MOUNT_F_EMPTY_PATH)
        self._ruleset.allow(proc_fd, Place.READ, is_directory=True)

    def _allow_below(self, name: str, place: Place) -> None:
        """Allow what is usual at a kind of place below one of the root's own directories, whatever is mounted there."""
        directory_fd = os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=self._fd)
        self._ruleset.allow(directory_fd, place, is_directory=True)
        os.close(directory_fd)

    def add_runtime(self, paths: Sequence[str]) -> None:
        """Add what an interpreter outside the system's directories needs."""
        for path in paths:
            is_directory = _is_directory(path)
            self._make_directory(path[1:] if is_directory else path[1:].rpartition("/")[0])
            if not is_directory:
                self._make_file(path[1:])
            self._bind(path, path[1:], is_directory)

    def add_script(self, text: str) -> None:
        """Add the script, which cannot be changed."""
        self._add_script(text.encode("utf-8", "surrogatepass"))

    def add_script_to_come(self) -> int:
        """Add an empty script, and return the only descriptor by which it can be written.

        It is opened through another mount of the same file system, which is attached nowhere and stays writable.
        """
        self._add_script(b"")
        tree_fd = syscalls.open_tree(self._fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | syscalls.AT_EMPTY_PATH)
        try:
            return os.open(SCRIPT_PATH[1:], os.O_WRONLY | os.O_CLOEXEC, dir_fd=tree_fd)
        finally:
            os.close(tree_fd)

    def _add_script(self, data: bytes) -> None:
        descriptor = self._write(SCRIPT_PATH[1:], data)
        self._ruleset.allow(descriptor, Place.READ, is_directory=False)
        os.close(descriptor)

    def add_private_directory(self, limits: ResourceLimits) -> None:
        """Add /tmp: writable, with a quota, shared with /dev/shm, gone with the sandbox."""
        quota = {"size": str(limits.disk_bytes), "nr_inodes": str(limits.inodes_count + OWN_INODES)}
        if Mechanism.QUOTA in self._without:
            quota = {}
        private_fd = make_filesystem("tmpfs", PLAIN, mode="1777", **quota)
        os.mkdir(".shm", 0o1777, dir_fd=private_fd)
        self._own_devices.add(os.fstat(private_fd).st_dev)
        self._make_directory("tmp")
        syscalls.move_mount(private_fd, self._fd, "tmp", MOVE_MOUNT_F_EMPTY_PATH)
        self._ruleset.allow(private_fd, Place.WRITE_EXECUTE, is_directory=True)
        os.close(private_fd)

    def add_terminals(self) -> None:
        """Add pseudo-terminals of the sandbox's own: nobody else's can be named in it, and its own nowhere else.

        Source: Documentation/filesystems/devpts.rst: every mount is an instance of its own; the host's /dev/tty is
        whatever terminal controls the process that opens it.
        """
        terminals_fd = make_filesystem(
            "devpts", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, ptmxmode="0666", mode="0620", max=str(TERMINALS_MAX)
        )
        self._make_directory("dev/pts")
        syscalls.move_mount(terminals_fd, self._fd, "dev/pts", MOVE_MOUNT_F_EMPTY_PATH)
        self._ruleset.allow(terminals_fd, Place.TERMINAL, is_directory=True)
        os.close(terminals_fd)
        os.symlink("pts/ptmx", "dev/ptmx", dir_fd=self._fd)
        if Mechanism.MINIMAL_DEV not in self._without:
            self._add_device("tty", Place.TERMINAL)

    def add_grants(self, granted: Sequence[Grant], *, can_execute: bool) -> None:
        """Add granted host paths, outer ones first.

        Args:
            granted: The paths.
            can_execute: Whether programs there may be executed.

        Raises:
            GrantRefused: When one is not what the host saw, or has no place inside.
        """
        grants = sorted(granted, key=lambda grant: grant.target.count("/"))
        if grants:
            _refuse_kernel_mounts([grant.source for grant in grants])
        for grant in grants:
            self._add_grant(grant, can_execute)

    def _add_grant(self, grant: Grant, can_execute: bool) -> None:
        try:
            source_fd = _open_source(grant.source, follows=Mechanism.SAFE_BINDS in self._without)
        except OSError as error:
            raise GrantRefused(grant.source, _source_reason(error), error.errno or 0) from error
        try:
            seen = os.fstat(source_fd)
            if (seen.st_dev, seen.st_ino) != (grant.device, grant.inode):
                raise GrantRefused(grant.source, "it was replaced by something else after it was granted")
            self._make_target(grant)
            attributes = PLAIN if grant.is_writable else PLAIN | MOUNT_ATTR_RDONLY
            self._attach(source_fd, grant.target[1:], attributes)
            place = _PLACES[grant.is_writable, can_execute]
            self._ruleset.allow(source_fd, place, is_directory=grant.is_directory)
        finally:
            os.close(source_fd)

    def _make_target(self, grant: Grant) -> None:
        """Make the place for a grant in the sandbox's own file systems, never in a granted directory of the host."""
        parts = grant.target[1:].split("/")
        for depth in range(1, len(parts) + 1):
            path = "/".join(parts[:depth])
            is_file = depth == len(parts) and not grant.is_directory
            if self._is_there(path, grant):
                continue
            if os.stat(path.rpartition("/")[0] or ".", dir_fd=self._fd).st_dev not in self._own_devices:
                raise GrantRefused(grant.target, "its place lies in another granted directory and is missing there")
            self._make_file(path) if is_file else os.mkdir(path, 0o755, dir_fd=self._fd)

    def _is_there(self, path: str, grant: Grant) -> bool:
        try:
            found = syscalls.openat2(
                self._fd, path, os.O_PATH | os.O_CLOEXEC, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_BENEATH
            )
        except FileNotFoundError:
            return False
        except OSError as error:
            raise GrantRefused(grant.target, "its place inside is behind a symbolic link or a file") from error
        os.close(found)
        return True

    def finish(self) -> None:
        """Make the root read-only, and the only thing there is."""
        if Mechanism.READ_ONLY_ROOT not in self._without:
            syscalls.mount_setattr(self._fd, 0, PLAIN | MOUNT_ATTR_RDONLY)
        os.fchdir(self._fd)
        os.close(self._fd)
        if Mechanism.PRIVATE_ROOT in self._without:
            return
        syscalls.pivot_root(".", ".")
        syscalls.umount2(".", MNT_DETACH)
        os.chdir("/")

    def _bind(self, source: str, name: str, is_directory: bool | None) -> None:
        """Show a path of the system. It belongs to the system or to the interpreter, so nothing is compared.

        Args:
            source: Where it is on the host.
            name: Where it is to be found, which is there already.
            is_directory: Whether the rule for it is that of a directory; None for no rule.
        """
        tree_fd = syscalls.open_tree(
            syscalls.AT_FDCWD,
            source,
            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | syscalls.AT_SYMLINK_NOFOLLOW | syscalls.AT_RECURSIVE,
        )
        if is_directory is not None:
            self._ruleset.allow(tree_fd, Place.READ_EXECUTE, is_directory=is_directory)
        self._attach_tree(tree_fd, name, PLAIN | MOUNT_ATTR_RDONLY)

    def _add_device(self, name: str, place: Place | None = None) -> None:
        """Show a device of the host.

        Args:
            name: Of it, below /dev.
            place: What may be done beside what is allowed for everything in /dev.
        """
        self._make_file(f"dev/{name}")
        tree_fd = syscalls.open_tree(
            syscalls.AT_FDCWD, f"/dev/{name}", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | syscalls.AT_SYMLINK_NOFOLLOW
        )
        if place is not None:
            self._ruleset.allow(tree_fd, place, is_directory=False)
        self._attach_tree(tree_fd, f"dev/{name}", DEVICE)

    def _attach(self, source_fd: int, name: str, attributes: int) -> None:
        # All submounts come along, because the kernel lets no one look under them
        tree_fd = syscalls.open_tree(
            source_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | syscalls.AT_EMPTY_PATH | syscalls.AT_RECURSIVE
        )
        self._attach_tree(tree_fd, name, attributes)

    def _attach_tree(self, tree_fd: int, name: str, attributes: int) -> None:
        try:
            # Private, so that nothing the host mounts there later appears inside
            syscalls.mount_setattr(tree_fd, syscalls.AT_RECURSIVE, attributes, MS_PRIVATE)
            syscalls.move_mount(tree_fd, self._fd, name, MOVE_MOUNT_F_EMPTY_PATH)
        finally:
            os.close(tree_fd)

    def _make_directory(self, name: str) -> None:
        """Make a directory and those above it, where they are not there yet."""
        try:
            os.mkdir(name, 0o755, dir_fd=self._fd)
        except FileExistsError:
            return
        except FileNotFoundError:
            self._make_directory(name.rpartition("/")[0])
            os.mkdir(name, 0o755, dir_fd=self._fd)

    def _make_file(self, name: str) -> None:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=self._fd))

    def _write(self, name: str, data: bytes) -> int:
        """Make a file; return the descriptor of it."""
        descriptor = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=self._fd)
        while data:
            data = data[os.write(descriptor, data) :]
        return descriptor


def _is_directory(path: str) -> bool:
    return stat.S_ISDIR(os.lstat(path).st_mode)


def _open_source(path: str, *, follows: bool) -> int:
    resolve = 0 if follows else RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
    return syscalls.openat2(syscalls.AT_FDCWD, path, os.O_PATH | os.O_CLOEXEC, resolve)


def _source_reason(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "a symbolic link is in its place"
    return f"it cannot be opened ({os.strerror(error.errno or 0)})"


def _refuse_kernel_mounts(sources: list[str]) -> None:
    """Refuse sources that have the host's /proc or the like below them; those would come in with the rest.

    Source: proc_pid_mountinfo(5): field 5 is the mount point, octal escapes in it; the type follows the lone hyphen.
    """
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:  # noqa: PTH123
        for line in table:
            fields = line.split(" ")
            if fields[fields.index("-") + 1] not in KERNEL_FILESYSTEMS:
                continue
            for source in sources:
                if fields[4].startswith(source.replace(" ", "\\040") + "/"):
                    raise GrantRefused(source, f"{fields[4]} below it shows the host's kernel or processes")
