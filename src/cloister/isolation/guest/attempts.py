"""What a sandbox lets its payload do, found out by doing it.

Owns the attempts and reports what the kernel answered, raw; whoever asked decides what the answers prove. Every attempt
is the real act, so run this only inside a sandbox that was made for it. It runs in the guest, and its text is executed
as a script too, so it imports the standard library only, nothing of Cloister. Part of the guest set.
"""

# ruff: noqa: PTH102, PTH106, PTH108, PTH110, PTH112, PTH115, PTH123, PTH208 - the guest imports little, so it has no pathlib

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import platform
import resource
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

DONE: Final = "done"
"""The answer when the kernel did what it was asked for."""
CONNECT_SECONDS: Final = 1.0
TEMPORARY: Final = "/tmp"  # noqa: S108 - inside the sandbox
_MARK: Final = ".cloister-probe"
DESCRIPTORS_MAX: Final = 4096

# Source: Linux include/uapi/linux/prctl.h, sched.h, capability.h, ptrace.h and asm-generic/ioctls.h
_PR_GET_PDEATHSIG: Final = 2
_PR_GET_DUMPABLE: Final = 3
_PR_GET_SECCOMP: Final = 21
_PR_CAPBSET_READ: Final = 23
_PR_GET_NO_NEW_PRIVS: Final = 39
_CAPABILITIES: Final = 64
_CAPABILITY_VERSION_3: Final = 0x20080522
_CLONE_NEWUSER: Final = 0x10000000
_PTRACE_SEIZE: Final = 0x4206
_TIOCSTI: Final = 0x5412
_FIONREAD: Final = 0x541B
_MNT_DETACH: Final = 2
_KEY_SPEC_SESSION_KEYRING: Final = -3
_LIMITS_COUNT: Final = 16  # RLIM_NLIMITS of asm-generic/resource.h
_NAMESPACES: Final = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time")

_NUMBERS: Final = {
    "clone": (56, 220),
    "ptrace": (101, 117),
    "capget": (125, 90),
    "keyctl": (250, 219),
    "unshare": (272, 97),
    "process_vm_readv": (310, 270),
    "bpf": (321, 280),
    "io_uring_setup": (425, 425),
}
"""Source: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h; x86_64, then aarch64."""
_COLUMN: Final = ("x86_64", "aarch64").index(platform.machine()) if platform.machine() in ("x86_64", "aarch64") else 0

# At import, because inside the sandbox there may be no file left to load it from
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long


Act = Callable[[Mapping[str, Any]], tuple[Any] | None]
"""Returns what was seen, or None when it did what it was to do."""
NOTHING_TO_TRY: Final = (None,)


def probe(arguments: Mapping[str, Any], _: object = None) -> dict[str, Any]:
    """Attempt what a sandbox must not allow, and look at what it shows.

    Args:
        arguments: `read_path`, a file outside the sandbox; `tcp` and `udp`, each a numeric address and a port where
            something listens; `abstract`, the name of a listening abstract socket; `host_pid`, a process outside;
            `granted`, a directory that was granted for reading, or an empty text for none; `disk_bytes` and
            `inodes_count`, the quota of the private directory that is to be exceeded, or 0 not to try.

    Returns:
        By the names of the attempts: the name of the errno it failed with, `done`, or what was seen; None where there
        is nothing to attempt it on.
    """
    answers = {name: _attempt(act, arguments) for name, act in _ACTS.items()}
    return answers | {"become_root": _attempt(lambda _: os.setuid(0), arguments)}  # last: it would change the others


def _attempt(act: Act, arguments: Mapping[str, Any]) -> Any:
    try:
        seen = act(arguments)
    except TimeoutError:
        return "ETIMEDOUT"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))
    return DONE if seen is None else seen[0]


def _call(name: str, *words: Any) -> int:
    result = int(_LIBC.syscall(_NUMBERS[name][_COLUMN], *words))
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def _prctl(option: int, argument: int = 0) -> int:
    answer = int(_LIBC.prctl(option, argument, 0, 0, 0))
    if answer < 0:
        raise OSError(ctypes.get_errno(), "prctl")
    return answer


def _open(path: str, flags: int) -> None:
    os.close(os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK))


def _below_grant(name: str, flags: int) -> Act:
    def act(arguments: Mapping[str, Any]) -> tuple[Any] | None:
        if not arguments["granted"]:
            return NOTHING_TO_TRY
        _open(f"{arguments['granted']}/{name}", flags)
        return None

    return act


def _write_root(_: Mapping[str, Any]) -> None:
    os.mkdir(f"/{_MARK}")
    os.rmdir(f"/{_MARK}")


def _whiteout(_: Mapping[str, Any]) -> tuple[Any] | None:
    """Make what hides a file of the host in an overlay: a character device with the number 0, which anybody may."""
    if not os.path.isdir(TEMPORARY):
        return NOTHING_TO_TRY
    os.mknod(f"{TEMPORARY}/{_MARK}", stat.S_IFCHR | 0o600, 0)
    os.unlink(f"{TEMPORARY}/{_MARK}")
    return None


def _control_device(_: Mapping[str, Any]) -> tuple[Any] | None:
    if not os.path.exists("/dev/zero"):
        return NOTHING_TO_TRY
    device = os.open("/dev/zero", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _ioctl(device, _FIONREAD, ctypes.c_int(0))
    finally:
        os.close(device)
    return None


def _ioctl(descriptor: int, request: int, argument: Any) -> None:
    if _LIBC.ioctl(descriptor, ctypes.c_ulong(request), ctypes.byref(argument)) < 0:
        raise OSError(ctypes.get_errno(), "ioctl")


def _fill(arguments: Mapping[str, Any]) -> tuple[Any] | None:
    """Write twice the quota, in pieces that no limit of one file forbids."""
    if not arguments["disk_bytes"] or not os.path.isdir(TEMPORARY):
        return NOTHING_TO_TRY
    piece, made = b"\0" * 65536, []
    try:
        for number in range(2 * arguments["disk_bytes"] // len(piece) + 1):
            made.append(f"{TEMPORARY}/{_MARK}{number}")
            with open(made[-1], "wb", buffering=0) as file:
                if file.write(piece) < len(piece):
                    raise OSError(errno.ENOSPC, "write")
    finally:
        for path in made:
            if os.path.exists(path):
                os.unlink(path)
    return None


def _litter(arguments: Mapping[str, Any]) -> tuple[Any] | None:
    """Make twice as many files as the quota allows."""
    if not arguments["inodes_count"] or not os.path.isdir(TEMPORARY):
        return NOTHING_TO_TRY
    made = []
    try:
        for number in range(2 * arguments["inodes_count"] + 1):
            path = f"{TEMPORARY}/{_MARK}{number}"
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            made.append(path)
    finally:
        for path in made:
            os.unlink(path)
    return None


def _connect(arguments: Mapping[str, Any]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as outgoing:
        outgoing.settimeout(CONNECT_SECONDS)
        outgoing.connect(tuple(arguments["tcp"]))


def _send(arguments: Mapping[str, Any]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outgoing:
        outgoing.sendto(b"x", tuple(arguments["udp"]))


def _connect_abstract(arguments: Mapping[str, Any]) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as outgoing:
        outgoing.connect("\0" + arguments["abstract"])


def _bind(_: Mapping[str, Any]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as own:
        own.bind(("0.0.0.0", 0))  # noqa: S104 - in a network of its own


def _mount(_: Mapping[str, Any]) -> None:
    if _LIBC.mount(b"none", b"/", b"tmpfs", 0, None) != 0:
        raise OSError(ctypes.get_errno(), "mount")
    if _LIBC.umount2(b"/", _MNT_DETACH) != 0:
        raise OSError(ctypes.get_errno(), "umount")


def _clone(_: Mapping[str, Any]) -> None:
    pid = _call("clone", ctypes.c_ulong(_CLONE_NEWUSER | signal.SIGCHLD), None, None, None, None)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _first_process() -> int:
    """Return the process that is most worth looking into: process 1, unless it is this one."""
    return 1 if os.getpid() != 1 else 0


def _open_memory(_: Mapping[str, Any]) -> tuple[Any] | None:
    if not _first_process():
        return NOTHING_TO_TRY
    _open(f"/proc/{_first_process()}/mem", os.O_RDONLY)
    return None


def _trace(_: Mapping[str, Any]) -> tuple[Any] | None:
    if not _first_process():
        return NOTHING_TO_TRY
    _call("ptrace", ctypes.c_long(_PTRACE_SEIZE), ctypes.c_long(_first_process()), None, None)  # ends with this process
    return None


def _read_memory(_: Mapping[str, Any]) -> tuple[Any] | None:
    """Read from the first process at an address that both have when one was forked from the other."""
    if not _first_process():
        return NOTHING_TO_TRY
    found, mine = ctypes.create_string_buffer(1), ctypes.create_string_buffer(b"x", 1)
    local = (ctypes.c_size_t * 2)(ctypes.addressof(found), 1)
    remote = (ctypes.c_size_t * 2)(ctypes.addressof(mine), 1)
    try:
        _call(
            "process_vm_readv", _first_process(), local, ctypes.c_ulong(1), remote, ctypes.c_ulong(1), ctypes.c_ulong(0)
        )
    except OSError as error:
        if error.errno != errno.EFAULT:  # it may look, and there is nothing at that address
            raise
    return None


def _type_on_terminal(_: Mapping[str, Any]) -> None:
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        terminal = os.dup(0)
    try:
        _ioctl(terminal, _TIOCSTI, ctypes.c_char(b" "))
    finally:
        os.close(terminal)


def _open_many(_: Mapping[str, Any]) -> None:
    opened: list[int] = []
    try:
        while len(opened) < DESCRIPTORS_MAX:
            opened.append(os.dup(0))
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _descriptors(_: Mapping[str, Any]) -> tuple[list[int]]:
    """Return what is open: by asking for each number, since there may be no /proc."""
    found = []
    for number in range(DESCRIPTORS_MAX):
        try:
            os.get_inheritable(number)
        except OSError:
            continue
        found.append(number)
    return (found,)


def _capabilities(_: Mapping[str, Any]) -> tuple[list[int]]:
    """Return the numbers of those that are effective, permitted, inheritable, or in the bounding set."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    words = (ctypes.c_uint32 * 6)()
    _call("capget", header, words)
    held = {32 * (index // 3) + bit for index, word in enumerate(words) for bit in range(32) if word >> bit & 1}
    return (sorted(held | {number for number in range(_CAPABILITIES) if _is_in_bounds(number)}),)


def _is_in_bounds(capability: int) -> bool:
    try:
        return _prctl(_PR_CAPBSET_READ, capability) == 1
    except OSError as error:
        if error.errno != errno.EINVAL:  # the kernel has no such capability
            raise
        return False


def _death_signal(_: Mapping[str, Any]) -> tuple[Any] | None:
    number = ctypes.c_int(0)
    if os.getpid() != 1 or _LIBC.prctl(_PR_GET_PDEATHSIG, ctypes.byref(number), 0, 0, 0) < 0:
        return NOTHING_TO_TRY  # only the first process has one; the others end with it
    return (number.value,)


def _namespaces(_: Mapping[str, Any]) -> tuple[dict[str, str]]:
    found = {}
    for name in _NAMESPACES:
        with contextlib.suppress(FileNotFoundError):  # the kernel has none of this kind
            found[name] = os.readlink(f"/proc/self/ns/{name}")
    return (found,)


def _oom_score(_: Mapping[str, Any]) -> tuple[int]:
    with open("/proc/self/oom_score_adj", "rb") as file:
        return (int(file.read()),)


def _room(_: Mapping[str, Any]) -> tuple[Any] | None:
    if not os.path.isdir(TEMPORARY):
        return NOTHING_TO_TRY
    space = os.statvfs(TEMPORARY)
    return ([space.f_blocks * space.f_frsize, space.f_files],)


def _limits(_: Mapping[str, Any]) -> tuple[dict[str, int]]:
    return ({str(which): resource.getrlimit(which)[1] for which in range(_LIMITS_COUNT)},)


_READ: Final = os.O_RDONLY
_WRITE: Final = os.O_WRONLY
_ACTS: Final[dict[str, Act]] = {
    # Looks first: what comes later may change what there is to see
    "descriptors": _descriptors,
    "namespaces": _namespaces,
    "pid": lambda _: (os.getpid(),),
    "visible_pids": lambda _: (sorted(int(name) for name in os.listdir("/proc") if name.isdigit()),),
    "hostname": lambda _: (os.uname().nodename,),
    "user_id": lambda _: (os.getuid(),),
    "environment": lambda _: (sorted(os.environ),),
    "session": lambda _: (os.getsid(0),),
    "devices": lambda _: (sorted(os.listdir("/dev")),),
    "up_s": lambda _: (int(time.clock_gettime(time.CLOCK_BOOTTIME)),),
    "oom_score": _oom_score,
    "limits": _limits,
    "room": _room,
    "capabilities": _capabilities,
    "no_new_privs": lambda _: (_prctl(_PR_GET_NO_NEW_PRIVS),),
    "seccomp": lambda _: (_prctl(_PR_GET_SECCOMP),),
    "dumpable": lambda _: (_prctl(_PR_GET_DUMPABLE),),
    "death_signal": _death_signal,
    "read_outside": lambda arguments: _open(arguments["read_path"], _READ),
    "read_grant": _below_grant("file", _READ),
    "write_grant": _below_grant("file", _WRITE),
    "follow_link": _below_grant("link", _READ),
    "write_pipe": _below_grant("pipe", _WRITE),
    "write_root": _write_root,
    "list_root": lambda _: _open("/", _READ | os.O_DIRECTORY),
    "write_setting": lambda _: _open("/proc/sys/kernel/core_pattern", _WRITE),
    "whiteout": _whiteout,
    "control_device": _control_device,
    "fill": _fill,
    "litter": _litter,
    "tcp": _connect,
    "udp": _send,
    "abstract": _connect_abstract,
    "bind": _bind,
    "signal_host": lambda arguments: os.kill(arguments["host_pid"], 0),
    "open_memory": _open_memory,
    "trace": _trace,
    "read_memory": _read_memory,
    "mount": _mount,
    "clone": _clone,
    "io_uring_setup": lambda _: (_call("io_uring_setup", 1, None),),
    "bpf": lambda _: (_call("bpf", 0, None, 0),),
    "keyctl": lambda _: (_call("keyctl", 0, ctypes.c_long(_KEY_SPEC_SESSION_KEYRING), 0),),
    "terminal": _type_on_terminal,
    "open_many": _open_many,
    "unshare": lambda _: (_call("unshare", ctypes.c_ulong(_CLONE_NEWUSER)) or DONE,),
}

if __name__ == "__main__":
    json.dump(probe(json.load(sys.stdin)), sys.stdout)
