"""What a sandbox lets its guest do, found out by doing it.

Owns the attempts and reports what the kernel answered, raw; the provider that asked decides what the answers prove.
Every attempt is the real act, so run this only inside a sandbox that was made for it. Part of the guest set: standard
library only.
"""

# ruff: noqa: PTH108, PTH110, PTH123, PTH208 - the guest imports little, so it has no pathlib

from __future__ import annotations

import ctypes
import errno
import os
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

from cloister.limits import ResourceLimits

DONE: Final = "done"
"""The answer when the kernel did what it should have refused."""
CONNECT_SECONDS: Final = 1.0
_MARK: Final = "/.cloister-probe"

# Source: Linux include/uapi/linux/prctl.h and capability.h
_PR_GET_SECCOMP: Final = 21
_PR_GET_NO_NEW_PRIVS: Final = 39
_MNT_DETACH: Final = 2

# At import, because inside the sandbox there may be no file left to load it from
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def probe(arguments: Mapping[str, Any], limits: ResourceLimits) -> dict[str, Any]:  # noqa: ARG001 - table signature
    """Attempt what a sandbox must not allow, and look at what it shows.

    Args:
        arguments: `read_path`, a file outside the sandbox; `connect`, a numeric address and a port where something
            listens; `host_pid`, a process outside.
        limits: Not used.

    Returns:
        For each act the name of the errno it failed with, or `done`: `read_path`, `write_root`, `connect`, `kill_host`,
        `mount`, `setuid_root`. What is visible: `hostname`, `environment` (names), `uid`, `visible_pids` (numbers, or
        an errno name), `proc_sys` (`present`, `absent`). How the process stands: `cap_eff` (hexadecimal), and
        `no_new_privs` and `seccomp` (numbers); each None where the kernel does not say.
    """
    address, port = arguments["connect"]
    seen = {
        "read_path": _attempt(lambda: _read(arguments["read_path"])),
        "write_root": _attempt(_write_root),
        "connect": _attempt(lambda: _connect(address, port)),
        "kill_host": _attempt(lambda: os.kill(arguments["host_pid"], 0)),
        "mount": _attempt(_mount),
        "proc_sys": "present" if os.path.exists("/proc/sys") else "absent",
        "hostname": os.uname().nodename,
        "environment": sorted(os.environ),
        "visible_pids": _visible_pids(),
        "uid": os.getuid(),
        **_standing(),
    }
    return seen | {"setuid_root": _attempt(lambda: os.setuid(0))}  # last: it would change every other answer


def _attempt(act: Callable[[], object]) -> str:
    try:
        act()
    except TimeoutError:
        return "ETIMEDOUT"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))
    return DONE


def _read(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        os.read(descriptor, 1)
    finally:
        os.close(descriptor)


def _write_root() -> None:
    os.close(os.open(_MARK, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    os.unlink(_MARK)


def _connect(address: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as outgoing:
        outgoing.settimeout(CONNECT_SECONDS)
        outgoing.connect((address, port))


def _mount() -> None:
    if _LIBC.mount(b"none", b"/", b"tmpfs", 0, None) != 0:
        raise OSError(ctypes.get_errno(), "mount")
    if _LIBC.umount2(b"/", _MNT_DETACH) != 0:
        raise OSError(ctypes.get_errno(), "umount")


def _visible_pids() -> list[int] | str:
    try:
        return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))


def _standing() -> dict[str, Any]:
    """Return capabilities, no_new_privs and seccomp mode; from prctl(2) where `/proc` is not mounted."""
    try:
        with open("/proc/self/status", encoding="utf-8") as status:
            facts = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
    except OSError:
        return {"cap_eff": None, "no_new_privs": _prctl(_PR_GET_NO_NEW_PRIVS), "seccomp": _prctl(_PR_GET_SECCOMP)}
    return {
        "cap_eff": facts.get("CapEff"),
        "no_new_privs": _number(facts.get("NoNewPrivs")),
        "seccomp": _number(facts.get("Seccomp")),
    }


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None


def _prctl(option: int) -> int | None:
    answer = int(_LIBC.prctl(option, 0, 0, 0, 0))
    return answer if answer >= 0 else None
