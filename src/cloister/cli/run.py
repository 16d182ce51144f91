"""`cloister run`."""

from __future__ import annotations

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

if TYPE_CHECKING:
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
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a plan; its calls are authorized, isolated and recorded."""
    from cloister.cli.level_note import note_level  # noqa: PLC0415
    from cloister.cli.limits import parse_limits  # noqa: PLC0415
    from cloister.cli.options import build_context, parse_expected, parse_inputs, parse_machine  # noqa: PLC0415
    from cloister.isolation.microvm.config import MachineConfig  # noqa: PLC0415
    from cloister.runtime import Runtime  # noqa: PLC0415

    progress = choose_progress(as_json=as_json)
    with reporting(as_json=as_json, on_leave=progress.stop):
        context = build_context(
            allow=allow, deny=deny, allow_effect=allow_effect, deny_effect=deny_effect, allow_computed=allow_computed,
            read=read, write=write, connect=connect, env=env, policy=policy, isolation=isolation,
            limits=partial(parse_limits, timeout, memory, limit), unsafe_everything=unsafe_everything,
        )  # fmt: skip
        if unsafe_everything:
            note("warning: UnsafeEverything: this plan may call every capability on every path")
        note_level(provider, isolation, as_json=as_json)
        with Runtime.open(home, machines=MachineConfig.parse(parse_machine(machine, provider))) as runtime:
            result = runtime.run(
                plan,
                context=context,
                provider=provider,
                inputs=parse_inputs(inputs),
                observer=progress,
                module_paths=module_path or (),
                expected=parse_expected(expect),
            )
    if as_json:
        echo_json(_as_data(result))
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
            }
            for call in result.calls
        ],
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
    return f"{result.run_id}: {calls}, {wall}{memory}; record {result.chain_sequence}"
