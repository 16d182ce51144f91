"""`cloister runs`: what became of runs, and letting them go on or ending them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloister.cli import complete
from cloister.cli.options import HomeOption, JsonOption, MachineOption, ModulePathOption
from cloister.cli.output import echo, echo_json, error_data, note, reporting, show_error

if TYPE_CHECKING:
    from cloister.plan.approvals.desk import Approval
    from cloister.plan.journal.entries import RunEntry, RunState
    from cloister.plan.result import RunResult
    from cloister.runtime import Runtime

runs_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="The run.", autocompletion=complete.runs, show_default=False)
]
GivenEnvOption = Annotated[
    list[str] | None,
    typer.Option("--env", metavar="NAME[=VALUE]", help="A granted variable again: its value is not kept with the run."),
]
GivenPlanOption = Annotated[
    Path | None,
    typer.Option("--plan", metavar="FILE", help="The plan as it is now: refused when it is another one."),
]
StateOption = Annotated[
    str | None,
    typer.Option("--state", metavar="STATE", help="Only runs in this state.", autocompletion=complete.run_states),
]
LastOption = Annotated[int | None, typer.Option("--last", metavar="N", min=1, help="Only the newest N of them.")]


def open_runtime(home: Path | None, machine: Sequence[str] | None = None) -> Runtime:
    """Open the runtime of a home that exists.

    Raises:
        AuditError: `audit.absent`: there is none.
    """
    from cloister.cli.audit_home import audit_home  # noqa: PLC0415
    from cloister.cli.options import parse_machine  # noqa: PLC0415
    from cloister.isolation.microvm.config import MachineConfig  # noqa: PLC0415
    from cloister.runtime import Runtime  # noqa: PLC0415

    directory = audit_home(home).directory
    return Runtime.open(directory, machines=MachineConfig.parse(parse_machine(machine, "microvm")))


@runs_app.command("list", help="List the runs of plans, the newest last.")
def list_runs(
    state: StateOption = None, last: LastOption = None, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """List the runs of a home."""
    with reporting(as_json=as_json):
        wanted = _state(state)
        with open_runtime(home) as runtime:
            runs = runtime.runs(newest_count=last if wanted is None else None)
            chosen = [run for run in runs if wanted is None or run.state is wanted][-(last or 0) :]
            shown = [(run, runtime.awaited(run)) for run in chosen]
        if as_json:
            from cloister.cli.run_text import summary_data  # noqa: PLC0415

            echo_json({"ok": True, "runs": [summary_data(run, awaited) for run, awaited in shown]})
        elif chosen:
            print_table(("RUN", "STATE", "BEGAN", "PLAN", "WHY"), [_cells(run, awaited) for run, awaited in shown])
        else:
            note("no runs" if wanted is None else f"no runs are {wanted.value}")


def _state(name: str | None) -> RunState | None:
    from cloister.errors import InputError, quoted  # noqa: PLC0415
    from cloister.plan.journal.entries import RunState  # noqa: PLC0415

    if name is None:
        return None
    if name not in set(RunState):
        raise InputError(
            f"runs are in no state {quoted(name)}",
            code="input.run-state",
            hint="the states are " + ", ".join(RunState),
        )
    return RunState(name)


def _cells(run: RunEntry, awaited: Approval | None) -> tuple[str, ...]:
    from cloister.cli.run_text import settled_as  # noqa: PLC0415
    from cloister.errors import quoted  # noqa: PLC0415

    why = quoted(run.waits_for or ("" if run.error is None else str(run.error.get("code"))))
    settled = settled_as(awaited)
    if settled is not None:
        why += f" {settled}: `cloister runs resume` lets it go on"
    return quoted(run.run_id), run.state.value, quoted(run.created_at), quoted(run.plan), why


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns; the last one is as wide as it is."""
    whole = [heads, *rows]
    widths = [max(len(row[column]) for row in whole) for column in range(len(heads) - 1)]
    for row in whole:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        echo("  ".join([*cells, row[-1]]).rstrip())


@runs_app.command("show", help="Show a run: its order, its state, its steps and calls, what it waits for.")
def show(run: RunArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show one run."""
    from cloister.cli.run_text import run_data, run_lines  # noqa: PLC0415

    with reporting(as_json=as_json):
        with open_runtime(home) as runtime:
            entry, calls = runtime.run_entry(run)
            steps, (context, agrees) = runtime.run_steps(run), runtime.run_grants(run)
            awaited = runtime.awaited(entry)
        if as_json:
            echo_json({"ok": True, "run": run_data(entry, context, steps, calls, awaited) | {"order_agrees": agrees}})
        else:
            for line in run_lines(entry, context, steps, calls, awaited):
                echo(line)
            if not agrees:
                note(
                    "warning: the journal holds another order than the run was admitted with; the grants are from the "
                    "signed record, but plan, provider, terms and inputs are not to be believed"
                )


@runs_app.command("resume", help="Let a run go on from its journal; calls that were made are not made again.")
def resume(
    run: RunArgument,
    plan: GivenPlanOption = None,
    env: GivenEnvOption = None,
    module_path: ModulePathOption = None,
    machine: MachineOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a run go on, and print what `cloister run` prints."""
    resume_and_print(home, run, plan=plan, env=env, module_path=module_path, machine=machine, as_json=as_json)


def resume_and_print(
    home: Path | None,
    run: str | None,
    *,
    plan: Path | None = None,
    env: Sequence[str] | None = None,
    module_path: Sequence[Path] | None = None,
    machine: Sequence[str] | None = None,
    as_json: bool,
    first: Callable[[Runtime], tuple[str, Mapping[str, Any]]] | None = None,
) -> None:
    """Let a run go on, and print its result as `cloister run` does.

    Args:
        home: The home.
        run: The run; None when `first` says which.
        plan: The plan as it is now.
        env: Values of granted variables.
        module_path: Where the modules of the plan are.
        machine: What virtual machines are.
        as_json: Whether one JSON object is printed.
        first: Done before, in the same runtime; returns the run and what the object holds besides.
    """
    from cloister.cli.approving import TerminalApprover, can_ask  # noqa: PLC0415
    from cloister.cli.options import parse_environment  # noqa: PLC0415
    from cloister.cli.progress import choose_progress  # noqa: PLC0415
    from cloister.cli.run import print_result  # noqa: PLC0415

    progress = choose_progress(as_json=as_json)
    further: Mapping[str, Any] = {}
    with reporting(as_json=as_json, on_leave=progress.stop):
        environment = parse_environment(env)
        with open_runtime(home, machine) as runtime:
            if first is not None:
                run, further = first(runtime)
            approver = TerminalApprover(plan_name_of(runtime), progress.rewind) if can_ask(as_json=as_json) else None
            result: RunResult = runtime.resume(
                run or "",
                environment=environment,
                plan=plan,
                observer=progress,
                module_paths=module_path or (),
                approver=approver,
            )
    print_result(result, as_json=as_json, further=further)


def plan_name_of(runtime: Runtime) -> Callable[[str], str | None]:
    """Return what names the plan of a run; None for a run that the journal does not know."""
    from cloister.errors import InputError  # noqa: PLC0415

    def name_of(run_id: str) -> str | None:
        try:
            return runtime.run_entry(run_id)[0].plan
        except InputError:
            return None

    return name_of


@runs_app.command("abort", help="End a run for good; steps that say how are undone, the last one first.")
def abort(
    run: RunArgument,
    env: GivenEnvOption = None,
    machine: MachineOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a run that could go on."""
    from cloister.cli.options import parse_environment  # noqa: PLC0415
    from cloister.cli.progress import choose_progress  # noqa: PLC0415
    from cloister.cli.run_text import failed_undos, summary_data, undo_error  # noqa: PLC0415
    from cloister.errors import quoted  # noqa: PLC0415

    progress = choose_progress(as_json=as_json)
    with reporting(as_json=as_json, on_leave=progress.stop):
        environment = parse_environment(env)
        with open_runtime(home, machine) as runtime:
            entry = runtime.abort(run, environment=environment, observer=progress)
            error = undo_error(entry, runtime.run_steps(run))
    if as_json:
        data = {"ok": error is None, "run": summary_data(entry), "undo_failed": failed_undos(entry)}
        echo_json(data if error is None else data | {"error": error_data(error)})
    else:
        echo(f"{quoted(entry.run_id)}: {entry.state.value}")
        if error is not None:
            show_error(error, as_json=False)
    if error is not None:
        raise typer.Exit(error.exit_status)
