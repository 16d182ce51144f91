"""One command or script in a sandbox, authorized and recorded like a call.

Owns the sequence for `cloister exec`, `Runtime.execute` and `Runtime.execute_script`: decide, record the intent, have
the provider attest, execute, record the outcome.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from cloister.authority.context import HALF_CHARACTER, RuntimeContext
from cloister.authority.level import IsolationLevel
from cloister.canonical import Plain, sha256_hex
from cloister.capabilities.mounts import tree_mounts
from cloister.errors import CloisterError, InputError, InternalError, ProviderUnavailable
from cloister.interrupts import admitted, held
from cloister.isolation.attestation import Expectations
from cloister.isolation.languages import detect
from cloister.isolation.permit import permission_for
from cloister.isolation.provider import (
    ExecutionContext,
    ExecutionResult,
    ExternalProgram,
    IsolationProvider,
    Mount,
    OutputObserver,
    ScriptSource,
    WasmFunction,
    WireValue,
)
from cloister.lang.transport import encode, from_python
from cloister.plan.attesting import require_attestation
from cloister.plan.parts import RunParts
from cloister.plan.record_facts import OutcomeFacts, wire_digest
from cloister.plan.recorder import RunRecorder, recorded
from cloister.plan.result import ScriptResult
from cloister.plan.run import require_level
from cloister.plan.script import Script
from cloister.plan.variants import Binary

EXEC_CAPABILITY = "cloister.exec"
WASM_MAGIC: Final = b"\0asm"
_READ_EXECUTE: Final = 0o555
"""Whoever the sandbox runs it as. The directory it lies in is the host's alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a command or script runs in, whichever of them it is.

    Attributes:
        context: What it may do.
        provider: Runs it.
        on_output: Sees output as it comes.
        working_directory: Absolute path inside the sandbox; None for its private temporary directory.
        expected: What the provider must have measured.
        seed: For clocks and randomness that are the same each time; None for the real ones.
    """

    context: RuntimeContext
    provider: IsolationProvider
    on_output: OutputObserver | None
    working_directory: str | None
    expected: Expectations
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Act:
    """What is executed, and how it is recorded.

    Attributes:
        workload: What is executed.
        words: Of its intent.
        facts: What the start of its record says beside the rest.
        own_file: A file that was made for it alone, which it sees without a grant; None for none.
    """

    workload: ExternalProgram | ScriptSource | WasmFunction
    words: tuple[WireValue, ...]
    facts: Mapping[str, Plain] = field(default_factory=dict)
    own_file: str | None = None


def run_command(parts: RunParts, argv: tuple[str, ...], around: Surroundings, *, stdin: bytes) -> ExecutionResult:
    """Run a command; see `Runtime.execute` for arguments and errors."""
    if not argv or not argv[0]:
        raise InputError("there is no program to run", code="input.argv", hint="name it after --")
    act = _Act(workload=ExternalProgram(argv=argv, stdin=stdin), words=argv)
    return _run(parts, parts.new_run_id(), act, around)


def run_binary(parts: RunParts, binary: Binary, around: Surroundings) -> ExecutionResult:
    """Run an executable that is given as its bytes; see `Runtime.run_program`.

    It becomes a file of this execution alone, which is shown read-only and removed afterwards.

    Raises:
        InputError: `input.binary`: there are none.
        ProviderUnavailable: `provider.wasm-only`: it is WebAssembly, and the provider runs none.
    """
    if not binary.data:
        raise InputError("the binary is empty", code="input.binary", hint="pass the bytes of an executable file")
    if binary.data.startswith(WASM_MAGIC) and around.provider.level is not IsolationLevel.WASM:
        raise ProviderUnavailable(
            f"the binary is WebAssembly, which the provider {around.provider.name} does not run",
            code="provider.wasm-only",
            hint="run it with --provider wasm",
        )
    with TemporaryDirectory(prefix="cloister-binary-") as directory:
        file = Path(directory).resolve() / "program"
        file.write_bytes(binary.data)
        file.chmod(_READ_EXECUTE)
        path = str(file)
        digest = sha256_hex(binary.data)
        act = _Act(
            workload=ExternalProgram(argv=(path, *binary.argv), stdin=binary.stdin),
            words=(f"sha256:{digest}", *binary.argv),
            facts={"binary_sha256": digest, "binary_bytes": len(binary.data)},
            own_file=path,
        )
        return _run(parts, parts.new_run_id(), act, around)


def run_function(parts: RunParts, function: WasmFunction, around: Surroundings) -> ExecutionResult:
    """Call a function of a WebAssembly module; see `Runtime.call_function` for arguments and errors."""
    words = (function.module, function.function, *map(str, function.arguments))
    return _run(parts, parts.new_run_id(), _Act(workload=function, words=words), around)


def run_script(
    parts: RunParts,
    script: Script,
    around: Surroundings,
    *,
    language: str | None,
    argv: tuple[str, ...],
    arguments: Any,
    stdin: bytes | None,
) -> ScriptResult:
    """Run a script; see `Runtime.execute_script` for arguments and errors."""
    if arguments is not None and stdin is not None:
        raise InputError(
            "a script has one standard input: either its arguments as JSON or the bytes of stdin",
            code="input.stdin",
            hint="leave one of them out",
        )
    detected = detect(script.text, name=script.name, chosen=language)
    limits = around.context.limits
    data = encode(from_python(arguments), limits) if arguments is not None else None
    workload = ScriptSource(
        language=detected.language,
        source=script.text,
        arguments=data,
        argv=argv,
        options=detected.options,
        stdin=(stdin or b"") if arguments is None else None,
        is_checked=False,
    )
    words = (detected.name, *detected.options, script.name, *argv, script.text)
    act = _Act(
        workload=workload,
        words=words if data is None else (*words, data),
        facts={"script": script.name, "script_sha256": sha256_hex(script.text.encode("utf-8"))},
    )
    run_id = parts.new_run_id()
    result = _run(parts, run_id, act, around)
    if result.exit_status is None:
        raise InternalError("a script ended without an exit status")
    return ScriptResult(
        language=detected.name,
        exit_status=result.exit_status,
        stdout=result.stdout,
        stderr=result.stderr,
        usage=result.usage,
        run_id=run_id,
        provider=around.provider.name,
        limits=limits,
    )


@held()
def _run(parts: RunParts, run_id: str, act: _Act, around: Surroundings) -> ExecutionResult:
    context, provider = around.context, around.provider
    decision = parts.authorizer.authorize_workload(context, EXEC_CAPABILITY, act=permission_for(act.workload))
    recorder = RunRecorder(parts.chain, run_id)
    facts: dict[str, Plain] = {"plan": None, "provider": provider.name, "isolation": provider.level.label}
    if around.seed is not None:
        facts["seed"] = around.seed
    started = recorder.run_started({**facts, "context": context.to_dict(), **act.facts})
    intent = recorder.call_intent(decision, act.words, started)

    def fail(error: CloisterError) -> None:
        recorder.call_failed(intent, EXEC_CAPABILITY, error)
        recorder.run_failed(started, error)

    with recorded(fail):
        decision.require()
        require_level(provider, context)
        require_attestation(provider, context.limits, around.expected, recorder, started)
        arguments_sha256, _ = wire_digest(list(act.words))
        execution = ExecutionContext(
            execution_id=run_id,
            capability_id=EXEC_CAPABILITY,
            workload=act.workload,
            token=parts.issuer.issue(
                decision, execution_id=run_id, arguments_sha256=arguments_sha256, scratch_paths=_own(act)
            ),
            arguments_sha256=arguments_sha256,
            limits=context.limits,
            mounts=(
                *tree_mounts(decision.read_paths, decision.write_paths),
                *(Mount(source=path, target=path) for path in _own(act)),
            ),
            environment=dict(context.environment),
            working_directory=around.working_directory,
            seed=around.seed,
        )
        with admitted():
            result = provider.execute(execution, on_output=around.on_output)
    outcome = {"value": result.value} if result.exit_status is None else {"exit_status": result.exit_status}
    recorder.call_succeeded(
        intent, EXEC_CAPABILITY, outcome, result.usage, OutcomeFacts(exit_status=result.exit_status)
    )
    recorder.run_completed(started, outcome, result.usage)
    return result


def _own(act: _Act) -> tuple[str, ...]:
    return () if act.own_file is None else (act.own_file,)


def words_of(argv: Sequence[str], what: str) -> tuple[str, ...]:
    """Return words as plain texts, which is what crosses to a sandbox.

    Raises:
        InputError: `input.argv`: it is no list of texts of whole characters.
    """
    hint = 'write ["echo", "hi"]'
    if isinstance(argv, str):
        raise InputError(f"{what} is a list of words, not one text", code="input.argv", hint=hint)
    for word in argv:
        if not isinstance(word, str):
            raise InputError(f"{what} holds a {type(word).__name__}, not texts alone", code="input.argv", hint=hint)
        if HALF_CHARACTER.search(word):
            raise InputError(f"{what} holds half a character", code="input.argv", hint="pass whole characters")
    return tuple(map(str, argv))
