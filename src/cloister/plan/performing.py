"""One way to run any program.

Owns the one place that knows all variants, so that a new one cannot be forgotten: each goes the way of its kind, and is
authorized, isolated and recorded there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, assert_never

from cloister.errors import ProviderUnavailable
from cloister.isolation.provider import ExecutionResult, ExternalProgram
from cloister.plan.command import Surroundings, run_binary, run_command, run_script, words_of
from cloister.plan.loading import load_plan
from cloister.plan.native import HOST_PROCESS, NativeResult
from cloister.plan.observer import RunObserver, SilentObserver
from cloister.plan.parts import RunParts
from cloister.plan.result import RunResult, ScriptResult
from cloister.plan.run import run_plan
from cloister.plan.script import load_script
from cloister.plan.terms import RunTerms
from cloister.plan.variants import (
    Binary,
    NativeFunction,
    PlanVariant,
    ProgramVariant,
    RtfsAst,
    RtfsBytecode,
    RtfsSource,
    ScriptProgram,
)

ProgramResult: TypeAlias = RunResult | NativeResult | ScriptResult | ExecutionResult
"""What a plan, a native function, a script, or an executable gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTerms:
    """What only plans take.

    Attributes:
        inputs: Values of their inputs by name.
        observer: Sees steps, calls and printed lines.
        module_paths: Directories their modules are looked for in.
        terms: How far they may go by themselves, and what they may spend.
    """

    inputs: Mapping[str, Any] = field(default_factory=dict)
    observer: RunObserver = field(default_factory=SilentObserver)
    module_paths: Sequence[Path] = ()
    terms: RunTerms = field(default_factory=RunTerms)


def perform(parts: RunParts, program: ProgramVariant, around: Surroundings, terms: PlanTerms) -> ProgramResult:
    """Run a program that runs in a provider; see `Runtime.run_program`.

    Raises:
        ProviderUnavailable: `provider.native`: it is a native function.
    """
    match program:
        case RtfsSource() | RtfsAst() | RtfsBytecode():
            return _plan(parts, program, around, terms)
        case NativeFunction():
            raise ProviderUnavailable(
                f"a native function runs in this process and in no sandbox; the provider {around.provider.name} "
                "cannot run it",
                code="provider.native",
                hint=f'pass provider="{HOST_PROCESS}" and grant cloister.UnsafeNative, or write it as a plan or script',
            )
        case ExternalProgram():
            return run_command(parts, words_of(program.argv, "a command"), around, stdin=program.stdin)
        case ScriptProgram():
            return _script(parts, program, around)
        case Binary():
            words_of(program.argv, "the list of arguments")
            return run_binary(parts, program, around)
    assert_never(program)


def _plan(parts: RunParts, plan: PlanVariant, around: Surroundings, terms: PlanTerms) -> RunResult:
    given = {**around.context.parameters, **terms.inputs}
    return run_plan(
        parts,
        load_plan(plan, sorted(given), terms.module_paths),
        context=around.context,
        provider=around.provider,
        inputs=given,
        observer=terms.observer,
        expected=around.expected,
        terms=terms.terms,
    )


def _script(parts: RunParts, script: ScriptProgram, around: Surroundings) -> ScriptResult:
    return run_script(
        parts,
        load_script(script.text, script.name, around.context.limits),
        around,
        language=script.language,
        argv=words_of(script.argv, "the list of arguments"),
        arguments=script.arguments,
        stdin=script.stdin,
    )
