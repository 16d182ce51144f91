"""The one object a program needs: it owns the providers and the causal chain, and runs plans and commands.

Owns the life of both; everything that decides, executes or records lives in the packages it joins. Inputs come from the
caller and are trusted to name the right context; plans, scripts and commands are not trusted at all.
"""

from __future__ import annotations

import asyncio
import os
import stat
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

from cloister.audit.chain import CausalChain
from cloister.audit.event import Record
from cloister.audit.home import open_chain
from cloister.authority.authorizer import Reason, SecurityAuthorizer
from cloister.authority.context import RuntimeContext
from cloister.authority.token import TokenIssuer
from cloister.capabilities.catalog import Catalog, builtin_catalog
from cloister.clock import Clock, SystemClock
from cloister.errors import InputError, PlanError, quoted
from cloister.isolation.factory import ProviderFactory
from cloister.isolation.host_paths import HostPathResolver
from cloister.isolation.provider import ExecutionResult, OutputObserver, ProbeReport
from cloister.lang.program import Program, compile_program
from cloister.lang.transport import from_python
from cloister.plan.admission import Requirement, requirements
from cloister.plan.command import run_command
from cloister.plan.observer import RunObserver, SilentObserver
from cloister.plan.result import RunResult
from cloister.plan.run import RunParts, run_plan

Plan: TypeAlias = Program | Path | str
"""A compiled program, the path of a plan file, or the text of a plan."""

PLAN_BYTES_MAX = 4 * 1024 * 1024
TOKEN_KEY_BYTES = 32


def default_home() -> Path:
    """Return where chain and keys live: `$CLOISTER_HOME`, else `cloister` below the user's state directory.

    Source: XDG Base Directory Specification 0.8 for `$XDG_STATE_HOME` and its default `~/.local/state`.
    """
    chosen = os.environ.get("CLOISTER_HOME")
    if chosen:
        return Path(chosen)
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "cloister"


def load_plan(plan: Plan, inputs: Sequence[str] = ()) -> Program:
    """Read and compile a plan.

    Args:
        plan: A program is returned as it is; a path is read; any other text is compiled.
        inputs: Names that the plan may use as inputs.

    Raises:
        PlanError: The file cannot be read, is too large, or is not UTF-8 text.
        ReadError: It is not RTFS.
        CompileError: It is not a program.
    """
    if isinstance(plan, Program):
        return plan
    if isinstance(plan, str):
        return compile_program(plan, "<plan>", inputs)
    if not isinstance(plan, Path):
        raise InputError(
            f"a plan is a path, a text or a program, not {type(plan).__name__}",
            code="input.plan",
            hint="pass pathlib.Path(...) for a file",
        )
    return compile_program(_plan_text(plan), str(plan), inputs)


def _plan_text(plan: Path) -> str:
    hint = "name a file with RTFS text"
    try:
        # Not blocking, because the file may turn out to be a pipe that nobody writes to
        with os.fdopen(os.open(plan, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise PlanError(f"plan {quoted(str(plan))} is not a regular file", code="plan.unreadable", hint=hint)
            data = file.read(PLAN_BYTES_MAX + 1)
    except OSError as error:
        message = f"cannot read plan {quoted(str(plan))}: {error.strerror}"
        raise PlanError(message, code="plan.unreadable", hint=hint) from error
    if len(data) > PLAN_BYTES_MAX:
        raise PlanError(f"plan {quoted(str(plan))} is larger than {PLAN_BYTES_MAX} bytes", code="plan.size")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PlanError(
            f"plan {quoted(str(plan))} is not UTF-8 text: byte {error.start} is {data[error.start]:#04x}",
            code="plan.encoding",
            hint="save it as UTF-8",
        ) from error


def explain_plan(
    plan: Plan, *, context: RuntimeContext, inputs: Sequence[str] = (), values: Mapping[str, Any] | None = None
) -> tuple[Requirement, ...]:
    """List every place where a plan touches the world, each with what the context says to it.

    Args:
        plan: As for `load_plan`.
        context: What it would be allowed.
        inputs: Names that the plan may use as inputs.
        values: Values of inputs, as far as they are known.
    """
    known = {name: from_python(value) for name, value in (values or {}).items()}
    program = load_plan(plan, sorted({*inputs, *known}))
    return requirements(program, context, _authorizer(builtin_catalog()), known)


def check_plan(plan: Plan, *, inputs: Sequence[str] = ()) -> Program:
    """Read and compile a plan, and look at its calls without regard to grants.

    Raises:
        PlanError, ReadError, CompileError: As `load_plan`.
        CapabilityDenied: `denied.unknown-capability`.
        GuestError: The arguments of a call cannot fit the capability.
    """
    program = load_plan(plan, inputs)
    found = requirements(program, RuntimeContext.unsafe_everything(), _authorizer(builtin_catalog()))
    for item in found:
        if item.problem is not None or item.decision.reason is Reason.UNKNOWN_CAPABILITY:
            raise item.error()
    return program


def probe_providers() -> tuple[ProbeReport, ...]:
    """Probe every provider: what works here, with the evidence. Needs no home directory."""
    clock = SystemClock()
    providers = ProviderFactory(TokenIssuer(clock.random_bytes(TOKEN_KEY_BYTES), clock).verifier())
    try:
        return providers.probe_all()
    finally:
        providers.close()


def _authorizer(catalog: Catalog, *, protected: tuple[str, ...] = ()) -> SecurityAuthorizer:
    try:
        here = Path.cwd()
    except FileNotFoundError as error:
        raise InputError(
            "the directory this was started in is gone, so relative paths lead nowhere",
            code="input.working-directory",
            hint="change to a directory that exists",
        ) from error
    return SecurityAuthorizer(catalog.registry, HostPathResolver(here), protected=protected)


class Runtime:
    """Runs plans and commands; every one is authorized, isolated and recorded.

    Make one with `Runtime.open` and close it, or use it as a context manager. It may be used from several threads.

    Args:
        chain: Where runs are recorded.
        home: The directory of the chain and its keys; no grant opens it.
        clock: Time and randomness.
        catalog: What plans can call.
    """

    def __init__(self, chain: CausalChain, *, home: Path, clock: Clock, catalog: Catalog) -> None:
        issuer = TokenIssuer(clock.random_bytes(TOKEN_KEY_BYTES), clock)
        self._home = home
        self._process = os.getpid()
        self._is_open = True
        self._providers = ProviderFactory(issuer.verifier())
        self._parts = RunParts(
            chain=chain,
            clock=clock,
            catalog=catalog,
            authorizer=_authorizer(catalog, protected=(os.path.realpath(home),)),
            issuer=issuer,
        )

    @classmethod
    def open(cls, home: str | Path | None = None, *, clock: Clock | None = None) -> Self:
        """Open the runtime whose chain and keys live in a directory; they are made when missing.

        Args:
            home: The directory; `default_home()` when left out.
            clock: Time and randomness; the system's when left out.

        Raises:
            AuditError: The chain there is not one of ours, or cannot be opened.
            KeyUnavailable: Its signing key cannot be read, or others can read it.
        """
        clock = clock or SystemClock()
        directory = Path(home) if home is not None else default_home()
        return cls(open_chain(directory, clock), home=directory, clock=clock, catalog=builtin_catalog())

    def check(self, plan: Plan, *, inputs: Sequence[str] = ()) -> Program:
        """Read and compile a plan without running it; see `load_plan`."""
        return load_plan(plan, inputs)

    def run(
        self,
        plan: Plan,
        *,
        context: RuntimeContext,
        provider: str = "process",
        inputs: Mapping[str, Any] | None = None,
        observer: RunObserver | None = None,
    ) -> RunResult:
        """Run a plan and wait for its result.

        Args:
            plan: A path, program text, or compiled program.
            context: What it may do; everything else is refused.
            provider: Name of the isolation provider.
            inputs: Values of the plan's inputs by name: None, bool, int, float, str, lists, dicts, keywords.
            observer: Sees steps, calls and printed lines as they happen.

        Returns:
            The value and the facts of the run.

        Raises:
            InputError: The plan or an input cannot be used (exit status 2).
            DeniedError: The context does not cover it; the hint names the missing grant (3).
            LimitExceeded: A limit was reached (4).
            GuestError: The plan failed by itself (1).
            ProviderError: The provider could not do its work (5).
            AuditError: The run could not be recorded, so it was stopped (6).
        """
        self._require_open()
        program = load_plan(plan, sorted(inputs or {}))
        return run_plan(
            self._parts,
            program,
            context=context,
            provider=self._providers.create(provider),
            inputs=inputs or {},
            observer=observer or SilentObserver(),
        )

    async def arun(
        self,
        plan: Plan,
        *,
        context: RuntimeContext,
        provider: str = "process",
        inputs: Mapping[str, Any] | None = None,
        observer: RunObserver | None = None,
    ) -> RunResult:
        """Run a plan without blocking the event loop: `run` in a worker thread. Cancelling does not end the run."""
        return await asyncio.to_thread(
            self.run, plan, context=context, provider=provider, inputs=inputs, observer=observer
        )

    def execute(
        self,
        argv: Sequence[str],
        *,
        context: RuntimeContext,
        provider: str = "process",
        stdin: bytes = b"",
        on_output: OutputObserver | None = None,
        working_directory: str | None = None,
    ) -> ExecutionResult:
        """Run a command in a sandbox that sees the context's paths and variables.

        Args:
            argv: Program and arguments.
            context: Needs the capability `cloister.exec`.
            provider: Name of the isolation provider.
            stdin: Bytes for standard input.
            on_output: Sees output as it comes.
            working_directory: Absolute path inside the sandbox; its private temporary directory when left out.

        Returns:
            Output, exit status (which may be other than 0) and measured usage.

        Raises:
            DeniedError, LimitExceeded, GuestCrashed, ProviderError, AuditError: As `run`.
        """
        if isinstance(argv, str):
            raise InputError(
                "a command is a list of words, not one text", code="input.argv", hint='write ["echo", "hi"]'
            )
        self._require_open()
        return run_command(
            self._parts,
            tuple(argv),
            context=context,
            provider=self._providers.create(provider),
            stdin=stdin,
            on_output=on_output,
            working_directory=working_directory,
        )

    def records(self, run_id: str | None = None) -> Iterator[Record]:
        """Yield the records of the causal chain in order, each with its own hash and signature checked.

        Args:
            run_id: Only those of one run; None for all.

        Raises:
            ChainBroken: At the first record that was changed.
        """
        self._require_open()
        return self._parts.chain.records(run_id)

    def probe(self) -> tuple[ProbeReport, ...]:
        """Probe every provider: what works here, with the evidence."""
        return self._providers.probe_all()

    def close(self) -> None:
        """End the providers' processes and close the chain. Idempotent."""
        self._is_open = False
        self._providers.close()
        self._parts.chain.close()

    def _require_open(self) -> None:
        if not self._is_open:
            raise InputError("this runtime is closed", code="input.closed", hint="open another one with Runtime.open")
        if self._process != os.getpid():
            raise InputError(
                "this runtime belongs to the process this one was forked from",
                code="input.forked",
                hint="open one with Runtime.open in each process",
            )

    def __repr__(self) -> str:
        return f"Runtime({str(self._home)!r}, {'open' if self._is_open else 'closed'})"

    def __del__(self) -> None:
        if getattr(self, "_is_open", False) and self._process == os.getpid():
            warnings.warn(f"{self!r} was not closed; use it in a with statement", ResourceWarning, stacklevel=2)
            self.close()

    def __enter__(self) -> Self:
        self._require_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
