"""What the Firecracker driver is told once, and where the programs are found.

Owns names of environment variables and defaults.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cloister.errors import ConfigError, ProviderUnavailable
from cloister.isolation.microvm.vmm import RateLimit

FIRECRACKER: Final = "CLOISTER_FIRECRACKER"
JAILER: Final = "CLOISTER_JAILER"
FILTER: Final = "CLOISTER_FIRECRACKER_FILTER"
JAILS: Final = Path("/var/lib/cloister/firecracker")
CIDS: Final = Path("/run/cloister/cids")
FIRST_USER: Final = 1_900_000_000
"""Above what systemd gives to containers and users, below 2^31. Source: systemd, docs/UIDS-GIDS.md."""
TEMPLATES: Final = frozenset({"C3", "T2", "T2S", "T2CL", "T2A", "V1N1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FirecrackerSettings:
    """Where things are and what every machine has.

    Attributes:
        firecracker: The program.
        jailer: Its jailer, of the same version.
        filter: A system call filter made with `seccompiler-bin`, in place of the built-in one; None for that one.
        jails: Directory of jails. On a file system with devices and programs allowed, and room for snapshots.
        cids: Directory of held CIDs, the same for all drivers of the host.
        first_user: The machine that holds CID n runs as this user plus n.
        network: A network namespace to join, by path; None for an empty one of its own.
        cpu_template: A static template of Firecracker; None for none.
        cpu_config: A custom template; excludes `cpu_template`.
        has_balloon: Whether machines have a balloon.
        entropy_rate: Bounds of the entropy device.
        open_files_max: Of one Firecracker.
        overhead_mib: Memory of its control group beyond twice the machine's: its own, and the cache of a snapshot.
    """

    firecracker: Path
    jailer: Path
    filter: Path | None = None
    jails: Path = JAILS
    cids: Path = CIDS
    first_user: int = FIRST_USER
    network: Path | None = None
    cpu_template: str | None = None
    cpu_config: Mapping[str, Any] | None = None
    has_balloon: bool = False
    entropy_rate: RateLimit | None = None
    open_files_max: int = 1024
    overhead_mib: int = 128

    def __post_init__(self) -> None:
        if self.cpu_template is not None and self.cpu_template not in TEMPLATES:
            raise ConfigError(
                f"there is no CPU template {self.cpu_template!r}",
                code="config.machine",
                hint="one of " + ", ".join(sorted(TEMPLATES)),
            )
        if self.cpu_template is not None and self.cpu_config is not None:
            raise ConfigError("a machine has a static or a custom CPU template, not both", code="config.machine")


def found(environment: Mapping[str, str] = os.environ, **others: Any) -> FirecrackerSettings:
    """Return settings with the programs of this machine.

    Args:
        environment: `CLOISTER_FIRECRACKER` and `CLOISTER_JAILER` name them, else they are looked for on `PATH`;
            `CLOISTER_FIRECRACKER_FILTER` names a filter.
        **others: Further fields.

    Raises:
        ProviderUnavailable: `provider.vmm`: one is missing.
    """
    filter_path = environment.get(FILTER)
    return FirecrackerSettings(
        firecracker=_program("firecracker", FIRECRACKER, environment),
        jailer=_program("jailer", JAILER, environment),
        filter=_file(Path(filter_path), FILTER) if filter_path else None,
        **others,
    )


def _program(name: str, variable: str, environment: Mapping[str, str]) -> Path:
    named = environment.get(variable)
    path = named or shutil.which(name, path=environment.get("PATH", os.defpath))
    if path is None:
        raise ProviderUnavailable(
            f"there is no {name} on PATH",
            code="provider.vmm",
            hint=f"install a release of Firecracker, or name the program with {variable}",
        )
    resolved = _file(Path(path), variable)
    if not os.access(resolved, os.X_OK):
        raise ProviderUnavailable(f"{resolved} cannot be executed", code="provider.vmm", hint=f"chmod +x {resolved}")
    return resolved


def _file(path: Path, variable: str) -> Path:
    try:
        resolved = path.resolve(strict=True)
    except OSError as error:
        raise ProviderUnavailable(
            f"{path} cannot be used: {error.strerror}", code="provider.vmm", hint=f"mend {variable}"
        ) from error
    if not resolved.is_file():
        raise ProviderUnavailable(f"{path} is no file", code="provider.vmm", hint=f"mend {variable}")
    return resolved
