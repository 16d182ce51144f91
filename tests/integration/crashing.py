"""Processes that run or resume a plan and kill themselves at one point of its journal, for `test_crashes`.

The seams are real ones: a file of the journal that counts its writes, and capabilities
of its own whose effects are lines of a file outside the home, each with the key of its call.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from cloister.audit.home import open_chain
from cloister.authority.capability import CapabilitySpec, Parameter, ParameterType
from cloister.authority.context import RuntimeContext
from cloister.authority.contract import Idempotency
from cloister.authority.registry import CapabilityRegistry
from cloister.capabilities.capability import Capability, Invocation
from cloister.capabilities.catalog import Catalog, builtin_catalog
from cloister.capabilities.contracts import APPENDS, TELLS_TIME
from cloister.clock import SystemClock
from cloister.lang.values import Value
from cloister.plan.journal.database import JournalFile
from cloister.plan.journal.store import RunStore
from cloister.runtime import Runtime

PLAN = """
(do
  (step "take stock"
    (call :world.put "stock" 10)
    (call :ccos.io.println "stocked"))
  (step "sell"
    (for [item ["a" "b" "c"]]
      (do (call :world.charge item (call :world.draw))
          (step (str "note " item) (try (call :world.refuse item) (catch e (call :world.put item 1)))))))
  (call :world.charge "total" (call :world.draw)))
"""
"""Calls of every contract: one that may be repeated, one that takes a key, one whose answer differs each time, one that
fails, and steps inside one another."""


class DyingFile(JournalFile):
    """A journal whose process is killed before or after one of its writes, counted from 0."""

    __slots__ = ("_dies_after", "_dies_before", "_writes_count")

    def __init__(self, path: Path, connection: Any) -> None:
        super().__init__(path, connection)
        self._dies_before, self._dies_after, self._writes_count = -1, -1, 0

    def dies(self, point: int) -> None:
        """Say where: twice the number of a write for before it, and one more for after it."""
        self._dies_before, self._dies_after = (point // 2, -1) if point % 2 == 0 else (-1, point // 2)

    def write(self, statement: str, values: tuple[Any, ...], *, durable: bool) -> int:
        """Write, or die."""
        number = self._writes_count
        self._writes_count += 1
        if number == self._dies_before:
            die()
        changed = super().write(statement, values, durable=durable)
        if number == self._dies_after:
            die()
        return changed


def die() -> None:
    """End this process as the power would: nothing of it runs any more."""
    os.kill(os.getpid(), signal.SIGKILL)


def capability(name: str, run: Callable[[Invocation], Value], contract: Any, parameters: int) -> Capability:
    """Return a capability that takes anything."""
    names = ("name", "value")[:parameters]
    spec = CapabilitySpec(
        id=f"world.{name}",
        summary="Change the world.",
        parameters=tuple(Parameter(name=each, type=ParameterType.ANY) for each in names),
        returns="any",
        effects=frozenset({":state"}),
        contract=replace(contract, storage_parameter=None),
    )
    return Capability(spec=spec, run=run)


def catalog(world: Path) -> Catalog:
    """Return the built-in capabilities with those of this world."""

    def put(call: Invocation) -> Value:
        _append(world, ["put", call.arguments["name"], call.arguments["value"]])
        return None

    def charge(call: Invocation) -> Value:
        keys = [entry[-1] for entry in effects(world) if entry[0] == "charge"]
        if call.idempotency_key not in keys:
            _append(world, ["charge", call.arguments["name"], call.arguments["value"], call.idempotency_key])
        return "charged"

    def refuse(call: Invocation) -> Value:
        from cloister.errors import GuestError  # noqa: PLC0415

        raise GuestError(f"there is no {call.arguments['name']}", code="guest.world")

    own = (
        capability("put", put, replace(APPENDS, idempotency=Idempotency.RETRY), 2),
        capability("charge", charge, replace(APPENDS, idempotency=Idempotency.KEYED), 2),
        capability("draw", lambda call: int.from_bytes(call.clock.random_bytes(4), "big"), TELLS_TIME, 0),
        capability("refuse", refuse, TELLS_TIME, 1),
    )
    capabilities = {**builtin_catalog().capabilities, **{each.spec.id: each for each in own}}
    registry = CapabilityRegistry([each.spec for each in capabilities.values()])
    return Catalog(capabilities=capabilities, registry=registry)


def effects(world: Path) -> list[list[Any]]:
    """Return what was done to the world, in order."""
    if not world.exists():
        return []
    return [json.loads(line) for line in world.read_text(encoding="utf-8").splitlines()]


def _append(world: Path, entry: list[Any]) -> None:
    with world.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def open_runtime(home: Path, world: Path, point: int) -> Runtime:
    """Open a runtime that dies at a point of its journal; at none when that is negative."""
    clock = SystemClock()
    chain = open_chain(home, clock)
    file = DyingFile.open(home / "runs.sqlite3")
    file.dies(point if point >= 0 else -2)
    return Runtime(chain, home=home, clock=clock, catalog=catalog(world), journal=RunStore(file))


def go(home: Path, world: Path, point: int, provider: str) -> tuple[Any, str]:
    """Run the plan, or let the run that was begun go on; return its value and its identifier."""
    grants = ["world.put", "world.charge", "world.draw", "world.refuse", "ccos.io.println"]
    context = RuntimeContext.controlled(capabilities=grants)
    with open_runtime(home, world, point) as runtime:
        begun = [run for run in runtime.runs() if run.state.can_resume]
        result = runtime.resume(begun[-1].run_id) if begun else runtime.run(PLAN, context=context, provider=provider)
    return result.value, result.run_id


def attempt(home: Path, world: Path, point: int, provider: str = "mock") -> tuple[Any, str] | None:
    """Do that in a process of its own; None when it was killed.

    Raises:
        ChildProcessError: It ended in another way.
    """
    answer = home.with_suffix(".answer")
    child = os.fork()
    if child == 0:
        try:
            answer.write_text(json.dumps(go(home, world, point, provider)), encoding="utf-8")
        finally:
            os._exit(0 if answer.exists() else 1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return None
    if status != 0:
        raise ChildProcessError(f"the process for point {point} ended with status {status}")
    value, run_id = json.loads(answer.read_text(encoding="utf-8"))
    return value, run_id
