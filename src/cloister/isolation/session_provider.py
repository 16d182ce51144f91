"""The contract of providers that have sessions: sandboxes that stay for several executions.

Owns what a session is opened with, what each act in it needs, and the methods both sides rely on. It is optional; a
provider without it is never asked for a session, and nothing is put in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from cloister.authority.token import NO_ARGUMENTS_SHA256, PermissionToken
from cloister.isolation.provider import ExecutionResult, ExternalProgram, Mount, OutputObserver, Usage
from cloister.limits import ResourceLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowSize:
    """Size of a terminal in characters."""

    rows: int
    columns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionContext:
    """A sandbox that stays for several executions: with what, within which limits, and the token that permits it.

    Attributes:
        execution_id: Unique in the process; appears in the causal chain.
        capability_id: The capability on whose behalf it is opened.
        token: Permission issued by the authority for exactly this session; the provider checks it again.
        limits: Bounds of the session as a whole, or of each execution where a provider keeps them apart. Its lifetime
            is `wall_ms`.
        mounts: Everything of the host's files that is visible in it beside the interpreter's own.
        environment: All environment variables visible in it beside the sandbox's fixed ones.
        working_directory: Where executions begin, absolute, inside; None for its private temporary directory.
        idle_ms: How long it waits for the next execution before it ends by itself.
        has_terminals: Whether executions may ask for a terminal.
        step_id: The step of a plan it is opened in; None outside all steps. The token names the same one.
        arguments_sha256: Digest of the arguments it is opened with, as they were recorded. The token names the same.
    """

    execution_id: str
    capability_id: str
    token: PermissionToken
    limits: ResourceLimits
    mounts: tuple[Mount, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str | None = None
    idle_ms: int
    has_terminals: bool = False
    step_id: str | None = None
    arguments_sha256: str = NO_ARGUMENTS_SHA256


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLeave:
    """Leave for one execution or copy in a session, which has the session's mounts and variables.

    Attributes:
        execution_id: Unique in the process.
        capability_id: The capability on whose behalf it is.
        token: Permission for exactly this; the provider checks it again.
        limits: Bounds of it; `wall_ms` and `output_bytes` are its own, the others are those of the session, or what the
            session lets each execution have.
        step_id: The step of a plan it belongs to; None outside all steps. The token names the same one.
        arguments_sha256: Digest of its arguments, as they were recorded. The token names the same.
    """

    execution_id: str
    capability_id: str
    token: PermissionToken
    limits: ResourceLimits
    step_id: str | None = None
    arguments_sha256: str = NO_ARGUMENTS_SHA256


class TerminalPeer(Protocol):
    """The user's side of a terminal."""

    def fileno(self) -> int:
        """Return what is readable when `receive` has something."""

    def receive(self) -> bytes | WindowSize | None:
        """Return what was typed, or a new size of the window; None when the user is gone.

        Raises:
            BlockingIOError: There is nothing now.
        """

    def send(self, data: bytes) -> None:
        """Show output, all of it.

        Raises:
            BlockingIOError: There is no room for it now; nothing of it was taken.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyBounds:
    """How much one copy may be.

    Attributes:
        content_bytes: Of all files together.
        entries_count: Files, directories and links.
    """

    content_bytes: int
    entries_count: int


class CopyFacts(Protocol):
    """What was copied: bytes of all files, entries, and the digest that `docs/audit-format.md` describes."""

    content_bytes: int
    entries_count: int
    sha256: str


class SandboxSession(Protocol):
    """A sandbox that stays for several executions; several threads may use it, one for each execution.

    Every method that takes a leave raises TokenRejected when its token does not cover the act, LimitExceeded when a
    limit was reached, and ProviderError `provider.session` when the session has ended.
    """

    @property
    def executions_count(self) -> int:
        """How many executions run now."""

    @property
    def end_reason(self) -> str | None:
        """Why it has ended; None while it runs."""

    @property
    def usage(self) -> Usage:
        """What all of it used; nothing is known before its end."""

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when it has ended."""

    def execute(
        self,
        leave: SessionLeave,
        program: ExternalProgram,
        *,
        working_directory: str | None = None,
        on_output: OutputObserver | None = None,
        hangup: int | None = None,
    ) -> ExecutionResult:
        """Run one program and wait until it and everything it has started are gone.

        Args:
            leave: Permission.
            program: What to run.
            working_directory: Absolute, inside; the session's when left out.
            on_output: Sees output as it comes.
            hangup: A descriptor that becomes readable when nobody wants the result any more; the program is ended then.
        """

    def interact(
        self,
        leave: SessionLeave,
        program: ExternalProgram,
        peer: TerminalPeer,
        *,
        size: WindowSize,
        terminal_type: str,
        working_directory: str | None = None,
    ) -> ExecutionResult:
        """Run one program on a terminal of its own; the exit status is 128 + N when signal N ended it."""

    def unpack(self, leave: SessionLeave, source: str | bytes, path: str, bounds: CopyBounds) -> CopyFacts:
        """Copy data, or the file or directory of the host that `source` names, to `path` inside.

        Raises:
            GuestError: `guest.copy`: one of both is not as it must be, or it is too much.
        """

    def pack(self, leave: SessionLeave, path: str, target: str, bounds: CopyBounds) -> CopyFacts:
        """Copy a file or directory at `path` inside to `target` on the host; raises as `unpack`."""

    def close(self) -> None:
        """End it and everything in it. Idempotent."""


@runtime_checkable
class ForkableSession(Protocol):
    """A session that can go on in several sandboxes at once; the others are not asked to."""

    def fork(self, contexts: Sequence[SessionContext]) -> tuple[SandboxSession, ...]:
        """Make sessions that go on where this one is, each in a sandbox of its own; this one goes on, too.

        Args:
            contexts: One for each, with its token; they grant what this session was granted.

        Raises:
            TokenRejected: A token does not cover its session.
            InputError: `input.fork`: it cannot be forked now, or as it was opened.
            ProviderError: One could not be made; then none is.
        """


@runtime_checkable
class SessionProvider(Protocol):
    """A provider that has sessions; the others are not asked for one."""

    def open_session(self, context: SessionContext) -> SandboxSession:
        """Build a sandbox that stays.

        Raises:
            TokenRejected: The token does not cover this session.
            ProviderUnavailable: A mechanism is missing on this machine.
            LaunchError: The sandbox could not be built.
        """
