"""What a sandbox for plans is told, and what it is held to: its usual limits were set before anybody asked."""

import os
import resource
from pathlib import Path

import pytest
from tests.security.conftest import Bench

from cloister.errors import WireError
from cloister.isolation.process.lanes import ORDER_INLINE_BYTES, PoolSettings
from cloister.isolation.process.privileges import limits_table
from cloister.isolation.process.provider import ProcessProvider
from cloister.isolation.provider import PlanProgram
from cloister.limits import MIB, ResourceLimits

CALL = PlanProgram(source="(call :test.look)", name="<test>")


class Looker:
    """A host that looks, from outside, at the only guest there is when the plan calls."""

    def __init__(self, provider: ProcessProvider) -> None:
        self._provider = provider
        self.limits: dict[int, tuple[int, int]] = {}
        self.policy = -1

    def call(self, capability_id: str, arguments: list[object]) -> None:
        (launcher,) = self._provider.launcher_pids
        _, guest = map(
            int,  # the first is the zygote
            Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split(),
        )
        self.limits = {which: resource.prlimit(guest, which) for which in limits_table(ResourceLimits())}
        self.policy = os.sched_getscheduler(guest)

    def hints_changed(self, hints: object) -> None: ...
    def step_started(self, name: str, options: object) -> None: ...
    def step_ended(self, name: str, error_code: str | None) -> None: ...
    def undo_started(self, name: str, place: int) -> None: ...
    def undo_ended(self, name: str, error_code: str | None) -> None: ...


def seen(bench: Bench, limits: ResourceLimits, pool: PoolSettings | None) -> Looker:
    provider = ProcessProvider(bench.verifier, pool)
    looker = Looker(provider)
    try:
        provider.execute(bench.permitted(CALL, limits=limits), host=looker)
    finally:
        provider.close()
    return looker


USUAL = ResourceLimits()
LESS = ResourceLimits(cpu_ms=3_000, memory_bytes=64 * MIB, open_files_count=20, file_bytes=MIB, processes_count=2)
MORE = ResourceLimits(cpu_ms=90_000, memory_bytes=1024 * MIB, open_files_count=512, file_bytes=128 * MIB)
MIXED = ResourceLimits(cpu_ms=90_000, memory_bytes=64 * MIB)


@pytest.mark.parametrize("limits", [USUAL, LESS, MORE, MIXED], ids=["usual", "less", "more", "mixed"])
def test_the_kernel_holds_a_plan_to_the_limits_of_its_order(bench: Bench, limits: ResourceLimits) -> None:
    looker = seen(bench, limits, PoolSettings(size_max=0))
    assert looker.limits == {which: (value, value) for which, value in limits_table(limits).items()}


def test_a_guest_for_plans_preempts_nobody(bench: Bench) -> None:
    assert seen(bench, USUAL, PoolSettings(size_max=0)).policy == os.SCHED_BATCH


def test_a_plan_that_fits_no_message_comes_as_a_file(bench: Bench) -> None:
    for padding in (ORDER_INLINE_BYTES // 2, ORDER_INLINE_BYTES):
        plan = PlanProgram(source=f"(+ n 2) ; {'x' * padding}", name="<test>", inputs={"n": 1})
        assert bench.execute(plan).value == 3


def test_inputs_arrive_as_json_does(bench: Bench) -> None:
    plan = PlanProgram(source="(get n 1)", name="<test>", inputs={"n": (1, {"a": [2.5, None, True]})})
    assert bench.execute(plan).value == {"a": [2.5, None, True]}


@pytest.mark.parametrize("name", ["source", "name"])
def test_half_a_character_is_refused_before_a_guest_sees_it(bench: Bench, name: str) -> None:
    texts = {"source": '"π"', "name": "<test>"}
    assert bench.execute(PlanProgram(**texts)).value == "π"
    with pytest.raises(WireError) as caught:
        bench.execute(PlanProgram(**texts | {name: '"\ud800"'}))
    assert caught.value.code == "provider.wire-json"


def test_a_text_that_no_frame_holds_is_refused(bench: Bench) -> None:
    limits = ResourceLimits(value_bytes=1_000)
    assert bench.execute(PlanProgram(source=f"1 ; {'x' * 900_000}", name="<test>"), limits=limits).value == 1
    with pytest.raises(WireError) as caught:
        bench.execute(PlanProgram(source=f"1 ; {'x' * 5 * MIB}", name="<test>"), limits=limits)
    assert caught.value.code == "provider.wire-oversize"
