"""The directory in which one driver keeps its jails, and what others left behind.

Owns one directory per driver, locked as long as the driver's process lives, and the parent of its control groups, which
has the same name. What a driver left whose process was killed is found by the lock that nobody holds, and ended and
removed by the next one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import stat
from pathlib import Path
from typing import Final

from cloister.errors import ProviderUnavailable
from cloister.isolation.microvm import vmm_groups
from cloister.isolation.microvm.keeper import Keeper
from cloister.isolation.microvm.staging import Stage
from cloister.isolation.microvm.vmm_groups import Hierarchy

PREFIX: Final = "cloister-vm-"
LOCK: Final = "lock"


class Dwelling:
    """The directory of one driver.

    Args:
        jails: Directory of all drivers' directories; made when it is missing.
        hierarchy: Of control groups.

    Attributes:
        name: Of this driver's directory and group.
        base: Its directory, for the jailer.
        stage: Files for its jails.

    Raises:
        ProviderUnavailable: The directory cannot be made, others may write to it, or its file system does not allow
            devices or programs.
    """

    def __init__(self, jails: Path, hierarchy: Hierarchy) -> None:
        _prepare(jails)
        sweep(jails, hierarchy)
        self.name = f"{PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        self.base = jails / self.name
        self._hierarchy = hierarchy
        self.base.mkdir(mode=0o700)
        self._lock_fd = os.open(self.base / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock_fd, fcntl.LOCK_EX)
        stage = self.base / "stage"
        stage.mkdir(mode=0o700)
        self.stage = Stage(stage)
        self._keeper = Keeper([str(path) for path in hierarchy.paths(self.name).values()])

    def close(self) -> None:
        """Remove it. Idempotent; jails that are still lived in stay, and are removed with the process."""
        if self._lock_fd < 0:
            return
        self.stage.close()
        if not any(self.base.glob("*/*/root")):  # else a machine still runs: its jail and its group are in here
            for path in self._hierarchy.paths(self.name).values():
                with contextlib.suppress(FileNotFoundError):  # no machine was ever started
                    path.rmdir()
            shutil.rmtree(self.base)
        self._keeper.close()
        os.close(self._lock_fd)
        self._lock_fd = -1


def sweep(jails: Path, hierarchy: Hierarchy) -> int:
    """End and remove what killed drivers left; return how many there were."""
    count = 0
    for base in sorted(jails.glob(f"{PREFIX}*")):
        try:
            descriptor = os.open(base / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # it is just being made or removed
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            end(hierarchy, base.name)
            shutil.rmtree(base, ignore_errors=True)
            count += 1
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)
    return count


def end(hierarchy: Hierarchy, name: str) -> None:
    """Kill what lives in a driver's control groups, and remove them."""
    for mount in hierarchy.paths(name).values():
        for group in (*(each for each in mount.glob("*") if each.is_dir()), mount):
            vmm_groups.kill({"": group})
            vmm_groups.remove({"": group})


def _prepare(jails: Path) -> None:
    try:
        jails.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts, system = jails.stat(), os.statvfs(jails)
    except OSError as error:
        raise ProviderUnavailable(
            f"the directory of jails cannot be made: {error}", code="provider.confinement"
        ) from error
    if facts.st_uid != 0 or stat.S_IMODE(facts.st_mode) & 0o022:
        raise ProviderUnavailable(
            f"others may write to {jails}, where jails are made",
            code="provider.confinement",
            hint=f"sudo chown root: {jails}; sudo chmod 700 {jails}",
        )
    if system.f_flag & (os.ST_NODEV | os.ST_NOEXEC):
        raise ProviderUnavailable(
            f"the file system of {jails} allows no devices or no programs (mounted nodev or noexec)",
            code="provider.confinement",
            hint="name another directory",
        )
