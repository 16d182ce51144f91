"""Plans compiled to files.

Owns what `cloister compile` does: a plan in, the bytes of a compiled plan and the facts about it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cloister.canonical import sha256_hex
from cloister.lang.wasm_engine.artefact.artefact import load_artefact, make_artefact
from cloister.lang.wasm_engine.artefact.manifest import Manifest
from cloister.plan.loading import Plan, load_plan


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledFile:
    """A compiled plan.

    Attributes:
        data: All of it.
        sha256: Its digest.
        plan_sha256: Digest of the program, by which the causal chain names it.
        manifest: What it declares.
        has_text: Whether its text is in it.
    """

    data: bytes
    sha256: str
    plan_sha256: str
    manifest: Manifest
    has_text: bool


def compile_plan_file(
    plan: Plan, inputs: Sequence[str] = (), module_paths: Sequence[Path] = (), *, is_stripped: bool = False
) -> CompiledFile:
    """Compile a plan, and accept the outcome as whoever runs it will.

    Args:
        plan: As for `load_plan`; a compiled plan is compiled again, and can lose its text by that.
        inputs: Names that the plan may use as inputs.
        module_paths: As for `load_plan`.
        is_stripped: Whether to leave its text out.

    Raises:
        CloisterError: What `load_plan` raises; `compile.size`.
    """
    data = make_artefact(load_plan(plan, inputs, module_paths), is_stripped=is_stripped)
    accepted = load_artefact(data)
    return CompiledFile(
        data=data,
        sha256=sha256_hex(data),
        plan_sha256=accepted.program.sha256,
        manifest=accepted.manifest,
        has_text=accepted.program.has_text,
    )
