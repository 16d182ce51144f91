"""What one call of a plan is charged to a budget.

Owns the step from measured usage and from what a contract says to the figures of a budget. Nothing is invented: what
was neither measured nor excluded is None, and the budget decides what that means.
"""

from __future__ import annotations

from functools import lru_cache

from cloister.authority.budget import Consumption
from cloister.isolation.provider import Usage


@lru_cache(maxsize=256)
def call_estimate(
    *,
    may_write: bool,
    storage_bytes: int | None = None,
    egress_bytes: int | None = None,
    model_tokens_count: int | None = None,
    cost_microusd: int | None = None,
) -> Consumption:
    """Return what a call uses at most, as far as that is known before it.

    Args:
        may_write: Whether its decision names paths to write. Nothing else of a sandbox is on a disk.
        storage_bytes: What the contract of the capability says; None when it says nothing. The same for the others.
        egress_bytes: Zero for a capability that reaches no other machine.
        model_tokens_count: Zero for one that asks no model.
        cost_microusd: Zero for one that costs nothing.
    """
    return Consumption.exactly(
        calls_count=1,
        wall_us=None,
        cpu_us=None,
        storage_bytes=storage_bytes if may_write else 0,
        egress_bytes=egress_bytes,
        model_tokens_count=model_tokens_count,
        cost_microusd=cost_microusd,
    )


def call_consumption(
    usage: Usage | None,
    *,
    may_write: bool,
    wall_us: int,
    egress_bytes: int | None = None,
    model_tokens_count: int | None = None,
    cost_microusd: int | None = None,
) -> Consumption:
    """Return what a call used, as measured.

    Args:
        usage: Of its sandboxes together; None when it ran none, so that it used no processor and no storage of one.
        may_write: Whether its decision named paths to write.
        wall_us: How long it took by the host's clock.
        egress_bytes: As measured; None when nothing measured it. The same for the others.
        model_tokens_count: As the model reported.
        cost_microusd: As the model or the service reported.
    """
    return Consumption(
        steps_count=0,
        calls_count=1,
        wall_us=wall_us,
        cpu_us=0 if usage is None else _cpu_us(usage),
        storage_bytes=0 if usage is None else _written_bytes(usage, may_write),
        egress_bytes=egress_bytes,
        model_tokens_count=model_tokens_count,
        cost_microusd=cost_microusd,
    )


def _cpu_us(usage: Usage) -> int | None:
    if usage.cpu_user_us is None or usage.cpu_system_us is None:
        return None
    return usage.cpu_user_us + usage.cpu_system_us


def _written_bytes(usage: Usage, may_write: bool) -> int | None:
    if usage.io_write_bytes is None:
        return None if may_write else 0
    return usage.io_write_bytes
