"""The one object a program needs: it owns the providers and the causal chain, and runs plans, commands and scripts.

Owns the life of both; everything that decides, executes or records lives in the packages it joins. Inputs come from the
caller and are trusted to name the right context; plans, scripts and commands are not trusted at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cloister.authority.context import RuntimeContext
from cloister.isolation.attestation import Expectations
from cloister.isolation.provider import ExecutionResult, OutputObserver, WasmFunction
from cloister.lang.program import Program
from cloister.plan.approvals.approver import Approver
from cloister.plan.checking import check_program
from cloister.plan.command import Surroundings, run_command, run_function, run_script, words_of
from cloister.plan.loading import Plan, load_plan
from cloister.plan.native import HOST_PROCESS, run_native
from cloister.plan.observer import RunObserver, SilentObserver
from cloister.plan.performing import PlanTerms, ProgramResult, perform
from cloister.plan.result import RunResult, ScriptResult
from cloister.plan.run import run_plan
from cloister.plan.script import load_script
from cloister.plan.terms import RunTerms
from cloister.plan.variants import NativeFunction, ProgramVariant
from cloister.runtime_runs import RuntimeRuns
from cloister.runtime_sessions import RuntimeSessions


class Runtime(RuntimeRuns, RuntimeSessions):
    """Runs plans, commands and scripts; every one is authorized, isolated and recorded.

    Make one with `Runtime.open` and close it, or use it as a context manager. It may be used from several threads.
    """

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
        terms: RunTerms | None = None,
        approver: Approver | None = None,
    ) -> RunResult:
        """Run a plan and wait for its result.

        Args:
            plan: A path, program text, compiled program, or one of the variants that are plans.
            context: What it may do; everything else is refused.
            provider: Name of the isolation provider.
            inputs: Values of the plan's inputs by name: None, bool, int, float, str, lists, dicts, keywords; they go
                before the context's cross-plan parameters of that name.
            observer: Sees steps, calls and printed lines as they happen.
            module_paths: Directories its modules are looked for in, after that of the plan's own file.
            expected: Digests that the provider must have measured before anything is admitted, by part: `sha256:HEX`,
                or `none` for what must not be there. The parts are those of `cloister.isolation.attestation.PARTS`.
            terms: How far it may go by itself, what it may spend, and on whose behalf it runs.
            approver: Answers when a call needs an approval, and the run goes on; None lets it wait for `decide`.

        Returns:
            The value and the facts of the run.

        Raises:
            InputError: The plan or an input cannot be used (exit status 2).
            DeniedError: The context does not cover it; the hint names the missing grant (3).
            ApprovalRequired: The run waits for an approval, which `details["approval_id"]` names (3).
            LimitExceeded: A limit was reached (4).
            GuestError: The plan failed by itself (1).
            ProviderError: The provider could not do its work (5).
            AuditError: The run could not be recorded, so it was stopped (6).
            AttestationError: Something else than expected was measured; nothing was run (7).
        """
        self._require_open()
        given = {**context.parameters, **(inputs or {})}
        program = load_plan(plan, sorted(given), module_paths)
        begin = partial(
            run_plan,
            self._parts,
            program,
            context=context,
            provider=self._providers.create(provider),
            inputs=given,
            observer=observer or SilentObserver(),
            expected=Expectations.parse(expected or {}),
            terms=terms or RunTerms(),
        )
        return self._approved(approver, begin, program, dict(context.environment), observer)

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
        terms: RunTerms | None = None,
        approver: Approver | None = None,
    ) -> RunResult:
        """Run a plan without blocking the event loop: `run` in a worker thread. Cancelling does not end the run."""
        import asyncio  # noqa: PLC0415 - large, and loaded already where there is a loop

        return await asyncio.to_thread(
            self.run,
            plan,
            context=context,
            provider=provider,
            inputs=inputs,
            observer=observer,
            module_paths=module_paths,
            expected=expected,
            terms=terms,
            approver=approver,
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
        seed: int | None = None,
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
            seed: For clocks and randomness that depend on this number alone; None for the real ones. Of the providers,
                `wasm` has them.

        Returns:
            Output, exit status (which may be other than 0) and measured usage.

        Raises:
            GuestCrashed: A signal killed it; `details["signal"]` names it.
            DeniedError, LimitExceeded, ProviderError, AuditError, AttestationError: As `run`.
        """
        words = words_of(argv, "a command")
        self._require_open()
        around = self._surroundings(context, provider, on_output, working_directory, expected, seed=seed)
        return run_command(self._parts, words, around, stdin=stdin)

    def call_function(
        self,
        module: str,
        function: str,
        arguments: Sequence[int | float | str] = (),
        *,
        context: RuntimeContext,
        provider: str = "wasm",
        on_output: OutputObserver | None = None,
        working_directory: str | None = None,
        expected: Mapping[str, str] | None = None,
        seed: int | None = None,
    ) -> ExecutionResult:
        """Call a function that a WebAssembly module exports.

        Args:
            module: Path of the module or component, which the context must let be read.
            function: Name of the export, of one in an interface of a component `interface#function`. Parameters and
                results of modules are numbers.
            arguments: One for each parameter, or the text of one; what has parts is JSON.
            context: Needs the capability `cloister.exec`.
            provider: Name of the isolation provider; `wasm` is the one that has functions.
            on_output: Sees output as it comes.
            working_directory: As in `execute`.
            expected: As in `run`.
            seed: As in `execute`.

        Returns:
            The result as `value`, a list when there is not exactly one; output, and measured usage.

        Raises:
            InputError: The module or the arguments cannot be used; `details` and hint say why.
            ProviderUnavailable: `provider.wasm-only`: the provider calls no functions.
            DeniedError, LimitExceeded, GuestError, ProviderError, AuditError: As `run`.
        """
        self._require_open()
        around = self._surroundings(context, provider, on_output, working_directory, expected, seed=seed)
        module, function = words_of((module, function), "the name of a function")
        named = WasmFunction(module=module, function=function, arguments=tuple(arguments))
        return run_function(self._parts, named, around)

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
        seed: int | None = None,
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
            seed: As in `execute`.

        Returns:
            Output, exit status, measured usage, and the value that was printed.

        Raises:
            InputError: The script cannot be read, its language is not known, or it is a plan, which `run` takes.
            ProviderUnavailable: `provider.interpreter`: its interpreter is not installed; the hint names the package.
            GuestCrashed: A signal killed it; `details["signal"]` names it.
            DeniedError, LimitExceeded, ProviderError, AuditError, AttestationError: As `run`.
        """
        words = words_of(argv, "the list of arguments")
        self._require_open()
        return run_script(
            self._parts,
            load_script(source, name, context.limits),
            self._surroundings(context, provider, on_output, working_directory, expected, seed=seed),
            language=language,
            argv=words,
            arguments=arguments,
            stdin=stdin,
        )

    def run_program(
        self,
        program: ProgramVariant,
        *,
        context: RuntimeContext,
        provider: str = "process",
        inputs: Mapping[str, Any] | None = None,
        observer: RunObserver | None = None,
        module_paths: Sequence[Path] = (),
        on_output: OutputObserver | None = None,
        working_directory: str | None = None,
        expected: Mapping[str, str] | None = None,
        terms: RunTerms | None = None,
    ) -> ProgramResult:
        """Run any program: a plan as text, tree or bytecode, a native function, a command, a script, a binary.

        Args:
            program: What to run; `cloister.plan.variants` has all there is.
            context: What it may do. A plan needs what it calls, a native function `cloister.UnsafeNative`, all others
                `cloister.exec`.
            provider: Name of the isolation provider; `none` for a native function, and for nothing else.
            inputs: As in `run`; for plans.
            observer: As in `run`; for plans.
            module_paths: As in `run`; for plans.
            on_output: As in `execute`; not for plans.
            working_directory: As in `execute`; not for plans.
            expected: As in `run`.
            terms: As in `run`; for plans.

        Returns:
            What `run`, `execute` or `execute_script` returns; for a native function its value.

        Raises:
            ProviderUnavailable: The provider cannot run such a program; the hint says which can.
            GuestError: `guest.native`: a native function raised.
            InputError, DeniedError, LimitExceeded, GuestError, ProviderError, AuditError, AttestationError: As `run`.
        """
        self._require_open()
        if isinstance(program, NativeFunction) and provider == HOST_PROCESS:
            return run_native(self._parts, program, context)
        return perform(
            self._parts,
            program,
            self._surroundings(context, provider, on_output, working_directory, expected),
            PlanTerms(
                inputs=inputs or {},
                observer=observer or SilentObserver(),
                module_paths=module_paths,
                terms=terms or RunTerms(),
            ),
        )

    def _surroundings(
        self,
        context: RuntimeContext,
        provider: str,
        on_output: OutputObserver | None,
        working_directory: str | None,
        expected: Mapping[str, str] | None,
        *,
        seed: int | None = None,
    ) -> Surroundings:
        words_of(() if working_directory is None else (working_directory,), "the working directory")
        return Surroundings(
            context=context,
            provider=self._providers.create(provider),
            on_output=on_output,
            working_directory=working_directory,
            expected=Expectations.parse(expected or {}),
            seed=seed,
        )
