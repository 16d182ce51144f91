"""The one object a program needs: it owns the providers and the causal chain, and runs plans, commands and scripts.

Owns the life of both; everything that decides, executes or records lives in the packages it joins. Inputs come from the
caller and are trusted to name the right context; plans, scripts and commands are not trusted at all.
"""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from cloister.audit.chain import CausalChain
from cloister.audit.event import Record
from cloister.audit.home import default_home, open_chain
from cloister.authority.context import RuntimeContext
from cloister.authority.token import TokenIssuer
from cloister.capabilities.catalog import Catalog, builtin_catalog
from cloister.clock import Clock, SystemClock
from cloister.errors import InputError
from cloister.isolation.attestation import Expectations
from cloister.isolation.factory import ProviderFactory
from cloister.isolation.factory import Surroundings as ProviderSurroundings
from cloister.isolation.provider import ExecutionResult, OutputObserver, ProbeReport
from cloister.lang.program import Program
from cloister.plan.attesting import QuotedMachine, quote_machine
from cloister.plan.checking import check_program
from cloister.plan.command import Surroundings, run_command, run_script
from cloister.plan.host_authorizer import make_authorizer
from cloister.plan.loading import Plan, load_plan
from cloister.plan.observer import RunObserver, SilentObserver
from cloister.plan.result import RunResult, ScriptResult
from cloister.plan.run import RunParts, run_plan
from cloister.plan.script import load_script
from cloister.plan.session import IDLE_MS, LIFETIME_MS, Session, SessionTerms, open_session

if TYPE_CHECKING:
    from cloister.isolation.microvm.config import MachineConfig

TOKEN_KEY_BYTES = 32


class Runtime:
    """Runs plans, commands and scripts; every one is authorized, isolated and recorded.

    Make one with `Runtime.open` and close it, or use it as a context manager. It may be used from several threads.

    Args:
        chain: Where runs are recorded.
        home: The directory of the chain and its keys; no grant opens it.
        clock: Time and randomness.
        catalog: What plans can call.
        machines: What virtual machines are.
    """

    def __init__(
        self,
        chain: CausalChain,
        *,
        home: Path,
        clock: Clock,
        catalog: Catalog,
        machines: MachineConfig | None = None,
    ) -> None:
        issuer = TokenIssuer(clock.random_bytes(TOKEN_KEY_BYTES), clock)
        self._home = home
        self._process = os.getpid()
        self._is_open = True
        self._sessions: set[Session] = set()
        self._providers = ProviderFactory(
            issuer.verifier(), ProviderSurroundings(home=home, clock=clock, machines=machines)
        )
        self._parts = RunParts(
            chain=chain,
            clock=clock,
            catalog=catalog,
            authorizer=make_authorizer(catalog, protected=(os.path.realpath(home),)),
            issuer=issuer,
        )

    @classmethod
    def open(
        cls,
        home: str | Path | None = None,
        *,
        clock: Clock | None = None,
        catalog: Catalog | None = None,
        machines: MachineConfig | None = None,
    ) -> Self:
        """Open the runtime whose chain and keys live in a directory; they are made when missing.

        Args:
            home: The directory; `default_home()` when left out.
            clock: Time and randomness; the system's when left out.
            catalog: What plans can call; the built-in capabilities when left out.
            machines: What the virtual machines of the microVM provider are; see `MachineConfig` for what holds when it
                is left out.

        Raises:
            AuditError: The chain there is not one of ours, or cannot be opened.
            KeyUnavailable: Its signing key cannot be read, or others can read it.
        """
        clock = clock or SystemClock()
        directory = Path(home) if home is not None else default_home()
        return cls(
            open_chain(directory, clock),
            home=directory,
            clock=clock,
            catalog=catalog or builtin_catalog(),
            machines=machines,
        )

    def check(self, plan: Plan, *, inputs: Sequence[str] = (), module_paths: Sequence[Path] = ()) -> Program:
        """Read, compile and check a plan as `cloister check` does: nothing of it is run, and nothing is recorded.

        Where several problems are found, the first one is raised; its `details["more"]` lists the others.

        Args:
            plan: A path, program text, or compiled program.
            inputs: Names that the plan may use as inputs.
            module_paths: Directories its modules are looked for in, after that of the plan's own file.

        Returns:
            The compiled plan, which `run` takes as it is.

        Raises:
            PlanError, ReadError, CompileError: It cannot be read or is no program (exit status 2).
            CapabilityDenied: `denied.unknown-capability`: it calls what this runtime's catalog does not have (3).
            GuestError: The arguments of a call cannot fit its capability (1).
        """
        program = load_plan(plan, inputs, module_paths)
        return check_program(program, self._parts.authorizer).checked()

    def run(
        self,
        plan: Plan,
        *,
        context: RuntimeContext,
        provider: str = "process",
        inputs: Mapping[str, Any] | None = None,
        observer: RunObserver | None = None,
        module_paths: Sequence[Path] = (),
        expected: Mapping[str, str] | None = None,
    ) -> RunResult:
        """Run a plan and wait for its result.

        Args:
            plan: A path, program text, or compiled program.
            context: What it may do; everything else is refused.
            provider: Name of the isolation provider.
            inputs: Values of the plan's inputs by name: None, bool, int, float, str, lists, dicts, keywords.
            observer: Sees steps, calls and printed lines as they happen.
            module_paths: Directories its modules are looked for in, after that of the plan's own file.
            expected: Digests that the provider must have measured before anything is admitted, by part: `sha256:HEX`,
                or `none` for what must not be there. The parts are those of `cloister.isolation.attestation.PARTS`.

        Returns:
            The value and the facts of the run.

        Raises:
            InputError: The plan or an input cannot be used (exit status 2).
            DeniedError: The context does not cover it; the hint names the missing grant (3).
            LimitExceeded: A limit was reached (4).
            GuestError: The plan failed by itself (1).
            ProviderError: The provider could not do its work (5).
            AuditError: The run could not be recorded, so it was stopped (6).
            AttestationError: Something else than expected was measured; nothing was run (7).
        """
        self._require_open()
        program = load_plan(plan, sorted(inputs or {}), module_paths)
        return run_plan(
            self._parts,
            program,
            context=context,
            provider=self._providers.create(provider),
            inputs=inputs or {},
            observer=observer or SilentObserver(),
            expected=Expectations.parse(expected or {}),
        )

    async def arun(
        self,
        plan: Plan,
        *,
        context: RuntimeContext,
        provider: str = "process",
        inputs: Mapping[str, Any] | None = None,
        observer: RunObserver | None = None,
        module_paths: Sequence[Path] = (),
        expected: Mapping[str, str] | None = None,
    ) -> RunResult:
        """Run a plan without blocking the event loop: `run` in a worker thread. Cancelling does not end the run."""
        return await asyncio.to_thread(
            self.run,
            plan,
            context=context,
            provider=provider,
            inputs=inputs,
            observer=observer,
            module_paths=module_paths,
            expected=expected,
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
        expected: Mapping[str, str] | None = None,
    ) -> ExecutionResult:
        """Run a command in a sandbox that sees the context's paths and variables.

        Args:
            argv: Program and arguments.
            context: Needs the capability `cloister.exec`.
            provider: Name of the isolation provider.
            stdin: Bytes for standard input.
            on_output: Sees output as it comes.
            working_directory: Absolute path inside the sandbox; its private temporary directory when left out.
            expected: As in `run`.

        Returns:
            Output, exit status (which may be other than 0) and measured usage.

        Raises:
            GuestCrashed: A signal killed it; `details["signal"]` names it.
            DeniedError, LimitExceeded, ProviderError, AuditError, AttestationError: As `run`.
        """
        words = _words(argv, "a command")
        self._require_open()
        around = self._surroundings(context, provider, on_output, working_directory, expected)
        return run_command(self._parts, words, around, stdin=stdin)

    def execute_script(
        self,
        source: str | Path,
        *,
        context: RuntimeContext,
        language: str | None = None,
        name: str | None = None,
        argv: Sequence[str] = (),
        arguments: Any = None,
        provider: str = "process",
        stdin: bytes | None = None,
        on_output: OutputObserver | None = None,
        working_directory: str | None = None,
        expected: Mapping[str, str] | None = None,
    ) -> ScriptResult:
        """Run a script in a sandbox that sees its interpreter and the context's paths and variables.

        A script that ends with another exit status than 0 comes back like one that ends with 0; its `value` raises.

        Args:
            source: A path, or the text of the script.
            context: Needs the capability `cloister.exec`.
            language: `python`, `javascript`, `shell`, `ruby` or `lua`; left out, the script's first line decides, then
                the end of its name, then its text. A first line can name any other interpreter.
            name: What errors and the record call it; its path when left out.
            argv: Words for the script.
            arguments: Data the script finds on standard input as JSON; None for none.
            provider: Name of the isolation provider.
            stdin: Bytes for standard input, in place of `arguments`.
            on_output: Sees output as it comes.
            working_directory: Absolute path inside the sandbox; its private temporary directory when left out.
            expected: As in `run`.

        Returns:
            Output, exit status, measured usage, and the value that was printed.

        Raises:
            InputError: The script cannot be read, its language is not known, or it is a plan, which `run` takes.
            ProviderUnavailable: `provider.interpreter`: its interpreter is not installed; the hint names the package.
            GuestCrashed: A signal killed it; `details["signal"]` names it.
            DeniedError, LimitExceeded, ProviderError, AuditError, AttestationError: As `run`.
        """
        words = _words(argv, "the list of arguments")
        self._require_open()
        return run_script(
            self._parts,
            load_script(source, name, context.limits),
            self._surroundings(context, provider, on_output, working_directory, expected),
            language=language,
            argv=words,
            arguments=arguments,
            stdin=stdin,
        )

    def _surroundings(
        self,
        context: RuntimeContext,
        provider: str,
        on_output: OutputObserver | None,
        working_directory: str | None,
        expected: Mapping[str, str] | None,
    ) -> Surroundings:
        return Surroundings(
            context=context,
            provider=self._providers.create(provider),
            on_output=on_output,
            working_directory=working_directory,
            expected=Expectations.parse(expected or {}),
        )

    def session(
        self,
        *,
        context: RuntimeContext,
        provider: str = "process",
        name: str | None = None,
        lifetime_ms: int = LIFETIME_MS,
        idle_ms: int = IDLE_MS,
        terminals: bool = False,
        working_directory: str | None = None,
        expected: Mapping[str, str] | None = None,
    ) -> Session:
        """Open a sandbox that stays for several executions; close it, or use it as a context manager.

        Args:
            context: What everything in it may do; needs the capability `cloister.exec`. `wall_ms` bounds each
                execution, `output_bytes` the output of each; all other limits are those of the session as a whole.
            provider: Name of the isolation provider.
            name: For people, in the record.
            lifetime_ms: When it ends, whatever runs in it.
            idle_ms: When it ends after its last execution.
            terminals: Whether executions may have a terminal.
            working_directory: Where executions begin, absolute, inside; its private temporary directory when left out.
            expected: As in `run`.

        Raises:
            ProviderUnavailable: `provider.no-sessions`: the provider has none.
            DeniedError, LimitExceeded, ProviderError, AuditError, AttestationError: As `run`.
        """
        self._require_open()
        terms = SessionTerms(
            name=name,
            lifetime_ms=lifetime_ms,
            idle_ms=idle_ms,
            has_terminals=terminals,
            working_directory=working_directory,
        )
        opened = open_session(
            self._parts,
            context=context,
            provider=self._providers.create(provider),
            terms=terms,
            expected=Expectations.parse(expected or {}),
        )
        self._sessions.add(opened)
        return opened

    def records(self, run_id: str | None = None) -> Iterator[Record]:
        """Yield the records of the causal chain in order, each with its own hash and signature checked.

        Args:
            run_id: Only those of one run; None for all.

        Raises:
            ChainBroken: At the first record that was changed.
        """
        self._require_open()
        return self._parts.chain.records(run_id)

    def quote(self, *, provider: str, nonce: bytes) -> QuotedMachine:
        """Boot a measured machine and have its TPM state what it is; see `cloister.plan.attesting.quote_machine`."""
        self._require_open()
        return quote_machine(self._parts, self._providers.create(provider), nonce)

    def probe(self) -> tuple[ProbeReport, ...]:
        """Probe every provider: what works here, with the evidence."""
        return self._providers.probe_all()

    def close(self) -> None:
        """End the sessions and the providers' processes, and close the chain. Idempotent."""
        self._is_open = False
        while self._sessions:
            self._sessions.pop().close()
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


def _words(argv: Sequence[str], what: str) -> tuple[str, ...]:
    """Return words as plain texts, which is what crosses to a sandbox."""
    hint = 'write ["echo", "hi"]'
    if isinstance(argv, str):
        raise InputError(f"{what} is a list of words, not one text", code="input.argv", hint=hint)
    for word in argv:
        if not isinstance(word, str):
            raise InputError(f"{what} holds a {type(word).__name__}, not texts alone", code="input.argv", hint=hint)
    return tuple(map(str, argv))
