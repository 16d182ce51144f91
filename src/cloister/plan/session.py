"""A sandbox that stays for several executions, each authorized and recorded like a call.

Owns the sequence for `cloister session` and `Runtime.session`: decide once what the session may do, record it, have
the provider attest, open it; then for each execution and each copy issue a token, record the intent, act, record the
outcome; and record the end.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cloister.authority.context import RuntimeContext
from cloister.authority.decision import Decision
from cloister.capabilities.mounts import tree_mounts
from cloister.errors import CloisterError, InputError, ProviderUnavailable
from cloister.interrupts import admitted, held
from cloister.isolation.attestation import Expectations
from cloister.isolation.provider import ExecutionResult, ExternalProgram, IsolationProvider, OutputObserver
from cloister.isolation.session_provider import (
    CopyBounds,
    CopyFacts,
    SandboxSession,
    SessionContext,
    SessionLeave,
    SessionProvider,
    TerminalPeer,
    WindowSize,
)
from cloister.limits import ResourceLimits
from cloister.plan.attesting import require_attestation
from cloister.plan.command import EXEC_CAPABILITY
from cloister.plan.parts import RunParts
from cloister.plan.record_facts import OutcomeFacts, wire_digest
from cloister.plan.recorder import recorded
from cloister.plan.run import require_level
from cloister.plan.session_recorder import SessionRecorder

LIFETIME_MS: Final = 3_600_000
IDLE_MS: Final = 900_000
TERMINAL_TYPE: Final = "xterm"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTerms:
    """What a session is beside its grants.

    Attributes:
        name: For people; None when it has none.
        lifetime_ms: When it ends, counted from its start, whatever runs in it.
        idle_ms: When it ends, counted from the end of the last execution.
        has_terminals: Whether executions may have a terminal.
        working_directory: Where executions begin, absolute, inside; None for its private temporary directory.
    """

    name: str | None = None
    lifetime_ms: int = LIFETIME_MS
    idle_ms: int = IDLE_MS
    has_terminals: bool = False
    working_directory: str | None = None

    def __post_init__(self) -> None:
        for name in ("lifetime_ms", "idle_ms"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(
                    f"{name} of a session is {value!r}; it must be a whole number of at least 1",
                    code="input.session",
                    hint="a session always ends; name a larger number of milliseconds",
                )


@held()
def open_session(
    parts: RunParts,
    *,
    context: RuntimeContext,
    provider: IsolationProvider,
    terms: SessionTerms,
    expected: Expectations,
) -> Session:
    """Open a session; see `Runtime.session` for arguments and errors."""
    lifetime = replace(context, limits=replace(context.limits, wall_ms=terms.lifetime_ms))
    decision = parts.authorizer.authorize_workload(lifetime, EXEC_CAPABILITY)
    run_id = parts.new_run_id()
    recorder = SessionRecorder(parts.chain, run_id)
    recorder.session_started(
        decision,
        {
            "session": terms.name,
            "provider": provider.name,
            "isolation": provider.level.label,
            "context": context.to_dict(),
            "lifetime_ms": terms.lifetime_ms,
            "idle_ms": terms.idle_ms,
            "has_terminals": terms.has_terminals,
        },
    )
    with recorded(recorder.session_failed):
        decision.require()
        require_level(provider, context)
        if not isinstance(provider, SessionProvider):
            raise ProviderUnavailable(
                f"the provider {provider.name} has no sessions",
                code="provider.no-sessions",
                hint="choose --provider process",
            )
        require_attestation(provider, lifetime.limits, expected, recorder, recorder.started)
        with admitted():
            sandbox = provider.open_session(
                SessionContext(
                    execution_id=run_id,
                    capability_id=EXEC_CAPABILITY,
                    token=parts.issuer.issue(decision, execution_id=run_id),
                    limits=lifetime.limits,
                    mounts=tree_mounts(decision.read_paths, decision.write_paths),
                    environment=dict(context.environment),
                    working_directory=terms.working_directory,
                    idle_ms=terms.idle_ms,
                    has_terminals=terms.has_terminals,
                )
            )
    opened = Opened(
        parts=parts, decision=decision, context=context, provider=provider.name, terms=terms, sandbox=sandbox
    )
    return Session(opened, run_id=run_id, recorder=recorder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a session is made of: what it may do, as was decided, and the sandbox it has."""

    parts: RunParts
    decision: Decision
    context: RuntimeContext
    provider: str
    terms: SessionTerms
    sandbox: SandboxSession


class Session:
    """An open session. Use it as a context manager, or close it; several threads may use it.

    Get one from `Runtime.session`.
    """

    def __init__(self, opened: Opened, *, run_id: str, recorder: SessionRecorder) -> None:
        self._parts = opened.parts
        self._recorder = recorder
        self._decision = opened.decision
        self._sandbox = opened.sandbox
        self._lock = threading.Lock()
        self._acts_count = 0
        self._is_closed = False
        self.opened: Final = opened
        self.run_id: Final = run_id
        self.context: Final = opened.context
        self.provider: Final = opened.provider
        self.terms: Final = opened.terms

    def __repr__(self) -> str:
        name = "" if self.terms.name is None else f"{self.terms.name!r}, "
        return f"Session({name}{self.run_id}, {self.provider}, {self.state}, {self._sandbox.executions_count} running)"

    @property
    def state(self) -> str:
        """`open`, `ended` (by a limit, or because its sandbox died), or `closed`."""
        if self._is_closed:
            return "closed"
        return "open" if self._sandbox.end_reason is None else "ended"

    @property
    def end_reason(self) -> str | None:
        """Why it has ended; None while it is open."""
        return self._sandbox.end_reason

    @property
    def executions_count(self) -> int:
        """How many executions and copies run now."""
        return self._sandbox.executions_count

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when it has ended."""
        return self._sandbox.fileno()

    def execute(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        on_output: OutputObserver | None = None,
        working_directory: str | None = None,
        timeout_ms: int | None = None,
        hangup: int | None = None,
    ) -> ExecutionResult:
        """Run a command in the session and wait until it and everything it has started are gone.

        Args:
            argv: Program and arguments.
            stdin: Bytes for standard input.
            on_output: Sees output as it comes.
            working_directory: Absolute path inside; the session's when left out.
            timeout_ms: How long it may take, at most the context's `wall_ms`, which holds when left out.
            hangup: A descriptor that becomes readable when nobody wants the result any more; the command is ended then.

        Returns:
            Output, exit status (which may be other than 0) and measured usage.

        Raises:
            LimitExceeded: It took too long or wrote too much, and was ended; or the session reached a limit, and ended.
            GuestCrashed: A signal ended it.
            LaunchError: It could not be started.
            ProviderError: `provider.session`: the session has ended.
            AuditError: It could not be recorded, so it was not done.
        """

        def act(leave: SessionLeave) -> ExecutionResult:
            return self._sandbox.execute(
                leave,
                ExternalProgram(argv=tuple(argv), stdin=stdin),
                working_directory=working_directory,
                on_output=on_output,
                hangup=hangup,
            )

        return self._execute(argv, timeout_ms, act)

    def interact(
        self,
        argv: Sequence[str],
        peer: TerminalPeer,
        *,
        size: WindowSize,
        terminal_type: str = TERMINAL_TYPE,
        working_directory: str | None = None,
        timeout_ms: int | None = None,
    ) -> ExecutionResult:
        """Run a command on a terminal of its own, joined to the user's, until it and all it has started are gone.

        Args:
            argv: Program and arguments.
            peer: The user's side.
            size: Of the user's window.
            terminal_type: The value of TERM.
            working_directory: As in `execute`.
            timeout_ms: As in `execute`.

        Raises:
            InputError: `input.terminal`: the session was opened without terminals.
            Others: As `execute`; a signal that ended it is 128 and its number in the exit status instead.
        """

        def act(leave: SessionLeave) -> ExecutionResult:
            return self._sandbox.interact(
                leave,
                ExternalProgram(argv=tuple(argv)),
                peer,
                size=size,
                terminal_type=terminal_type,
                working_directory=working_directory,
            )

        return self._execute(argv, timeout_ms, act)

    @held()
    def upload(self, path: str, source: bytes | str | os.PathLike[str]) -> CopyFacts:
        """Copy data, or a file or directory of the host, to a path in the session.

        Reading the host's file is the caller's own act and needs no grant; it is recorded with its digest.

        Args:
            path: Inside. A directory that exists gets a new entry with the name of the source; a file that exists is
                replaced by a file; anything else must not exist, and its parent must.
            source: Bytes, or a path of the host that is no symbolic link. Links below it are copied as links. Links on
                the way to it are followed, but not where the session may write, and so could have put them.

        Raises:
            GuestError: `guest.copy`: one of both is not as it must be, or it is more than `disk_bytes` or
                `inodes_count`.
            Others: As `execute`.
        """
        what = source if isinstance(source, bytes) else str(Path(source).absolute())
        host_path = None if isinstance(what, bytes) else what
        return self._copy("in", host_path, path, lambda leave: self._sandbox.unpack(leave, what, path, self._bounds()))

    @held()
    def download(self, path: str, to: str | os.PathLike[str]) -> CopyFacts:
        """Copy a file or directory out of the session; nothing is written anywhere but where it is named.

        Args:
            path: Inside; no symbolic link.
            to: A path of the host, by the rules of `upload`. The parent of what is made must exist.

        Raises:
            GuestError: As `upload`.
        """
        target = str(Path(to).absolute())
        return self._copy("out", target, path, lambda leave: self._sandbox.pack(leave, path, target, self._bounds()))

    def read_file(self, path: str) -> bytes:
        """Return the content of a file in the session; recorded as a copy out, like `download`.

        Raises:
            GuestError: As `upload`; also when it is a directory.
        """
        with tempfile.TemporaryDirectory(prefix="cloister-") as directory:
            place = Path(directory) / "content"
            self.download(path, place)
            if place.is_dir():
                raise InputError(
                    "a directory has no content of its own", code="input.session", hint="download it to a directory"
                )
            return place.read_bytes()

    @held()
    def close(self) -> None:
        """End it and everything in it, and record that. Idempotent."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        reason = self._sandbox.end_reason or "it was closed"
        self._sandbox.close()
        self._recorder.session_ended(reason, self._sandbox.usage)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @held()
    def _execute(
        self, argv: Sequence[str], timeout_ms: int | None, act: Callable[[SessionLeave], ExecutionResult]
    ) -> ExecutionResult:
        if isinstance(argv, str) or not argv or not argv[0]:
            raise InputError("a command is a list of words", code="input.argv", hint='write ["echo", "hi"]')
        intent = self._recorder.call_intent(self._decision, list(argv), self._recorder.started)

        def fail(error: CloisterError) -> None:
            self._recorder.call_failed(intent, EXEC_CAPABILITY, error)

        with recorded(fail):
            leave = self._leave(self._limits(timeout_ms), argv)
            with admitted():
                result = act(leave)
        outcome = {"exit_status": result.exit_status}
        self._recorder.call_succeeded(
            intent, EXEC_CAPABILITY, outcome, result.usage, OutcomeFacts(exit_status=result.exit_status)
        )
        return result

    def _copy(
        self, direction: str, host_path: str | None, path: str, act: Callable[[SessionLeave], CopyFacts]
    ) -> CopyFacts:
        intent = self._recorder.copy_intent(self._decision, direction, host_path, path)
        with recorded(lambda error: self._recorder.copy_failed(intent, EXEC_CAPABILITY, error)):
            leave = self._leave(self._limits(None), [direction, host_path, path])
            with admitted():
                copied = act(leave)
        self._recorder.copy_succeeded(intent, EXEC_CAPABILITY, copied)
        return copied

    def _limits(self, timeout_ms: int | None) -> ResourceLimits:
        wall_ms = min(self.context.limits.wall_ms, self.terms.lifetime_ms)
        if timeout_ms is not None:
            wall_ms = min(wall_ms, timeout_ms)
        return replace(self.context.limits, wall_ms=wall_ms)

    def _leave(self, limits: ResourceLimits, words: Sequence[str | None]) -> SessionLeave:
        """Return leave for one act, which its words tell from every other."""
        arguments_sha256, _ = wire_digest(list(words))
        with self._lock:
            self._acts_count += 1
            execution_id = f"{self.run_id}/{self._acts_count}"
        return SessionLeave(
            execution_id=execution_id,
            capability_id=EXEC_CAPABILITY,
            token=self._parts.issuer.issue(
                self._decision, execution_id=execution_id, arguments_sha256=arguments_sha256, limits=limits
            ),
            limits=limits,
            arguments_sha256=arguments_sha256,
        )

    def _bounds(self) -> CopyBounds:
        limits = self.context.limits
        return CopyBounds(content_bytes=limits.disk_bytes, entries_count=limits.inodes_count)
