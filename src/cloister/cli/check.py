"""`cloister check` and `cloister explain`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloister.cli.options import AllowComputedOption, AllowOption, EnvOption, JsonOption, ReadOption, WriteOption
from cloister.cli.output import echo, echo_json, error_lines, note, reporting
from cloister.cli.progress import paint
from cloister.errors import CloisterError

if TYPE_CHECKING:
    from cloister.plan.admission import Requirement

InputNames = Annotated[
    list[str] | None, typer.Option("--input", metavar="NAME[=VALUE]", help="Name of an input the plan will get.")
]


def _names(inputs: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(item.partition("=")[0] for item in inputs or ())


def check(
    plans: Annotated[list[Path], typer.Argument(metavar="PLAN...", help="Files with plans.", show_default=False)],
    inputs: InputNames = None,
    as_json: JsonOption = False,
) -> None:
    """Check plans without running them."""
    from cloister.runtime import load_plan  # noqa: PLC0415

    failures: list[tuple[Path, CloisterError]] = []
    for plan in plans:
        try:
            program = load_plan(plan, _names(inputs))
        except CloisterError as refused:
            failures.append((plan, refused))
            continue
        if not as_json:
            echo(f"{plan}: ok ({program.sha256[:12]})")
    if as_json:
        errors = [{"plan": str(plan), **error.to_dict()} for plan, error in failures]
        echo_json({"ok": not failures, "plans": len(plans), "errors": errors})
    for _, error in () if as_json else failures:
        for text in error_lines(error):
            note(text)
    if failures:
        raise typer.Exit(failures[0][1].exit_status)


def explain(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="File with the plan.", show_default=False)],
    allow: AllowOption = None,
    read: ReadOption = None,
    write: WriteOption = None,
    env: EnvOption = None,
    inputs: InputNames = None,
    allow_computed: AllowComputedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show what a plan can touch and which grants it would need."""
    from cloister.cli.options import build_context, parse_limits  # noqa: PLC0415
    from cloister.runtime import explain_plan  # noqa: PLC0415

    with reporting(as_json=as_json):
        context = build_context(
            allow=allow,
            allow_computed=allow_computed,
            read=read,
            write=write,
            env=env,
            limits=parse_limits(None, None),
        )
        found = explain_plan(plan, context=context, inputs=_names(inputs))
    if as_json:
        echo_json({"ok": True, "effects": [_as_data(item) for item in found], "needed": _needed(found)})
        return
    _show(plan, found, _names(inputs))


def _as_data(item: Requirement) -> dict[str, Any]:
    from cloister.plan.admission import argument_texts  # noqa: PLC0415

    return {
        "capability": item.effect.capability_id,
        "arguments": list(argument_texts(item.effect)),
        "place": str(item.span),
        "allowed": item.decision.allowed,
        "reason": item.decision.reason.value,
        "hint": item.decision.hint,
    }


def _needed(found: Sequence[Requirement]) -> list[str]:
    return list(dict.fromkeys(grant for item in found for grant in item.needed))


def _show(plan: Path, found: Sequence[Requirement], inputs: Sequence[str]) -> None:
    from cloister.plan.admission import argument_texts  # noqa: PLC0415

    terminal = sys.stdout.isatty()
    if not found:
        echo(f"{plan} touches nothing: it only computes.")
        return
    echo(f"{plan} touches the world in {len(found)} place{'' if len(found) == 1 else 's'}:\n")
    for item in found:
        mark = paint("granted", "green", stream_is_terminal=terminal)
        if item.needed or not item.decision.allowed:
            mark = paint("missing", "red", stream_is_terminal=terminal)
        name = item.effect.capability_id or "(computed capability)"
        echo(f"  {mark}  {name} {' '.join(argument_texts(item.effect))}".rstrip())
        echo(f"           at line {item.span.line}, column {item.span.column}")
    needed = _needed(found)
    if needed:
        given = [f"--input {shlex.quote(name)}=…" for name in inputs]
        echo("\nStill needed:\n\n  " + " ".join(["cloister run", shlex.quote(str(plan)), *given, *needed]))
    else:
        echo("\nEvery place is granted as far as it is known.")
    if any(item.arguments is None for item in found):
        echo("\nWhat is shown as … only the run will know; paths among it need --read or --write too.")
