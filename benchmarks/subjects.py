"""What is measured: the groups, in the order of the table.

Owns their names, and the groups that need no sandbox. `select` finds groups by the first words of their names.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks import (
    chain,
    crowd,
    decisions,
    governed,
    language,
    load,
    machines,
    overhead,
    resuming,
    sandboxes,
    wasm,
    wasm_metering,
    wasm_plans,
)
from benchmarks.direct import Direct, plan
from benchmarks.rows import Row, timed_rows
from benchmarks.timing import Subject, interleaved
from cloister.authority.authorizer import SecurityAuthorizer
from cloister.authority.budget import Budget, BudgetLimits, Consumption
from cloister.authority.context import RuntimeContext
from cloister.authority.level import IsolationLevel
from cloister.capabilities.catalog import builtin_catalog
from cloister.isolation.host_paths import HostPathResolver
from cloister.isolation.permit import require_permit

AUTHORIZATIONS_PER_ROUND = 1_000

START_UP = "start-up"
AUTHORIZATION = "authorization"


def _command(*argv: str) -> Callable[[], object]:
    return lambda: subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)


def start_up() -> list[Row]:
    """Time bare Python, the import, and the help page, as whole processes."""
    cloister = str(Path(sys.executable).with_name("cloister"))
    subjects = {
        "python -c pass": _command(sys.executable, "-c", "pass"),
        "python -c 'import cloister'": _command(sys.executable, "-c", "import cloister"),
        "cloister --help": _command(cloister, "--help"),
    }
    return timed_rows(START_UP, interleaved(subjects, rounds=25))


def authorization() -> list[Row]:
    """Time decisions, a thousand a round; figures are per decision."""
    authorizer = SecurityAuthorizer(builtin_catalog().registry, HostPathResolver(Path.cwd()))
    context = RuntimeContext.controlled(capabilities=["ccos.math.add", "ccos.io.read-file"], read=["/usr"])

    def decide(capability_id: str, arguments: tuple[object, ...]) -> Callable[[], object]:
        def many() -> None:
            for _ in range(AUTHORIZATIONS_PER_ROUND):
                authorizer.authorize(context, capability_id, arguments)

        return many

    def permit() -> None:
        for _ in range(AUTHORIZATIONS_PER_ROUND):
            direct.permitted(workload)

    def permit_and_check() -> None:
        for _ in range(AUTHORIZATIONS_PER_ROUND):
            require_permit(direct.verifier, direct.permitted(workload), IsolationLevel.PROCESS)

    def spend() -> None:
        budget = Budget(BudgetLimits(calls_count=AUTHORIZATIONS_PER_ROUND), budget_id="benchmark")
        for _ in range(AUTHORIZATIONS_PER_ROUND):
            budget.require(call)
            budget.consume(call)

    call = Consumption.exactly(calls_count=1, wall_us=10)
    direct, workload = Direct(), plan("(+ 1 2)")
    subjects: dict[str, Subject] = {
        "authorize ccos.math.add": decide("ccos.math.add", (1, 2)),
        "authorize ccos.io.read-file (one path)": decide("ccos.io.read-file", ("/usr/bin/env",)),
        "an execution: context, decision and token": permit,
        "an execution: context, decision, token and its check": permit_and_check,
        "a budget: asked and charged": spend,
    }
    return timed_rows(AUTHORIZATION, interleaved(subjects, rounds=30), divide_by=AUTHORIZATIONS_PER_ROUND)


def _language_memory() -> list[Row]:
    return [
        Row(
            group="memory",
            subject=f"{name} (memory)",
            median=middle,
            p95=most,
            rounds=language.MEMORY_ROUNDS,
            unit="MiB",
        )
        for name, (middle, most) in language.memory_mib().items()
    ]


def _timed(group: str, measure: Callable[[], language.Timings]) -> list[Row]:
    return timed_rows(group, measure())


GROUPS: dict[str, Callable[[], list[Row]]] = {
    START_UP: start_up,
    AUTHORIZATION: authorization,
    decisions.GROUP: governed.decisions,
    chain.CHAIN: chain.chain,
    resuming.GROUP: resuming.resuming,
    overhead.GROUP: overhead.overhead,
    sandboxes.PROGRAM: sandboxes.programs,
    sandboxes.PYTHON: sandboxes.python_scripts,
    sandboxes.PLAN: sandboxes.plans,
    load.THROUGHPUT: load.throughput,
    load.MEMORY: load.memory,
    crowd.CROWD: crowd.crowd,
    machines.COLD: machines.cold,
    machines.WARM: machines.warm,
    machines.FORK: machines.fork,
    machines.MEMORY: machines.memory,
    "functions": partial(_timed, "functions", language.functions),
    "collections": partial(_timed, "collections", language.collections),
    "small programs": partial(_timed, "small programs", language.small),
    "reading": partial(_timed, "reading", language.reading),
    "memory": _language_memory,
    wasm.NUMBERS: wasm.numbers,
    wasm.COLLECTIONS: wasm.collections,
    wasm_plans.SUM: wasm_plans.smallest,
    wasm_plans.COMPILING: wasm_plans.compiling,
    wasm_metering.METERING: wasm_metering.metering,
}
"""How each group is measured, by the name its rows carry."""


def select(names: list[str]) -> list[str]:
    """Return the groups that are meant: each name is that of a group, or its first words; none means all.

    Raises:
        ValueError: A name means no group.
    """
    for name in names:
        if not any(_is_meant(group, name) for group in GROUPS):
            raise ValueError(f'there is no group "{name}"; there are: {", ".join(GROUPS)}')
    return [group for group in GROUPS if not names or any(_is_meant(group, name) for name in names)]


def _is_meant(group: str, name: str) -> bool:
    return group == name or group.startswith(f"{name} ")
