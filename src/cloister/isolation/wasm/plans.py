"""Plans in WebAssembly: compiled from their text, run under fuel, in conversation with their host.

Owns the way of a `PlanProgram` through the wasm provider, and the compiled plans it remembers. The text is compiled
here, and nothing compiled elsewhere is run. The conversation is that of every guest: what crosses, in which order and
which errors come back is decided by the very code that the process provider's guest and host run.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from cloister.isolation.bridge import Bridge
from cloister.isolation.dialogue import Dialogue, start_message
from cloister.isolation.guest import main
from cloister.isolation.host_calls import HostCalls
from cloister.isolation.provider import PlanBytecode, PlanProgram, WireValue
from cloister.isolation.wasm.cache import CodeCache
from cloister.isolation.wasm.compiling import compiled_apart
from cloister.isolation.wasm.deadline import Deadline
from cloister.isolation.wasm.engine import Engine, EngineSettings, Module
from cloister.isolation.wasm.plan_run import LoadedPlan, PlanOutcome, PlanRun
from cloister.isolation.wire import frame_bytes
from cloister.lang.host import Host
from cloister.lang.program import Program
from cloister.lang.values import Value
from cloister.lang.wasm_engine.compiler.plan_module import compile_plan
from cloister.lang.wasm_engine.runtime_module import RuntimeSupport, runtime_support, sources_sha256
from cloister.limits import ResourceLimits

KEPT_COUNT: Final = 64
"""How many compiled plans are remembered."""

PLAN_ENGINE: Final = EngineSettings(has_canonical_nans=False, has_components=False)
"""No program sees the bits of what is not a number: the crossing gives every NaN the same."""
HERE_BYTES_MAX: Final = 128 * 1024
"""Modules of plans up to this size become machine code in this process, in some tenths of a second at most; larger ones
in a process of their own, which can be ended."""

_TRANSLATED: Final = "translated"
"""In place of an engine's fingerprint, for what is no machine code."""


class Plans:
    """Runs plans on one engine. May be used by several threads at once.

    Args:
        engine: Compiles and runs them.
        cache: Where the machine code of the runtime support lies between two processes; None for nowhere.
    """

    def __init__(self, engine: Engine, cache: CodeCache | None) -> None:
        self._engine = engine
        self._cache = cache
        self._lock = threading.Lock()
        self._runtime: tuple[RuntimeSupport, Module] | None = None
        self._kept: OrderedDict[str, LoadedPlan] = OrderedDict()

    def __repr__(self) -> str:
        return f"Plans({len(self._kept)} kept)"

    def make_ready(self) -> None:
        """Have the runtime support compiled, which takes a second or more the first time, and is no work of a plan.

        Raises:
            ProviderError: `provider.wasm-cache`.
        """
        self._support()

    def execute(
        self, workload: PlanProgram | PlanBytecode, limits: ResourceLimits, deadline: Deadline, host: HostCalls | None
    ) -> tuple[WireValue, PlanOutcome | None]:
        """Run a plan for a provider.

        Args:
            workload: The plan.
            limits: Bounds.
            deadline: When it is over.
            host: Answers its calls; None when there may be none.

        Returns:
            Its value, and what was measured.

        Raises:
            CloisterError: See `IsolationProvider.execute`.
        """
        outcomes: list[PlanOutcome] = []

        said, given = _said(workload)

        def engine(
            program: Program, world: Host, bounds: ResourceLimits, inputs: Mapping[str, Value], /
        ) -> PlanOutcome:
            outcomes.append(self.run(given or program, world, bounds, inputs, deadline))
            return outcomes[-1]

        dialogue = Dialogue(host, limits)
        bridge = Bridge(start_message(said, limits), dialogue, frame_bytes(limits))
        main.run(bridge, limits, engine=engine)
        if dialogue.fatal is not None:
            raise dialogue.fatal
        if bridge.ending is not None:
            raise bridge.ending
        return dialogue.value, outcomes[-1] if outcomes else None

    def run(
        self,
        program: Program,
        host: Host,
        limits: ResourceLimits,
        inputs: Mapping[str, Value],
        deadline: Deadline,
    ) -> PlanOutcome:
        """Run a program. See `lang.program.run_program`.

        Reading and compiling a text is not interrupted; nothing of it runs when its time was over by then.
        """
        support, runtime = self._support()
        deadline.require()
        return PlanRun(
            self._engine,
            runtime,
            self._loaded(program, support, deadline),
            host=host,
            limits=limits,
            inputs=inputs,
            deadline=deadline,
        ).execute()

    def _support(self) -> tuple[RuntimeSupport, Module]:
        with self._lock:
            if self._runtime is None:
                support = self._translated()
                self._runtime = support, self._compiled(support.wasm)
            return self._runtime

    def _translated(self) -> RuntimeSupport:
        if self._cache is None:
            return runtime_support()
        sources = f"runtime support {sources_sha256()}".encode("ascii")
        kept = self._cache.get(sources, _TRANSLATED)
        if kept is not None:
            return RuntimeSupport.decode(kept)
        support = runtime_support()
        self._cache.put(sources, _TRANSLATED, support.encode())
        return support

    def _compiled(self, wasm: bytes) -> Module:
        """Return the machine code of the runtime support, which is ours and so needs no bounds."""
        if self._cache is None:
            return self._engine.compile(wasm)
        ready = self._cache.get(wasm, self._engine.fingerprint)
        if ready is not None:
            return self._engine.load(ready)
        module = self._engine.compile(wasm)
        self._cache.put(wasm, self._engine.fingerprint, module.serialize())
        return module

    def _loaded(self, program: Program, support: RuntimeSupport, deadline: Deadline) -> LoadedPlan:
        with self._lock:
            known = self._kept.get(program.sha256)
            if known is not None and known.source == program.source:
                self._kept.move_to_end(program.sha256)
                return known
        compiled = compile_plan(program.core, support.signatures)
        deadline.require()
        loaded = LoadedPlan(compiled, self._made(compiled.wasm, deadline), program.source)
        with self._lock:
            self._kept[program.sha256] = loaded
            while len(self._kept) > KEPT_COUNT:
                self._kept.popitem(last=False)
        return loaded

    def _made(self, wasm: bytes, deadline: Deadline) -> Module:
        """Return the machine code of a plan. Whoever wrote the plan decides how much work that is."""
        if len(wasm) <= HERE_BYTES_MAX:
            return self._engine.compile(wasm)
        return self._engine.load(compiled_apart(wasm, self._engine.settings, deadline))

    def close(self) -> None:
        """End the engine's clock. Idempotent."""
        self._engine.close()


def _said(workload: PlanProgram | PlanBytecode) -> tuple[PlanProgram, Program | None]:
    """Return what the conversation begins with, and the program when it is there already: then it needs no text."""
    if isinstance(workload, PlanProgram):
        return workload, None
    given = workload.program
    said = PlanProgram(source="", name=given.name, inputs=workload.inputs, steps_unasked=workload.steps_unasked)
    return said, given
