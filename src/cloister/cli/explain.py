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
    HomeOption,
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
from cloister.cli.terms import ModeOption
from cloister.errors import quoted

if TYPE_CHECKING:
    from cloister.authority.governance import GovernanceRuling
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
    mode: ModeOption = "full",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a plan can touch and which grants it would need."""
    from cloister.audit.home import default_home  # noqa: PLC0415
    from cloister.cli.limits import parse_limits  # noqa: PLC0415
    from cloister.cli.options import build_context  # noqa: PLC0415
    from cloister.cli.terms import parse_mode  # noqa: PLC0415
    from cloister.plan.constitution_file import home_constitution  # noqa: PLC0415
    from cloister.plan.explaining import explain_plan, foreseen_rulings  # noqa: PLC0415
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
        constitution = home_constitution(home or default_home()).constitution
        rulings = foreseen_rulings(found, constitution, parse_mode(mode))
    impossible = [item.error() for item in found if item.is_impossible]
    if as_json:
        effects = [_as_data(item) | {"governance": _told(ruling)} for item, ruling in zip(found, rulings, strict=True)]
        facts = {"ok": not impossible, "effects": effects, "needed": _needed(found)}
        echo_json(facts | ({"error": error_data(impossible[0])} if impossible else {}))
    else:
        given = [f"--input {shlex.quote(name)}=…" for name in sorted(program.inputs)]
        given += [f"--module-path {shlex.quote(str(path))}" for path in module_path or ()]
        given += [f"--policy {shlex.quote(str(policy))}"] if policy else []
        _show(plan, found, rulings, given + ([f"--mode {mode}"] if mode != "full" else []))
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


def _told(ruling: GovernanceRuling | None) -> dict[str, Any] | None:
    return None if ruling is None else ruling.to_dict()


def _governed(ruling: GovernanceRuling | None) -> tuple[str, ...]:
    """Return what constitution or mode do to a call that is granted, as lines; none when it is simply done."""
    from cloister.authority.mode import Verdict  # noqa: PLC0415
    from cloister.errors import CapabilityDenied  # noqa: PLC0415

    if ruling is None or ruling.verdict is Verdict.PERFORM:
        return ()
    if ruling.verdict is Verdict.SIMULATE:
        return (f"the mode {ruling.mode.value} makes up a result and does nothing",)
    if ruling.verdict is not Verdict.REFUSE:
        return (f"an approval is needed: {ruling.question()}",)
    try:
        ruling.require()
    except CapabilityDenied as error:
        return (error.message, f"help: {error.hint}")
    return ()


def _show(
    plan: Path, found: Sequence[Requirement], rulings: Sequence[GovernanceRuling | None], given: Sequence[str]
) -> None:
    from cloister.plan.admission import argument_texts  # noqa: PLC0415

    terminal = sys.stdout.isatty()
    if not found:
        echo(f"{plan} touches nothing: it only computes.")
        return
    echo(f"{plan} touches the world in {len(found)} place{'' if len(found) == 1 else 's'}:\n")
    for item, ruling in zip(found, rulings, strict=True):
        word, color = _mark(item, ruling)
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
        for line in _governed(ruling):
            echo(f"           {line}")
        if item.decision.open_rule_ids:
            echo(f"           rules that will decide at the call: {', '.join(item.decision.open_rule_ids)}")
    needed = _needed(found)
    refused = any(_mark(item, ruling)[0] == "refused" for item, ruling in zip(found, rulings, strict=True))
    if needed:
        echo("\nStill needed:\n\n  " + " ".join(["cloister run", shlex.quote(str(plan)), *given, *needed]))
    if refused or any(not item.is_admissible and not item.decision.denied_grants for item in found):
        echo("\nNot every place can be granted; change those that are marked as refused.")
    elif not needed and all(item.is_admissible for item in found):
        echo("\nEvery place is granted as far as it is known.")
    if any(not item.is_known for item in found):
        echo("\nWhat is shown as … only the run will know; paths among it need --read or --write too.")


def _mark(item: Requirement, ruling: GovernanceRuling | None) -> tuple[str, str]:
    from cloister.authority.mode import Verdict  # noqa: PLC0415

    if ruling is not None and ruling.verdict is Verdict.REFUSE:
        return "refused", "red"
    if item.problem is not None or (not item.decision.allowed and not item.decision.denied_grants):
        return "refused", "red"
    if item.needed or not item.decision.allowed:
        return "missing", "red"
    return "granted", "green"
