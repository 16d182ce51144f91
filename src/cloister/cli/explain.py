"""`cloister explain`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

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
from cloister.cli.output import echo, echo_json, error_data, note, reporting
from cloister.cli.progress import paint
from cloister.cli.terms import ModeOption
from cloister.errors import CloisterError, ProfileDenied, Span, quoted

if TYPE_CHECKING:
    from cloister.authority.governance import GovernanceRuling
    from cloister.plan.admission import Requirement
    from cloister.plan.explaining import Explanation
    from cloister.plan.judging import Judgement
    from cloister.plan.profiling import PartRefusal

REFUSED: Final = "refused"
MISSING: Final = "missing"
GRANTED: Final = "granted"
_COLORS: Final = {REFUSED: "red", MISSING: "red", GRANTED: "green"}
_INDENT: Final = " " * 11


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
    from cloister.plan.explaining import explain_plan  # noqa: PLC0415
    from cloister.plan.loading import load_plan  # noqa: PLC0415
    from cloister.plan.ruling_constitution import ruling_constitution  # noqa: PLC0415

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
        place = home or default_home()
        told = explain_plan(
            program,
            context=context,
            constitution=ruling_constitution(place).constitution,
            mode=parse_mode(mode),
            home=place,
            values=_values(inputs),
        )
    if as_json:
        echo_json(_as_data(told))
    else:
        given = _given(program.inputs, module_path or (), policy)
        _show(plan, told, given + ([f"--mode {mode}"] if mode != "full" else []))
    if told.impossible:
        raise typer.Exit(told.impossible[0].exit_status)


def _given(inputs: Collection[str], module_paths: Sequence[Path], policy: Path | None) -> list[str]:
    """Return the options that a run of the plan has in common with this command."""
    given = [f"--input {shlex.quote(name)}=…" for name in sorted(inputs)]
    given += [f"--module-path {shlex.quote(str(path))}" for path in module_paths]
    return given + ([f"--policy {shlex.quote(str(policy))}"] if policy else [])


def _as_data(told: Explanation) -> dict[str, Any]:
    judged = told.judgement
    facts = {
        "ok": not told.impossible,
        "refused": _is_refused(judged),
        "effects": [
            _effect_data(item) | {"governance": None if ruling is None else ruling.to_dict()}
            for item, ruling in zip(judged.found, judged.rulings, strict=True)
        ],
        "parts": [error_data(each.error) | {"needed": list(each.grants)} for each in judged.parts],
        "minimum_isolation": told.minimum_isolation and told.minimum_isolation.label,
        "needed": _needed(judged),
        "warnings": list(told.warnings),
    }
    return facts | ({"error": error_data(told.impossible[0])} if told.impossible else {})


def _effect_data(item: Requirement) -> dict[str, Any]:
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


def _needed(judged: Judgement) -> list[str]:
    """Return every grant that is missing, each once."""
    parts = (grant for part in judged.parts for grant in part.grants)
    return list(dict.fromkeys([*(grant for item in judged.found for grant in item.needed), *parts]))


def _is_refused(judged: Judgement) -> bool:
    """Return whether something speaks against the plan that no grant opens."""
    places = zip(judged.found, judged.rulings, strict=True)
    return any(_mark(*each) == REFUSED for each in places) or any(not part.grants for part in judged.parts)


def _mark(item: Requirement, ruling: GovernanceRuling | None) -> str:
    if ruling is not None and ruling.refusal() is not None:
        return REFUSED
    if item.problem is not None or (not item.decision.allowed and not item.decision.denied_grants):
        return REFUSED
    if item.decision.denied_grants and not item.granted.allowed and item.effect.capability_id is not None:
        return REFUSED
    return MISSING if item.needed or not item.decision.allowed else GRANTED


def _governed(ruling: GovernanceRuling | None) -> tuple[str, ...]:
    """Return what constitution or mode do to a call that is granted, as lines; none when it is simply done."""
    from cloister.authority.mode import Verdict  # noqa: PLC0415

    if ruling is None or ruling.verdict is Verdict.PERFORM:
        return ()
    if ruling.verdict is Verdict.SIMULATE:
        return (f"the mode {ruling.mode.value} makes up a result and does nothing",)
    refusal = ruling.refusal()
    return (f"an approval is needed: {ruling.question()}",) if refusal is None else tuple(_said(refusal))


def _said(error: CloisterError) -> list[str]:
    """Return an error as lines of the listing."""
    return [error.message, *([f"help: {error.hint}"] if error.hint else [])]


def _show(plan: Path, told: Explanation, given: Sequence[str]) -> None:
    judged = told.judgement
    count = len(judged.found)
    if judged.found:
        echo(f"{plan} touches the world in {count} place{'' if count == 1 else 's'}:\n")
    else:
        echo(f"{plan} touches nothing: it only computes.")
    for item, ruling in zip(judged.found, judged.rulings, strict=True):
        _show_place(plan, item, ruling)
    if judged.parts:
        echo("\nWhat its parts ask of the run:\n")
    for part in judged.parts:
        _show_part(plan, part)
    if told.minimum_isolation is not None:
        echo(f"\nIts provider must isolate at least at the level {told.minimum_isolation.label}.")
    for each in told.warnings:
        note(f"warning: {each}")
    if judged.found or judged.parts:
        _conclude(plan, judged, given)


def _show_place(plan: Path, item: Requirement, ruling: GovernanceRuling | None) -> None:
    from cloister.plan.admission import argument_texts  # noqa: PLC0415

    name = quoted(item.effect.capability_id) if item.effect.capability_id else "(computed capability)"
    _head(plan, _mark(item, ruling), f"{name} {' '.join(argument_texts(item.effect))}".rstrip(), item.span)
    lines = [] if item.is_admissible else _said(item.error())
    if item.decision.denied_grants and item.granted is not item.decision and not item.granted.allowed:
        lines += _said(item.granted.error())
    for line in (*lines, *_governed(ruling)):
        echo(_INDENT + line)
    if item.decision.open_rule_ids:
        echo(f"{_INDENT}rules that will decide at the call: {', '.join(item.decision.open_rule_ids)}")


def _show_part(plan: Path, part: PartRefusal) -> None:
    what = "with-security-profile" if isinstance(part.error, ProfileDenied) else "isolation of a step"
    _head(plan, MISSING if part.grants else REFUSED, what, part.error.span)
    for line in _said(part.error):
        echo(_INDENT + line)


def _head(plan: Path, word: str, what: str, span: Span | None) -> None:
    echo(f"  {paint(word, _COLORS[word], stream_is_terminal=sys.stdout.isatty())}  {what}")
    if span is not None:
        where = "" if span.source == str(plan) else f" of {span.source}"
        echo(f"{_INDENT}at line {span.line}, column {span.column}{where}")


def _conclude(plan: Path, judged: Judgement, given: Sequence[str]) -> None:
    """Say what is to be done: a command only when it would be admitted."""
    needed, refused = _needed(judged), _is_refused(judged)
    if needed and refused:
        echo("\nGrants that are missing besides:\n\n  " + " ".join(needed))
    elif needed:
        echo("\nStill needed:\n\n  " + " ".join(["cloister run", shlex.quote(str(plan)), *given, *needed]))
    if refused:
        echo("\nNot every place can be granted; change those that are marked as refused.")
    elif not needed:
        echo("\nEvery place is granted as far as it is known.")
    if any(not item.is_known for item in judged.found):
        echo("\nWhat is shown as … only the run will know; paths among it need --read or --write too.")
