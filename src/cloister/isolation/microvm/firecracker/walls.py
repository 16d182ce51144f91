"""Proof that a Firecracker is in the jail it was meant for.

Owns the comparison of what was asked of the jailer with what the kernel says of the process. The jailer goes on quietly
in some cases where a wall is missing, so nothing is believed that is not seen.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Final

from cloister.errors import ProviderUnavailable
from cloister.isolation.microvm import filter_proof, vmm_groups
from cloister.isolation.microvm.filter_proof import Proof
from cloister.isolation.microvm.firecracker.jail import JailedProcess
from cloister.isolation.microvm.programs import digest_of

FILTER_WAIT_S: Final = 5.0
OWN_NAMESPACES: Final = ("mnt", "net", "pid")


def check(process: JailedProcess, network_fd: int, program_sha256: str) -> None:
    """Make sure of user, capabilities, root, namespaces, control group and limits.

    Args:
        process: A Firecracker whose interface answers: it has been executed and is no longer the jailer.
        network_fd: The network namespace it was to join.
        program_sha256: Of the program it was to execute.

    Raises:
        ProviderUnavailable: `provider.confinement`: something is not as it was asked for.
    """
    try:
        for wall, holds in _walls(process, network_fd, program_sha256):
            if not holds:
                raise ProviderUnavailable(
                    f"the jail does not hold: {wall}", code="provider.confinement", details={"wall": wall}
                )
    except OSError as error:
        raise ProviderUnavailable(
            f"the jail cannot be looked at: {error.strerror}", code="provider.confinement"
        ) from error


def prove_filters(process: JailedProcess) -> Proof:
    """Show that all threads are under filters that refuse; the threads of processors set theirs up by themselves.

    Raises:
        ProviderUnavailable: `provider.confinement`: they are not.
    """
    until_s = time.monotonic() + FILTER_WAIT_S
    while time.monotonic() < until_s and not _all_filtered(process.pid):
        time.sleep(0.0005)
    return filter_proof.prove(process.pid)


def _walls(process: JailedProcess, network_fd: int, program_sha256: str) -> list[tuple[str, bool]]:
    plan, pid = process.jail.plan, process.pid
    status = _status(pid)
    user = [str(plan.user)] * 4
    root, ours = Path(f"/proc/{pid}/root").stat(), os.fstat(process.jail.root_fd)
    net, asked = Path(f"/proc/{pid}/ns/net").stat(), os.fstat(network_fd)
    return [
        ("its program", digest_of(Path(f"/proc/{pid}/exe")) == program_sha256),
        ("its user", status["Uid"].split() == user and status["Gid"].split() == user and not status["Groups"]),
        ("its capabilities", all(int(status[name], 16) == 0 for name in ("CapEff", "CapPrm", "CapInh", "CapAmb"))),
        ("its root", (root.st_dev, root.st_ino) == (ours.st_dev, ours.st_ino)),
        ("its network", net.st_ino == asked.st_ino),
        ("its own process and mount namespaces", _has_own_namespaces(pid) and len(status["NSpid"].split()) > 1),
        ("its control groups", _is_in_groups(process)),
        ("its limits", _limits(pid) == (str(plan.file_bytes_max), str(plan.open_files_max))),
    ]


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _has_own_namespaces(pid: int) -> bool:
    pairs = [(Path(f"/proc/{pid}/ns/{name}"), Path(f"/proc/self/ns/{name}")) for name in OWN_NAMESPACES]
    return all(theirs.stat().st_ino != ours.stat().st_ino for theirs, ours in pairs)


def _is_in_groups(process: JailedProcess) -> bool:
    plan, jail = process.jail.plan, process.jail
    memberships = vmm_groups.memberships(process.pid)
    end = f"/{plan.group_parent}/{plan.identity}"
    values = [
        (path / name).read_text(encoding="ascii").strip() == value
        for path in jail.groups.values()
        for name, value in plan.group_values.items()
        if (path / name).exists()
    ]
    return all(memberships.get(key, "").endswith(end) for key in jail.groups) and values == [True] * len(
        plan.group_values
    )


def _limits(pid: int) -> tuple[str, str]:
    lines = Path(f"/proc/{pid}/limits").read_text(encoding="ascii").splitlines()
    found = {line[:26].strip(): line[26:].split()[0] for line in lines[1:]}
    return found["Max file size"], found["Max open files"]


def _all_filtered(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended
        return all(
            "\nSeccomp:\t2\n" in path.read_text(encoding="utf-8", errors="replace")
            for path in Path(f"/proc/{pid}/task").glob("*/status")
        )
    return False
