"""From bytes to a module that can be run, by the shortest way that is safe.

Owns that way: what was loaded already, what the cache on disk has, and what has to be compiled, here or in a process of
its own. Also which imports a module may have and whether it fits its limits at all, both before it is compiled.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from cloister.errors import DeniedError, quoted
from cloister.isolation.wasm import faults
from cloister.isolation.wasm.artifact import LOADED_BYTES, description_bytes, require_loadable
from cloister.isolation.wasm.cache import CodeCache
from cloister.isolation.wasm.compiling import compiled_apart
from cloister.isolation.wasm.components.kinds import World, world_of
from cloister.isolation.wasm.components.outline import ComponentOutline, component_outline
from cloister.isolation.wasm.deadline import Deadline
from cloister.isolation.wasm.engine import Engine, Module, is_component
from cloister.isolation.wasm.outline import Outline, effort_of, outline_of
from cloister.isolation.wasm.store import TABLE_ELEMENTS_MAX
from cloister.isolation.wasm.wasi2.serving import require_interfaces, require_served
from cloister.lang.wasm_engine.compiler.plan_module import CAPABILITY, RUNTIME
from cloister.limits import MIB, ResourceLimits

HERE_BYTES_MAX: Final = 8 * 1024
HERE_EFFORT_MAX: Final = 100_000
"""Modules up to this size and effort are compiled in this process: the worst that was found took a fifth of a second
and 250 MiB. All others get a process of their own, which takes about as long to start. Without the second bound 12 KiB
took two minutes and 4 GiB, by blocks and calls with a thousand values each."""
KEPT_COUNT: Final = 32
KEPT_BYTES_MAX: Final = 128 * MIB
"""Of the WebAssembly that loaded modules were made of, with what the descriptions of their code take in memory."""

WASI: Final = "wasi_snapshot_preview1"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A module ready to be run, with what it says of itself, and about how much memory it takes while it is kept."""

    module: Module
    outline: Outline
    kept_bytes: int


@dataclass(frozen=True, slots=True)
class LoadedComponent:
    """A component ready to be run; see `Loaded`."""

    module: Module
    outline: ComponentOutline
    world: World
    kept_bytes: int


class Modules:
    """The modules of one engine. May be used by several threads at once.

    Args:
        engine: Compiles and runs them.
        cache: Where machine code lies between two processes; None for nowhere.
    """

    def __init__(self, engine: Engine, cache: CodeCache | None) -> None:
        self._engine = engine
        self._cache = cache
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, Loaded | LoadedComponent] = OrderedDict()
        self._kept_bytes = 0

    def __repr__(self) -> str:
        return f"Modules({len(self._kept)} kept)"

    def load(
        self,
        wasm: bytes,
        deadline: Deadline,
        *,
        granted: Collection[tuple[str, str]],
        limits: ResourceLimits,
    ) -> Loaded:
        """Return a module that may be instantiated.

        Args:
            wasm: Its bytes, from anybody.
            deadline: When compiling it is given up.
            granted: Module and name of what it may import.
            limits: What it must fit.

        Raises:
            InputError: `input.wasm`, `input.wasm-large`.
            DeniedError: `denied.wasm-import`: it imports something else.
            LimitExceeded: `limit.memory`: it begins larger than it may be; `limit.wall` while it is compiled.
            ProviderError: As `CodeCache` and `compiled_apart`.
        """
        digest = hashlib.sha256(wasm).digest()
        found = self._found(digest)
        kept = found if isinstance(found, Loaded) else None
        outline = kept.outline if kept is not None else outline_of(wasm)
        require_granted(outline, granted)
        require_room(outline, limits)
        if kept is not None:
            return kept
        module, kept_bytes = self._made(outline.code, deadline)
        loaded = Loaded(module, outline, kept_bytes)
        self._keep(digest, loaded)
        return loaded

    def load_component(self, wasm: bytes, deadline: Deadline, *, limits: ResourceLimits) -> LoadedComponent:
        """Return a component that may be instantiated. It is always compiled in a process of its own.

        A component of a few kilobytes can be one whose parts, put together, have no end.

        Args:
            wasm: Its bytes, from anybody.
            deadline: When compiling it is given up.
            limits: What it must fit.

        Raises:
            InputError: `input.wasm`, `input.wasm-large`.
            DeniedError: `denied.wasm-import`: it imports what is not served.
            LimitExceeded: `limit.memory`: it begins larger than it may be; `limit.wall` while it is compiled.
            ProviderError: As `CodeCache` and `compiled_apart`.
        """
        digest = hashlib.sha256(wasm).digest()
        kept = self._found(digest)
        if isinstance(kept, LoadedComponent):
            require_room(kept.outline, limits)
            return kept
        outline = component_outline(wasm)
        require_interfaces(outline)
        require_room(outline, limits)
        module, kept_bytes = self._made(outline.code, deadline)
        world = world_of(module.raw, self._engine.raw)
        require_served(world)
        loaded = LoadedComponent(module, outline, world, kept_bytes)
        self._keep(digest, loaded)
        return loaded

    def _found(self, digest: bytes) -> Loaded | LoadedComponent | None:
        with self._lock:
            kept = self._kept.get(digest)
            if kept is not None:
                self._kept.move_to_end(digest)
            return kept

    def make_ready(self, wasm: bytes, deadline: Deadline) -> None:
        """Compile a module that somebody has vouched for, before the time of an execution begins.

        Raises:
            InputError, LimitExceeded, ProviderError: As `load`.
        """
        digest = hashlib.sha256(wasm).digest()
        with self._lock:
            if digest in self._kept:
                return
        outline = outline_of(wasm)
        module, kept_bytes = self._made(outline.code, deadline)
        self._keep(digest, Loaded(module, outline, kept_bytes))

    def _made(self, code: bytes, deadline: Deadline) -> tuple[Module, int]:
        """Return a module or component, and about how much memory it takes as long as it is kept."""
        if self._cache is None:
            return self._compiled(code, deadline)
        ready = self._cache.get(code, self._engine.fingerprint)
        if ready is not None:
            return self._from_code(code, ready)
        module, kept_bytes = self._compiled(code, deadline)
        self._cache.put(code, self._engine.fingerprint, module.serialize())
        return module, kept_bytes

    def _compiled(self, code: bytes, deadline: Deadline) -> tuple[Module, int]:
        if not is_component(code) and len(code) <= HERE_BYTES_MAX and effort_of(code) <= HERE_EFFORT_MAX:
            return self._engine.compile(code), len(code)
        return self._from_code(code, compiled_apart(code, self._engine.settings, deadline))

    def _from_code(self, code: bytes, made: bytes) -> tuple[Module, int]:
        if is_component(code):
            require_loadable(made, len(code))
        module = self._engine.load(made, of_component=is_component(code))
        return module, len(code) + LOADED_BYTES * description_bytes(made)

    def _keep(self, digest: bytes, loaded: Loaded | LoadedComponent) -> None:
        with self._lock:
            if digest in self._kept:
                return
            self._kept[digest] = loaded
            self._kept_bytes += loaded.kept_bytes
            while len(self._kept) > KEPT_COUNT or self._kept_bytes > KEPT_BYTES_MAX:
                _, gone = self._kept.popitem(last=False)
                self._kept_bytes -= gone.kept_bytes


def require_granted(outline: Outline, granted: Collection[tuple[str, str]]) -> None:
    """Accept a module that imports nothing but what it may.

    Raises:
        DeniedError: `denied.wasm-import`, for the first thing that it may not.
    """
    for each in outline.imports:
        if each.kind == "func" and (each.module, each.name) in granted:
            continue
        named = f"{quoted(each.module, 60)}.{quoted(each.name, 60)}"
        raise DeniedError(
            f"the module imports {each.kind} {named}, which was not granted; nothing of it was run",
            code="denied.wasm-import",
            details={"module": quoted(each.module, 200), "name": quoted(each.name, 200), "kind": each.kind},
            hint=_how_to_grant(each.module),
        )


def _how_to_grant(module: str) -> str:
    if module.startswith("wasi"):
        return f"WASI preview 1 ({WASI}) is what this provider grants: build it for wasm32-wasip1"
    if module in {RUNTIME, CAPABILITY}:
        return "a compiled plan is run with: cloister run --provider wasm FILE; build anything else without that import"
    return f"no option grants it: a module runs here with {WASI} alone, so build it without that import"


def require_room(outline: Outline | ComponentOutline, limits: ResourceLimits) -> None:
    """Accept a module or component whose memory and tables fit at the start.

    Raises:
        LimitExceeded: `limit.memory`.
    """
    memory_bytes = outline.memory_pages_min * faults.PAGE_BYTES
    if memory_bytes > limits.memory_bytes or outline.tables_elements_min > TABLE_ELEMENTS_MAX:
        tables_bytes = outline.tables_elements_min * 8
        raise faults.memory_used_up(limits, max(memory_bytes, tables_bytes))
