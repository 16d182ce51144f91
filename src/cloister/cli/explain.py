"""`cloister explain`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloister.cli.options import (
    AllowComputedOption,
    AllowEffectOption,
    AllowOption,
    ConnectOption,
    DenyEffectOption,
    DenyOption,
    EnvOption,
    InputNames,
    JsonOption,
    ModulePathOption,
    PolicyOption,
    ReadOption,
    WriteOption,
    input_names,
)
from cloister.cli.output import echo, echo_json, error_data, reporting
from cloister.cli.progress import paint
from cloister.errors import quoted

if TYPE_CHECKING:
    from cloister.plan.admission import Requirement


def _values(inputs: Sequence[str] | None) -> dict[str, str]:
    """Return the inputs that were given with a value."""
    pairs = (item.partition("=") for item in inputs or ())
    return {name: value for name, separator, value in pairs if separator}


def explain(
    plan: Annotated[
        Path, typer.Argument(metavar="PLAN", help="File with the plan, as text or compiled.", show_default=False)
    ],
    allow: AllowOption = None,
    deny: DenyOption = None,
    allow_effect: AllowEffectOption = None,
    deny_effect: DenyEffectOption = None,
    read: ReadOption = None,
    write: WriteOption = None,
    connect: ConnectOption = None,
    env: EnvOption = None,
    policy: PolicyOption = None,
    inputs: InputNames = None,
    allow_computed: AllowComputedOption = False,
    module_path: ModulePathOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a plan can touch and which grants it would need."""
    from cloister.cli.limits import parse_limits  # noqa: PLC0415
    from cloister.cli.options import build_context  # noqa: PLC0415
    from cloister.plan.explaining import explain_plan  # noqa: PLC0415
    from cloister.plan.loading import load_plan  # noqa: PLC0415

    with reporting(as_json=as_json):
        context = build_context(
            allow=allow,
            deny=deny,
            allow_effect=allow_effect,
            deny_effect=deny_effect,
            connect=connect,
            policy=policy,
            allow_computed=allow_computed,
            read=read,
            write=write,
            env=env,
            limits=partial(parse_limits, None, None, None),
        )
        program = load_plan(plan, input_names(inputs), module_path or ())
        found = explain_plan(program, context=context, values=_values(inputs))
    impossible = [item.error() for item in found if item.is_impossible]
    if as_json:
        facts = {"ok": not impossible, "effects": [_as_data(item) for item in found], "needed": _needed(found)}
        echo_json(facts | ({"error": error_data(impossible[0])} if impossible else {}))
    else:
        given = [f"--input {shlex.quote(name)}=…" for name in sorted(program.inputs)]
        given += [f"--module-path {shlex.quote(str(path))}" for path in module_path or ()]
        _show(plan, found, given + ([f"--policy {shlex.quote(str(policy))}"] if policy else []))
    if impossible:
        raise typer.Exit(impossible[0].exit_status)


def _as_data(item: Requirement) -> dict[str, Any]:
    from cloister.plan.admission import argument_texts  # noqa: PLC0415

    return {
        "capability": item.effect.capability_id,
        "arguments": list(argument_texts(item.effect)),
        "place": str(item.span),
        "allowed": item.decision.allowed,
        "reason": item.decision.reason.value,
        "hint": item.decision.hint,
        "rules": list(item.decision.rule_ids),
        "open_rules": list(item.decision.open_rule_ids),
        "problem": error_data(item.problem) if item.problem else None,
    }


def _needed(found: Sequence[Requirement]) -> list[str]:
    return list(dict.fromkeys(grant for item in found for grant in item.needed))


def _show(plan: Path, found: Sequence[Requirement], given: Sequence[str]) -> None:
    from cloister.plan.admission import argument_texts  # noqa: PLC0415

    terminal = sys.stdout.isatty()
    if not found:
        echo(f"{plan} touches nothing: it only computes.")
        return
    echo(f"{plan} touches the world in {len(found)} place{'' if len(found) == 1 else 's'}:\n")
    for item in found:
        word, color = _mark(item)
        name = quoted(item.effect.capability_id) if item.effect.capability_id else "(computed capability)"
        shown = f"{name} {' '.join(argument_texts(item.effect))}".rstrip()
        echo(f"  {paint(word, color, stream_is_terminal=terminal)}  {shown}")
        where = "" if item.span.source == str(plan) else f" of {item.span.source}"
        echo(f"           at line {item.span.line}, column {item.span.column}{where}")
        if not item.is_admissible:
            error = item.error()
            echo(f"           {error.message}")
            if error.hint:
                echo(f"           help: {error.hint}")
        if item.decision.open_rule_ids:
            echo(f"           rules that will decide at the call: {', '.join(item.decision.open_rule_ids)}")
    needed = _needed(found)
    if needed:
        echo("\nStill needed:\n\n  " + " ".join(["cloister run", shlex.quote(str(plan)), *given, *needed]))
    if any(not item.is_admissible and not item.decision.denied_grants for item in found):
        echo("\nNot every place can be granted; change those that are marked as refused.")
    elif not needed and all(item.is_admissible for item in found):
        echo("\nEvery place is granted as far as it is known.")
    if any(not item.is_known for item in found):
        echo("\nWhat is shown as … only the run will know; paths among it need --read or --write too.")


def _mark(item: Requirement) -> tuple[str, str]:
    if item.problem is not None or (not item.decision.allowed and not item.decision.denied_grants):
        return "refused", "red"
    if item.needed or not item.decision.allowed:
        return "missing", "red"
    return "granted", "green"
