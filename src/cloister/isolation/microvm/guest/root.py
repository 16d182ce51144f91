"""What programs in a machine see: a root of their own, made of the base system or of the payload drive.

Owns how it is put together before anything foreign runs, and what is added for one execution: granted files, which come
as streams, and the size of the private directory. Runs in the machine only. Part of the guest set: standard library
only.
"""

from __future__ import annotations

import os
import stat
from typing import Final

from cloister.isolation.microvm.guest import kernel
from cloister.isolation.process.calls import AT_ONCE
from cloister.limits import ResourceLimits

ROOT: Final = "/run/payload"
STORES: Final = "/run/granted"
"""Granted files, each in a file system of its own, from where they are shown below the root."""
DRIVE: Final = "/payload"
CAPABILITIES: Final = "/capabilities"
USER_ID: Final = 1000
GROUP_ID: Final = 1000
HOST_NAME: Final = "cloister"
PRIVATE: Final = "tmp"
OWN_INODES: Final = 2
"""Of the private directory: its root, and the directory for shared memory."""
DEVICES: Final = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9)}
"""Source: Documentation/admin-guide/devices.txt."""
DEVICE_LINKS: Final = {
    "fd": "/proc/self/fd",
    "stdin": "fd/0",
    "stdout": "fd/1",
    "stderr": "fd/2",
    "shm": "/tmp/.shm",  # noqa: S108 - inside, and private
    "ptmx": "pts/ptmx",
}
TERMINALS_MAX: Final = 16
ETC_FILES: Final = {
    "passwd": "cloister:x:1000:1000::/tmp:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
    "group": "cloister:x:1000:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost cloister\n::1 localhost\n",
    "hostname": "cloister\n",
}
"""Where the payload has no /etc of its own."""
_NOT_SHOWN: Final = frozenset(
    {"cloister", "modules", "init", "payload", "capabilities", "proc", "sys", "dev", "run", "tmp", "root"}
)
_DETACH: Final = 2
"""MNT_DETACH, include/linux/fs.h"""
_PLAIN: Final = kernel.NO_SET_ID | kernel.NO_DEVICES


def prepare(*, has_drive: bool, has_capabilities: bool) -> None:
    """Put the root together; called once, before the agent says hello."""
    os.mkdir(ROOT, 0o755)  # noqa: PTH102 - the guest imports little
    kernel.mount("root", ROOT, "tmpfs", _PLAIN, "mode=0755,size=4m,nr_inodes=4096")
    source = DRIVE if has_drive else ""
    for name in sorted(os.listdir(source or "/")):  # noqa: PTH208
        if name not in _NOT_SHOWN:
            _show(f"{source}/{name}", f"{ROOT}/{name}")
    if not os.path.lexists(f"{ROOT}/etc"):
        os.mkdir(f"{ROOT}/etc", 0o755)  # noqa: PTH102
        for name, text in ETC_FILES.items():
            _write(f"{ROOT}/etc/{name}", text.encode("ascii"))
    if has_capabilities:
        _show(CAPABILITIES, f"{ROOT}{CAPABILITIES}")
    _make_devices()
    for name in ("proc", PRIVATE):
        os.mkdir(f"{ROOT}/{name}", 0o755)  # noqa: PTH102
    kernel.mount("proc", f"{ROOT}/proc", "proc", _PLAIN | kernel.NO_EXECUTION, "hidepid=2")
    usual = ResourceLimits()
    kernel.mount("private", f"{ROOT}/{PRIVATE}", "tmpfs", _PLAIN, f"mode=1777,{_quota(usual)}")
    os.mkdir(f"{ROOT}/{PRIVATE}/.shm", 0o1777)  # noqa: PTH102
    os.chmod(f"{ROOT}/{PRIVATE}/.shm", 0o1777)  # noqa: PTH101, S103 - as every /tmp is
    os.mkdir(STORES, 0o700)  # noqa: PTH102


def _show(source: str, target: str) -> None:
    """Show a directory or a file of the payload read-only; a link stays a link."""
    mode = os.lstat(source).st_mode
    if stat.S_ISLNK(mode):
        os.symlink(os.readlink(source), target)  # noqa: PTH115, PTH211
    elif stat.S_ISDIR(mode):
        os.mkdir(target, 0o755)  # noqa: PTH102
        _bind(source, target, kernel.READ_ONLY)


def _bind(source: str, target: str, flags: int) -> None:
    kernel.mount(source, target, flags=kernel.BIND | kernel.RECURSIVE)
    kernel.mount("", target, flags=kernel.BIND | kernel.REMOUNT | _PLAIN | flags)


def _make_devices() -> None:
    os.mkdir(f"{ROOT}/dev", 0o755)  # noqa: PTH102
    # Of its own: the root cannot have devices
    kernel.mount("dev", f"{ROOT}/dev", "tmpfs", kernel.NO_SET_ID, "mode=0755,size=64k,nr_inodes=64")
    for name, numbers in DEVICES.items():
        os.mknod(f"{ROOT}/dev/{name}", stat.S_IFCHR | 0o666, os.makedev(*numbers))
        os.chmod(f"{ROOT}/dev/{name}", 0o666)  # noqa: PTH101, S103 - they are for all
    for name, target in DEVICE_LINKS.items():
        os.symlink(target, f"{ROOT}/dev/{name}")  # noqa: PTH211
    os.mkdir(f"{ROOT}/dev/pts", 0o755)  # noqa: PTH102
    options = f"ptmxmode=0666,mode=0620,max={TERMINALS_MAX}"
    kernel.mount("pts", f"{ROOT}/dev/pts", "devpts", kernel.NO_SET_ID | kernel.NO_EXECUTION, options)
    flags = kernel.BIND | kernel.REMOUNT | kernel.NO_SET_ID | kernel.NO_EXECUTION | kernel.READ_ONLY
    kernel.mount("", f"{ROOT}/dev", flags=flags)


def resize(limits: ResourceLimits) -> None:
    """Give the private directory the room that an execution may have."""
    kernel.mount("", f"{ROOT}/{PRIVATE}", flags=kernel.REMOUNT | _PLAIN, options=_quota(limits))


def private_space(place: str = ROOT) -> dict[str, int]:
    """Return what is left of the private directory, below the root as the caller sees it."""
    space = os.statvfs(f"{place}/{PRIVATE}")
    return {"free_bytes": space.f_bavail * space.f_frsize, "free_inodes": space.f_favail}


def make_store(index: int, limits: ResourceLimits) -> str:
    """Make the place into which the granted file or directory with this number is to be unpacked."""
    store = f"{STORES}/{index}"
    os.mkdir(store, 0o700)  # noqa: PTH102
    kernel.mount("granted", store, "tmpfs", _PLAIN, f"mode=0755,{_quota(limits)}")
    return store


def grant(index: int, target: str, *, is_writable: bool) -> None:
    """Show what was unpacked under its path in the root.

    Raises:
        OSError: Its place cannot be made: it lies in a part of the root that is read-only.
    """
    store = f"{STORES}/{index}"
    (name,) = os.listdir(store)  # noqa: PTH208
    source = f"{store}/{name}"
    if is_writable:
        _give(source)
    place = f"{ROOT}{target}"
    is_directory = os.path.isdir(source) and not os.path.islink(source)  # noqa: PTH112, PTH114
    _make_place(place, is_directory=is_directory)
    _bind(source, place, 0 if is_writable else kernel.READ_ONLY)


def _make_place(place: str, *, is_directory: bool) -> None:
    directory = place if is_directory else place.rpartition("/")[0]
    os.makedirs(directory, 0o755, exist_ok=True)  # noqa: PTH103
    if not is_directory and not os.path.lexists(place):
        _write(place, b"")


def close() -> None:
    """Make the root read-only: from here on it has what it is to have. Nothing changes when it is so already.

    Raises:
        OSError: The kernel refuses. Nothing may run then: it could change what all that follows see.
    """
    kernel.mount("", ROOT, flags=kernel.BIND | kernel.REMOUNT | _PLAIN | kernel.READ_ONLY)


def enter() -> None:
    """Make the root all that this process sees; it must be process 1 of namespaces of its own.

    Source: pivot_root(2), "pivot_root(".", ".")"; proc(5), `hidepid`.
    """
    kernel.mount("proc", f"{ROOT}/proc", "proc", _PLAIN | kernel.NO_EXECUTION, "hidepid=2")
    os.chdir(ROOT)
    AT_ONCE.make("pivot_root", ".", ".")
    AT_ONCE.make("umount2", ".", _DETACH)
    os.chdir("/")


def _give(path: str) -> None:
    """Make a file, or a directory with all below it, the payload's."""
    os.lchown(path, USER_ID, GROUP_ID)
    for parent, directories, files in os.walk(path):
        for each in (*directories, *files):
            os.lchown(f"{parent}/{each}", USER_ID, GROUP_ID)


def _quota(limits: ResourceLimits) -> str:
    return f"size={limits.disk_bytes},nr_inodes={limits.inodes_count + OWN_INODES}"


def _write(path: str, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)
