"""`cloister run`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloister.cli.budget import BudgetOption, OnExhaustionOption
from cloister.cli.options import (
    AllowComputedOption,
    AllowEffectOption,
    AllowOption,
    ConnectOption,
    DenyEffectOption,
    DenyOption,
    EnvOption,
    ExpectOption,
    HomeOption,
    InputOption,
    IsolationOption,
    JsonOption,
    LimitOption,
    MachineOption,
    MemoryOption,
    ModulePathOption,
    PolicyOption,
    ProviderOption,
    ReadOption,
    TimeoutOption,
    UnsafeOption,
    WriteOption,
)
from cloister.cli.output import echo, echo_json, note, plain, reporting
from cloister.cli.progress import choose_progress, duration_text
from cloister.cli.terms import ModeOption

if TYPE_CHECKING:
    from cloister.authority.context import RuntimeContext
    from cloister.isolation.provider import Usage
    from cloister.plan.result import RunResult


def run(
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
    inputs: InputOption = None,
    provider: ProviderOption = "process",
    timeout: TimeoutOption = None,
    memory: MemoryOption = None,
    limit: LimitOption = None,
    isolation: IsolationOption = None,
    expect: ExpectOption = None,
    machine: MachineOption = None,
    allow_computed: AllowComputedOption = False,
    unsafe_everything: UnsafeOption = False,
    module_path: ModulePathOption = None,
    mode: ModeOption = "full",
    budget: BudgetOption = None,
    on_exhaustion: OnExhaustionOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a plan; its calls are authorized, isolated and recorded."""
    from cloister.cli.limits import parse_limits  # noqa: PLC0415
    from cloister.cli.options import build_context  # noqa: PLC0415

    grants = partial(
        build_context, allow=allow, deny=deny, allow_effect=allow_effect, deny_effect=deny_effect, connect=connect,
        policy=policy, allow_computed=allow_computed, read=read, write=write, env=env, isolation=isolation,
        limits=partial(parse_limits, timeout, memory, limit), unsafe_everything=unsafe_everything,
    )  # fmt: skip
    order = _Order(
        plan=plan, inputs=inputs, provider=provider, isolation=isolation, expect=expect, machine=machine,
        module_path=module_path, home=home, mode=mode, budget=budget, on_exhaustion=on_exhaustion,
        is_unsafe=unsafe_everything, as_json=as_json,
    )  # fmt: skip
    _run(order, grants)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """The options that are no grants, as they were typed."""

    plan: Path
    inputs: list[str] | None
    provider: str
    isolation: str | None
    expect: list[str] | None
    machine: list[str] | None
    module_path: list[Path] | None
    home: Path | None
    mode: str
    budget: list[str] | None
    on_exhaustion: list[str] | None
    is_unsafe: bool
    as_json: bool


def _run(order: _Order, grants: Callable[[], RuntimeContext]) -> None:
    from cloister.cli.approving import TerminalApprover, can_ask  # noqa: PLC0415
    from cloister.cli.level_note import note_level  # noqa: PLC0415
    from cloister.cli.options import parse_expected, parse_inputs, parse_machine  # noqa: PLC0415
    from cloister.cli.terms import parse_terms  # noqa: PLC0415
    from cloister.isolation.microvm.config import MachineConfig  # noqa: PLC0415
    from cloister.runtime import Runtime  # noqa: PLC0415

    progress = choose_progress(as_json=order.as_json)
    approver = TerminalApprover(lambda _: str(order.plan), progress.rewind) if can_ask(as_json=order.as_json) else None
    with reporting(as_json=order.as_json, on_leave=progress.stop):
        context = grants()
        terms = parse_terms(order.mode, order.budget, order.on_exhaustion, context)
        if order.is_unsafe:
            note("warning: UnsafeEverything: this plan may call every capability on every path")
        note_level(order.provider, order.isolation, as_json=order.as_json)
        machines = MachineConfig.parse(parse_machine(order.machine, order.provider))
        with Runtime.open(order.home, machines=machines) as runtime:
            result = runtime.run(
                order.plan,
                context=context,
                provider=order.provider,
                inputs=parse_inputs(order.inputs),
                observer=progress,
                module_paths=order.module_path or (),
                expected=parse_expected(order.expect),
                terms=terms,
                approver=approver,
            )
    print_result(result, as_json=order.as_json)


def print_result(result: RunResult, *, as_json: bool, further: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Print what a run came to: its value, and the facts of the run beside it.

    Args:
        result: The result.
        as_json: Whether it is one JSON object.
        further: What that object holds besides.
    """
    if as_json:
        echo_json(_as_data(result) | dict(further))
        return
    echo(result.value_text)
    note(_summary(result))


def _as_data(result: RunResult) -> dict[str, Any]:
    return {
        "ok": True,
        "value": plain(result.value),
        "value_text": result.value_text,
        "run_id": result.run_id,
        "plan_sha256": result.plan_sha256,
        "provider": result.provider,
        "usage": result.usage.to_dict(),
        "usage_total": _total(result).to_dict(),
        "steps": result.steps_count,
        "calls": [
            {
                "capability": call.capability_id,
                "allowed": call.allowed,
                "reason": call.reason,
                "error": call.error_code,
                "usage": call.usage.to_dict() if call.usage else None,
                "record": call.sequence,
                "recalled": call.is_recalled,
                "simulated": call.is_simulated,
            }
            for call in result.calls
        ],
        "parameters": plain(dict(result.parameters)),
        "chain": {"sequence": result.chain_sequence, "sha256": result.chain_sha256},
    }


def _total(result: RunResult) -> Usage:
    """Return what the plan and its calls used together; a figure that any of them did not measure is None.

    Only the plan takes RTFS steps.
    """
    from dataclasses import replace  # noqa: PLC0415

    from cloister.plan.sandbox import total  # noqa: PLC0415

    whole = total([result.usage, *(call.usage for call in result.calls if call.usage is not None)])
    return replace(whole or result.usage, steps_count=result.usage.steps_count)


def _summary(result: RunResult) -> str:
    wall = duration_text(result.usage.wall_us) if result.usage.wall_us is not None else "time not measured"
    peak = _total(result).memory_peak_bytes
    memory = f", peak memory {peak // 2**20} MiB" if peak is not None else ""
    calls = f"{len(result.calls)} call{'' if len(result.calls) == 1 else 's'}"
    made_up = sum(call.is_simulated for call in result.calls)
    before = sum(call.is_recalled for call in result.calls)
    parts = [f"{made_up} made up, nothing done"] if made_up else []
    parts += [f"{before} made before"] if before else []
    calls += f" ({'; '.join(parts)})" if parts else ""
    return f"{result.run_id}: {calls}, {wall}{memory}; record {result.chain_sequence}"
