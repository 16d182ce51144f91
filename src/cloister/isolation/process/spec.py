"""What the host asks its launcher to build: one sandbox and what to start in it.

Owns the request's form on its way between the two, and nothing about how it is done. Both ends are Cloister's own;
guests never see or write it. Standard library only; part of the guest set.
"""

from __future__ import annotations

import marshal
from dataclasses import dataclass
from typing import Final

from cloister.isolation.process.lanes import Lane
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

MARSHAL_VERSION: Final = 2
"""The last one without references between objects: equal specifications have equal bytes. Source: the manual of Python,
`marshal.version`."""


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
class SessionTerms:
    """What a sandbox that stays for several executions is told about staying.

    Attributes:
        idle_ms: How long it waits for the next execution before it ends by itself.
        has_terminals: Whether executions may ask for a terminal.
    """

    idle_ms: int
    has_terminals: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSpec:
    """One sandbox.

    Attributes:
        lane: Which kind of waiting sandbox becomes it.
        argv: Program and arguments to execute, or those that a warm interpreter shows a script; empty for a guest.
        script: Text to be found at `SCRIPT_PATH`; None for no such file.
        grants: Host paths, visible beside the runtime's own.
        runtime: Directories an interpreter outside `/usr` needs, read-only; absolute, without symbolic links.
        environment: Variables beside the fixed ones.
        working_directory: Absolute path inside.
        limits: Bounds.
        session: For a sandbox that takes executions until its standard input, a connection, closes; None for others.
        handed_count: How many descriptors the program is handed over, from the number `lanes.HANDED_FD_FIRST` on.
        has_kvm: Whether it is shown /dev/kvm. Only a lane for machines lets it use that.
    """

    lane: Lane
    argv: tuple[str, ...]
    script: str | None
    grants: tuple[Grant, ...]
    runtime: tuple[str, ...]
    environment: dict[str, str]
    working_directory: str
    limits: ResourceLimits
    session: SessionTerms | None = None
    handed_count: int = 0
    has_kvm: bool = False

    @property
    def is_guest(self) -> bool:
        """Whether a forked guest runs in it, not foreign code."""
        return self.lane.is_guest

    def full_environment(self) -> dict[str, str]:
        """Return every variable the payload sees."""
        return FIXED_ENVIRONMENT | self.environment

    def to_bytes(self) -> bytes:
        """Return it for the first process of the sandbox, which runs the same interpreter."""
        grants = tuple(tuple(getattr(grant, name) for name in Grant.__slots__) for grant in self.grants)
        session = None if self.session is None else (self.session.idle_ms, self.session.has_terminals)
        limits = tuple(self.limits.to_dict().values())
        return marshal.dumps(
            (
                str(self.lane),
                self.argv,
                self.script,
                grants,
                self.runtime,
                self.environment,
                self.working_directory,
                limits,
                session,
                self.handed_count,
                self.has_kvm,
            ),
            MARSHAL_VERSION,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> SandboxSpec:
        """Return the specification that `to_bytes` made. The host is trusted, which `marshal` needs.

        For what was given to `remember` it is the very same object.
        """
        remembered = _REMEMBERED.get(data)
        if remembered is not None:
            return remembered
        lane, argv, script, grants, runtime, environment, directory, limits, session, *machine = marshal.loads(data)  # noqa: S302
        return cls(
            lane=_LANES[lane],
            argv=argv,
            script=script,
            grants=tuple(Grant(**dict(zip(Grant.__slots__, grant, strict=True))) for grant in grants),
            runtime=runtime,
            environment=environment,
            working_directory=directory,
            limits=USUAL_LIMITS if limits == _USUAL_FIGURES else ResourceLimits(**_named(limits)),
            session=None if session is None else SessionTerms(idle_ms=session[0], has_terminals=session[1]),
            handed_count=machine[0],
            has_kvm=machine[1],
        )

    def remember(self) -> None:
        """Have `from_bytes` return this object from now on, in this process and those forked from it."""
        _REMEMBERED[self.to_bytes()] = self


USUAL_LIMITS: Final = ResourceLimits()
"""Whatever is as these is these: what was made ready for them is for no others."""
_USUAL_FIGURES: Final = tuple(USUAL_LIMITS.to_dict().values())
_LANES: Final = {str(lane): lane for lane in Lane}
_REMEMBERED: Final[dict[bytes, SandboxSpec]] = {}


def _named(figures: tuple[int, ...]) -> dict[str, int]:
    return dict(zip(ResourceLimits.__slots__, figures, strict=True))
