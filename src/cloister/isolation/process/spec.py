"""What the host asks its launcher to build: one sandbox and what to start in it.

Owns the request's form on its way between the two, and nothing about how it is done. Both ends are Cloister's own;
guests never see or write it. Standard library only; part of the guest set.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from cloister.limits import ResourceLimits

SCRIPT_PATH: Final = "/script"
"""Where the text of a script is found inside, read-only."""
DEFAULT_DIRECTORY: Final = "/tmp"  # noqa: S108 - a path inside the sandbox, private to it
FIXED_ENVIRONMENT: Final = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": DEFAULT_DIRECTORY,
    "TMPDIR": DEFAULT_DIRECTORY,
    "LANG": "C.UTF-8",
    "TZ": "UTC",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A host path to be made visible, as the host saw it.

    Attributes:
        source: Absolute host path without symbolic links.
        target: Absolute path inside.
        is_writable: Whether it may be changed.
        is_directory: Whether it is one.
        device: `st_dev` of what the host saw at `source`; something else there now is refused.
        inode: `st_ino` of it.
    """

    source: str
    target: str
    is_writable: bool
    is_directory: bool
    device: int
    inode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSpec:
    """One sandbox.

    Attributes:
        argv: Program and arguments to execute; empty for a forked guest, which gets an empty root.
        script: Text to be found at `SCRIPT_PATH`; None for no such file.
        grants: Host paths, visible beside the runtime's own.
        runtime: Directories an interpreter outside `/usr` needs, read-only; absolute, without symbolic links.
        environment: Variables beside the fixed ones.
        working_directory: Absolute path inside.
        limits: Bounds.
    """

    argv: tuple[str, ...]
    script: str | None
    grants: tuple[Grant, ...]
    runtime: tuple[str, ...]
    environment: dict[str, str]
    working_directory: str
    limits: ResourceLimits

    @property
    def is_guest(self) -> bool:
        """Whether a forked guest runs in it, not an executed program."""
        return not self.argv

    def full_environment(self) -> dict[str, str]:
        """Return every variable the payload sees."""
        return FIXED_ENVIRONMENT | self.environment

    def request(self) -> bytes:
        """Return what the launcher itself needs to know: how to watch it, and nothing of what runs in it.

        The launcher is cloned for every sandbox, so what it reads here its later sandboxes would find in their memory.
        """
        return json.dumps({"is_guest": self.is_guest, "limits": self.limits.to_dict()}).encode("ascii")

    def to_bytes(self) -> bytes:
        """Return the whole, for the first process of the sandbox."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        fields["grants"] = [asdict(grant) for grant in self.grants]
        fields["limits"] = self.limits.to_dict()
        # ASCII with escapes keeps file names that are not UTF-8 (surrogate escapes) as they are
        return json.dumps(fields, ensure_ascii=True).encode("ascii")

    @classmethod
    def from_bytes(cls, data: bytes) -> SandboxSpec:
        """Return the request that `to_bytes` made."""
        fields = json.loads(data)
        fields["argv"] = tuple(fields["argv"])
        fields["runtime"] = tuple(fields["runtime"])
        fields["grants"] = tuple(Grant(**grant) for grant in fields["grants"])
        fields["limits"] = ResourceLimits(**fields["limits"])
        return cls(**fields)
