"""`cloister check`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cloister.cli.error_text import error_text
from cloister.cli.options import InputNames, JsonOption, ModulePathOption, PolicyOption, input_names
from cloister.cli.output import echo, echo_json, error_data, error_styles, note, reporting, unexpected
from cloister.errors import CloisterError, InputError, PlanError, flattened, quoted

if TYPE_CHECKING:
    from cloister.authority.context import RuntimeContext
    from cloister.authority.registry import CapabilityRegistry
    from cloister.plan.checking import CheckReport

EXIT_FAILED: Final = 2
STANDARD_INPUT: Final = "-"
SUFFIX: Final = ".rtfs"


class Format(StrEnum):
    """How what was found is written."""

    TEXT = "text"
    GITHUB = "github"


@dataclass(frozen=True, slots=True)
class _Checked:
    """One plan: its digest and what may go wrong in it when it is good, all that is wrong with it otherwise."""

    name: str
    sha256: str
    errors: tuple[dict[str, Any], ...]
    warnings: tuple[dict[str, Any], ...] = ()


def check(
    plans: Annotated[
        list[str],
        typer.Argument(
            metavar="PLAN...", help="Files, directories with *.rtfs files, or - for standard input.", show_default=False
        ),
    ],
    inputs: InputNames = None,
    form: Annotated[
        Format, typer.Option("--format", help="Of errors: for people, or as annotations of a GitHub workflow.")
    ] = Format.TEXT,
    policy: PolicyOption = None,
    module_path: ModulePathOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check plans and directories of plans without running them."""
    checked = []
    with reporting(as_json=as_json):
        checker = _checker(input_names(inputs), module_path or (), policy)
        idle = _idle(policy)
        for each in _found(plans):
            checked.append(_check(each, checker))
            if not as_json and not checked[-1].errors:
                echo(f"{checked[-1].name}: ok ({checked[-1].sha256[:12]})")
    if as_json:
        echo_json(_as_data(checked) | {"policy_warnings": idle})
    else:
        for sentence in idle:
            note(f"warning: {sentence}")
        _show(checked, form)
    if any(each.errors for each in checked):
        raise typer.Exit(EXIT_FAILED)


def _checker(inputs: Sequence[str], module_paths: Sequence[Path], policy: Path | None) -> Callable[[str], CheckReport]:
    """Return what compiles and checks the plan of a name; what all plans share is loaded once."""
    from cloister.capabilities.catalog import builtin_catalog  # noqa: PLC0415
    from cloister.plan.checking import check_program  # noqa: PLC0415
    from cloister.plan.host_authorizer import make_authorizer  # noqa: PLC0415
    from cloister.plan.loading import load_plan  # noqa: PLC0415

    catalog = builtin_catalog()
    authorizer = make_authorizer(catalog)
    context = _context(policy, catalog.registry) if policy is not None else None

    def checked(name: str) -> CheckReport:
        plan = _standard_input(inputs, module_paths) if name == STANDARD_INPUT else Path(name)
        return check_program(load_plan(plan, inputs, module_paths), authorizer, context)

    return checked


def _context(policy: Path, registry: CapabilityRegistry) -> RuntimeContext:
    from cloister.cli.limits import parse_limits  # noqa: PLC0415
    from cloister.cli.options import build_context  # noqa: PLC0415

    context = build_context(policy=policy, limits=partial(parse_limits, None, None, None))
    registry.check_context(context)
    return context


def _idle(policy: Path | None) -> list[str]:
    """Return which rules of a policy are about nothing here, a sentence each."""
    from cloister.authority.idle_rules import idle_rules  # noqa: PLC0415
    from cloister.capabilities.catalog import builtin_catalog  # noqa: PLC0415

    if policy is None:
        return []
    registry = builtin_catalog().registry
    context = _context(policy, registry)
    return list(idle_rules((rule for layer in context.rules for rule in layer), registry))


def _standard_input(inputs: Sequence[str], module_paths: Sequence[Path]) -> Any:
    from cloister.lang.program import compile_program  # noqa: PLC0415
    from cloister.plan.loading import plan_text  # noqa: PLC0415
    from cloister.plan.module_files import ModuleFiles  # noqa: PLC0415

    if sys.stdin is None:
        raise InputError("standard input is closed", code="input.stdin", hint="name a file")
    return compile_program(plan_text(sys.stdin.buffer, "<stdin>"), "<stdin>", inputs, ModuleFiles(module_paths))


def _check(found: str | CloisterError, checker: Callable[[str], CheckReport]) -> _Checked:
    """Check one plan; whatever is wrong with it, the next one is checked too."""
    if isinstance(found, CloisterError):
        return _Checked(str(found.details.get("path", "")), "", tuple(flattened(error_data(found))))
    shown = "<stdin>" if found == STANDARD_INPUT else found
    try:
        report = checker(found)
        program = report.checked()
        return _Checked(shown, program.sha256, (), tuple(error_data(each) for each in report.warnings))
    except CloisterError as error:
        return _Checked(shown, "", tuple(flattened(error_data(error))))
    except Exception as error:  # noqa: BLE001 - a defect in the way of one plan must not hide what is wrong with others
        return _Checked(shown, "", (error_data(unexpected(error)),))


def _found(plans: Sequence[str]) -> Iterator[str | CloisterError]:
    """Yield each plan once: those that are named, and those below directories in the order of their paths."""
    seen = set()
    for plan in plans:
        for each in _below(plan) if plan != STANDARD_INPUT and Path(plan).is_dir() else (plan,):
            name = each if isinstance(each, str) else id(each)
            if name not in seen:
                seen.add(name)
                yield each


def _below(directory: str) -> Iterator[str | CloisterError]:
    problems: list[CloisterError] = []
    found = False
    for place, directories, files in os.walk(directory, onerror=lambda error: problems.append(_unreadable(error))):
        directories[:] = sorted(name for name in directories if not name.startswith("."))
        for name in sorted(files):
            if name.endswith(SUFFIX):
                found = True
                yield os.path.join(place, name)  # noqa: PTH118 - as it was named, not normalized
    yield from problems
    if not found and not problems:
        yield PlanError(
            f"directory {quoted(directory)} holds no *{SUFFIX} files",
            code="plan.none",
            hint="name a directory with plans, or the files themselves",
            details={"path": directory},
        )


def _unreadable(error: OSError) -> PlanError:
    path = str(error.filename)
    return PlanError(
        f"cannot list {quoted(path)}: {error.strerror}",
        code="plan.unreadable",
        hint="check its permissions, or leave it out",
        details={"path": path},
    )


def _as_data(checked: Sequence[_Checked]) -> dict[str, Any]:
    return {
        "ok": not any(each.errors for each in checked),
        "plans": len(checked),
        "checked": [
            {"plan": each.name, "ok": not each.errors, "sha256": each.sha256 or None, "errors": len(each.errors)}
            for each in checked
        ],
        "errors": [{"plan": each.name, **error} for each in checked for error in each.errors],
        "warnings": [{"plan": each.name, **warning} for each in checked for warning in each.warnings],
    }


def _show(checked: Sequence[_Checked], form: Format) -> None:
    for each in checked:
        for severity, found in (("error", each.errors), ("warning", each.warnings)):
            for problem in found:
                if form is Format.GITHUB:
                    echo(annotation(each.name, problem, severity))
                else:
                    note(error_text(problem, *error_styles(), severity=severity))
    bad = [each for each in checked if each.errors]
    errors = sum(len(each.errors) for each in bad)
    warnings = sum(len(each.warnings) for each in checked)
    if len(checked) > 1 or errors > 1:
        outcome = f"{_count(errors, 'error')} in {_count(len(bad), 'plan')}" if bad else "no errors"
        outcome += f", {_count(warnings, 'warning')}" if warnings else ""
        note(f"checked {_count(len(checked), 'plan')}: {outcome}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def annotation(plan: str, error: dict[str, Any], severity: str = "error") -> str:
    """Return an error or warning as a workflow command that GitHub shows beside the line.

    Source: GitHub documentation, "Workflow commands for GitHub Actions", setting an error message; the escapes are
    those of the runner's own toolkit (actions/toolkit, packages/core/src/command.ts).
    """
    span = error.get("span") or {}
    facts = {
        "file": span.get("source", plan), "line": span.get("line"), "endLine": span.get("end_line"),
        "col": span.get("column"), "endColumn": span.get("end_column"), "title": error["code"],
    }  # fmt: skip
    said = ",".join(f"{name}={_escaped(str(value), ':,')}" for name, value in facts.items() if value is not None)
    hint = f"\nhelp: {error['hint']}" if error.get("hint") else ""
    return f"::{severity} {said}::{_escaped(error['message'] + hint, '')}"


def _escaped(text: str, also: str) -> str:
    return "".join(f"%{ord(char):02X}" if char in "%\r\n" + also else char for char in text)
