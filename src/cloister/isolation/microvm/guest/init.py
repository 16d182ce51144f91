"""Process 1 of a machine: it makes the machine usable, then is its agent.

Owns the order in which a machine comes up, and its end. There is no shell and no service: file systems, modules, the
connection to the host, drives, the root of programs, and the agent. When anything goes wrong it says so on the console
and ends the machine; it never waits for something that does not come. Part of the guest set: standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
import time
from typing import Any, Final, NoReturn

from cloister.isolation.microvm.guest import frames, groups, kernel, root
from cloister.isolation.microvm.guest.agent import Agent, PoweredOff
from cloister.isolation.microvm.guest.measured import measured_boot
from cloister.isolation.process import privileges
from cloister.isolation.process.seccomp import install as seccomp
from cloister.isolation.process.seccomp.calls import Profile

MODULES: Final = "/modules"
VIRTIO_DEVICES: Final = "/sys/bus/virtio/devices"
PCI_DEVICES: Final = "/sys/bus/pci/devices"
DEVICE_OF: Final = {
    "virtio_blk": 2,
    "libcrc32c": 2,
    "erofs": 2,
    "virtio_console": 3,
    "virtio-rng": 4,
    "virtio_balloon": 5,
    "vsock": 19,
    "vmw_vsock_virtio_transport_common": 19,
    "vmw_vsock_virtio_transport": 19,
}
"""Modules that are of use with a device only. Source: Virtual I/O Device (VIRTIO) 1.2, 5 Device Types."""
NOT_FOR_THIS_MACHINE: Final = frozenset({errno.ENOEXEC, errno.ENODEV, errno.EEXIST})
"""What the kernel says to a module of another kernel, to one without its device, and to one that is there already.
Source: init_module(2)."""
CHANNEL_WORD: Final = "cloister.channel="
DRIVES_WORD: Final = "cloister.drives="
ROOTFS_WORD: Final = "cloister.rootfs="
CONNECTION_WAIT_S: Final = 20.0
PAUSE_S: Final = 0.002
AGENT_PRIORITY: Final = 1
PORT_NAME: Final = "agent"
OVER_ROOT: Final = "/run"
_MOUNTS: Final = (
    ("proc", "/proc", "proc", ""),
    ("sysfs", "/sys", "sysfs", ""),
    ("devtmpfs", "/dev", "devtmpfs", "mode=0755"),
    ("run", "/run", "tmpfs", "mode=0755"),
    ("tmp", "/tmp", "tmpfs", "mode=0700"),  # noqa: S108 - the agent's own
)


def main() -> NoReturn:
    """Bring the machine up and be its agent until it is not needed any more."""
    try:
        _come_up()
    except PoweredOff:
        pass
    except BaseException as error:  # noqa: BLE001 - whatever it was, the machine ends with it
        print(f"cloister: the agent ends: {type(error).__name__}: {error}", file=sys.stderr, flush=True)  # noqa: T201
    kernel.power_off()
    os._exit(1)  # the kernel panics then, which ends the machine as well


def _leave_initial_root() -> None:
    """Put a mount over the initial root: the kernel lets nobody leave that one, and programs leave theirs.

    Source: pivot_root(2), EINVAL "the current root is on the rootfs (initial ramfs) mount".
    """
    os.makedirs(OVER_ROOT, exist_ok=True)  # noqa: PTH103 - the guest imports little
    kernel.mount("/", OVER_ROOT, flags=kernel.BIND)
    os.chdir(OVER_ROOT)
    kernel.mount(".", "/", flags=kernel.MOVE)
    os.chroot(".")


def _come_up() -> None:
    _leave_initial_root()
    for source, target, kind, options in _MOUNTS:
        os.makedirs(target, exist_ok=True)  # noqa: PTH103 - the guest imports little
        flags = kernel.NO_SET_ID if target == "/dev" else kernel.NO_SET_ID | kernel.NO_DEVICES
        kernel.mount(source, target, kind, flags, options)
    words = _words()
    _load_modules()
    groups.prepare()
    drives = _drives(words)
    _mount_drives(drives, words)
    prover = measured_boot({name: drives.get(name) for name in ("rootfs", "capabilities")})
    connection_fd, listener = _connect(words)
    privileges.reset_signals()
    for profile in (Profile.PROGRAMS, Profile.GUESTS):
        seccomp.prepare(profile)
    root.prepare(has_drive="rootfs" in drives, has_capabilities="capabilities" in drives)
    # The agent works before what it has started does, which then need not end before its result is passed on
    os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(AGENT_PRIORITY))
    Agent(connection_fd, _facts(drives), can_wait=listener is None, prover=prover, listener=listener).run()


def _words() -> dict[str, str]:
    with open("/proc/cmdline", encoding="ascii") as file:  # noqa: PTH123
        pairs = (word.partition("=") for word in file.read().split())
        return {f"{name}=": value for name, _, value in pairs}


def _load_modules() -> None:
    """Load the modules that go with this machine's devices; those of buses come first.

    One that does not go with this machine is of no use in it. Of any other that is not loaded the console tells: what
    needs it fails later, and that does not say why.
    """
    has_pci = bool(_entries(PCI_DEVICES))
    found: set[int] | None = None
    with open(f"{MODULES}/order", encoding="ascii") as file:  # noqa: PTH123
        names = file.read().split()
    for name in names:
        if name.startswith("virtio_pci") and not has_pci:
            continue
        if name in DEVICE_OF:
            found = _virtio_devices() if found is None else found
            if DEVICE_OF[name] not in found:
                continue
        try:
            kernel.load_module(f"{MODULES}/{name}.ko")
        except OSError as error:
            if error.errno not in NOT_FOR_THIS_MACHINE:
                print(f"cloister: the module {name} is not loaded: {error}", file=sys.stderr, flush=True)  # noqa: T201


def _virtio_devices() -> set[int]:
    found = set()
    for name in _entries(VIRTIO_DEVICES):
        with open(f"{VIRTIO_DEVICES}/{name}/device", encoding="ascii") as file:  # noqa: PTH123
            found.add(int(file.read(), 16))
    return found


def _entries(directory: str) -> list[str]:
    try:
        return os.listdir(directory)  # noqa: PTH208 - the guest imports little
    except FileNotFoundError:
        return []


def _drives(words: dict[str, str]) -> dict[str, str]:
    """Return the block devices by their names: as the VMM says in the order of the devices, else by serial numbers."""
    told = words.get(DRIVES_WORD)
    if told:
        devices = sorted(name for name in os.listdir("/sys/block") if name.startswith("vd"))  # noqa: PTH208
        names = told.split(",")
        if len(names) != len(devices):
            raise ValueError(f"there are {len(devices)} drives, and {len(names)} were named")
        return {name: f"/dev/{device}" for name, device in zip(names, devices, strict=True)}
    found = {}
    for name in os.listdir("/sys/block"):  # noqa: PTH208
        with contextlib.suppress(OSError), open(f"/sys/block/{name}/serial", encoding="ascii") as file:  # noqa: PTH123
            found[file.read().strip()] = f"/dev/{name}"
    return found


def _mount_drives(drives: dict[str, str], words: dict[str, str]) -> None:
    for serial, place, kinds in (
        ("rootfs", root.DRIVE, (words.get(ROOTFS_WORD, ""),)),
        ("capabilities", root.CAPABILITIES, ("erofs", "ext4")),
    ):
        if serial in drives:
            os.makedirs(place, exist_ok=True)  # noqa: PTH103
            _mount_drive(drives[serial], place, kinds)


def _mount_drive(device: str, place: str, kinds: tuple[str, ...]) -> None:
    failure: OSError | None = None
    for kind in kinds:
        try:
            kernel.mount(device, place, kind, kernel.READ_ONLY | kernel.NO_SET_ID | kernel.NO_DEVICES)
        except OSError as error:
            failure = error
        else:
            return
    raise failure or OSError(f"the file system of {device} is not named")


def _connect(words: dict[str, str]) -> tuple[int, socket.socket | None]:
    """Return the connection to the host, and where it may connect anew; a port has no such place."""
    kind, _, port = words.get(CHANNEL_WORD, "").partition(":")
    if kind == "serial":
        return _port(), None
    if kind != "vsock":
        raise ValueError(f"the kernel's command line names no channel: {CHANNEL_WORD}")
    listener = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    listener.bind((socket.VMADDR_CID_ANY, int(port)))
    listener.listen(1)
    connection, _ = listener.accept()
    return connection.detach(), listener


def _port() -> int:
    deadline_s = time.monotonic() + CONNECTION_WAIT_S
    while time.monotonic() < deadline_s:
        with contextlib.suppress(OSError):
            for name in os.listdir("/sys/class/virtio-ports"):  # noqa: PTH208
                with open(f"/sys/class/virtio-ports/{name}/name", encoding="ascii") as file:  # noqa: PTH123
                    if file.read().strip() == PORT_NAME:
                        # It may be refused for a moment after it has appeared (ENXIO)
                        return os.open(f"/dev/{name}", os.O_RDWR | os.O_CLOEXEC)
        time.sleep(PAUSE_S)
    raise TimeoutError("there is no port to the host")


def _facts(drives: dict[str, str]) -> dict[str, Any]:
    with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123
        memory_kib = int(file.readline().split()[1])
    return {
        "version": frames.VERSION,
        "kernel": os.uname().release,
        "memory_bytes": memory_kib * 1024,
        "python": ".".join(map(str, sys.version_info[:3])),
        "drives": sorted(drives),
    }
