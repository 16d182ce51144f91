"""`cloister compile`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cloister.cli.options import InputNames, JsonOption, ModulePathOption, input_names
from cloister.cli.output import echo, echo_json, reporting
from cloister.errors import PlanError, quoted

if TYPE_CHECKING:
    from cloister.plan.compiling import CompiledFile

SUFFIX: Final = ".wasm"

OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Where to write it [default: beside the plan, with .wasm in place of its suffix].",
    ),
]


def compile_(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="File with the plan.", show_default=False)],
    output: OutputOption = None,
    strip: Annotated[
        bool, typer.Option("--strip", help="Leave the text out; then only the provider wasm can run it.")
    ] = False,
    inputs: InputNames = None,
    module_path: ModulePathOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compile a plan to WebAssembly, in a file that says what it can touch."""
    from cloister.plan.compiling import compile_plan_file  # noqa: PLC0415
    from cloister.plan.whole_file import write_whole_file  # noqa: PLC0415

    with reporting(as_json=as_json):
        target = output or plan.with_suffix(SUFFIX)
        _require_another(target, plan)
        compiled = compile_plan_file(plan, input_names(inputs), module_path or (), is_stripped=strip)
        write_whole_file(target, compiled.data)
    if as_json:
        echo_json(_as_data(target, compiled))
    else:
        _show(target, compiled)


def _require_another(target: Path, plan: Path) -> None:
    """Refuse to write over the plan itself.

    Raises:
        PlanError: `plan.unwritable`.
    """
    if target.resolve() == plan.resolve():
        raise PlanError(
            f"{quoted(str(target))} is the plan itself, and is not replaced",
            code="plan.unwritable",
            hint="name another file with -o",
        )


def _as_data(target: Path, compiled: CompiledFile) -> dict[str, Any]:
    manifest = compiled.manifest
    return {
        "ok": True,
        "file": str(target),
        "bytes": len(compiled.data),
        "sha256": compiled.sha256,
        "plan_sha256": compiled.plan_sha256,
        "core_sha256": manifest.core_sha256,
        "compiler_sha256": manifest.compiler_sha256,
        "has_text": compiled.has_text,
        "inputs": list(manifest.inputs),
        "capabilities": list(manifest.capabilities),
        "computed": manifest.is_computed,
        "effects": [{"capability": each.capability, "arguments": list(each.arguments)} for each in manifest.effects],
    }


def _show(target: Path, compiled: CompiledFile) -> None:
    manifest = compiled.manifest
    echo(f"{target}: {len(compiled.data)} bytes, sha256 {compiled.sha256}")
    echo(f"  core {manifest.core_sha256}{'' if compiled.has_text else ', without text'}")
    names = [*map(quoted, manifest.capabilities), *(("(computed)",) if manifest.is_computed else ())]
    if not names:
        echo("  touches nothing: it only computes")
        return
    echo(f"  may call {', '.join(names)}")
    for each in manifest.effects:
        arguments = " ".join("…" if argument is None else argument for argument in each.arguments)
        name = quoted(each.capability) if each.capability else "(computed capability)"
        echo(f"    {name} {arguments}".rstrip())
