"""The command of Firecracker's jailer.

Owns its options, as a pure function. Source: Firecracker 1.16.1, docs/jailer.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cloister.errors import ConfigError
from cloister.isolation.microvm.firecracker import spec

_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class JailPlan:
    """One jail.

    Attributes:
        jailer: The program.
        firecracker: The program it executes.
        identity: Name of the jail and of its control group; letters, digits, hyphens, at most 64.
        user: User and group id of Firecracker.
        base: Directory of jails.
        group_version: 1 or 2, of the control groups.
        group_parent: The group in which the machine's is made.
        group_values: What is written into the files of the machine's group. Never empty: without one the jailer makes
            no group, and does not say so.
        network: Path of the network namespace.
        file_bytes_max: The largest file it may write.
        open_files_max: Descriptors it may have.
        has_filter: Whether a filter lies in the jail.
        has_config: Whether a configuration lies in the jail.
    """

    jailer: Path
    firecracker: Path
    identity: str
    user: int
    base: Path
    group_version: int
    group_parent: str
    group_values: Mapping[str, str] = field(default_factory=dict)
    network: str
    file_bytes_max: int
    open_files_max: int
    has_filter: bool = False
    has_config: bool = False

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.identity):
            raise ConfigError(f"{self.identity!r} is no name of a jail", code="config.machine")
        if self.user <= 0:
            raise ConfigError("a jailed Firecracker is never root", code="config.machine")
        if self.group_version not in (1, 2) or not self.group_values:
            raise ConfigError("a jail has control groups of version 1 or 2, and bounds in them", code="config.machine")

    @property
    def directory(self) -> Path:
        """What the jailer makes for it, and what is removed afterwards."""
        return self.base / self.firecracker.name / self.identity

    @property
    def root(self) -> Path:
        """The directory that Firecracker sees as `/`."""
        return self.directory / "root"

    @property
    def pid_file(self) -> str:
        """Name of the file in the root in which the jailer leaves the process id."""
        return f"{self.firecracker.name}.pid"


def command(plan: JailPlan) -> list[str]:
    """Return the command line. Firecracker's filters are always on; there is no way to ask for less here."""
    options = [
        str(plan.jailer),
        "--id", plan.identity,
        "--exec-file", str(plan.firecracker),
        "--uid", str(plan.user),
        "--gid", str(plan.user),
        "--chroot-base-dir", str(plan.base),
        "--netns", plan.network,
        "--new-pid-ns",
        "--cgroup-version", str(plan.group_version),
        "--parent-cgroup", plan.group_parent,
        *(word for name, value in plan.group_values.items() for word in ("--cgroup", f"{name}={value}")),
        "--resource-limit", f"fsize={plan.file_bytes_max}",
        "--resource-limit", f"no-file={plan.open_files_max}",
        "--",
        "--api-sock", spec.API,
    ]  # fmt: skip
    if plan.has_filter:
        options += ["--seccomp-filter", spec.FILTER]
    if plan.has_config:
        options += ["--config-file", spec.CONFIG]
    return options
