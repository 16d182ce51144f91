"""Engines: what WebAssembly is allowed to be, how it becomes machine code, and the clock that interrupts it.

Owns the settings of wasmtime, which no input decides: some of them end the whole process when they are wrong. Compiles
what others have bounded: `modules` decides where, since the time that compiling takes has no bound of its own. Text
and code of guests are not trusted.
"""

from __future__ import annotations

import hashlib
import threading
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

from cloister.errors import InputError, ProviderError, quoted
from cloister.isolation.wasm.binding import binding
from cloister.limits import MIB

TICK_MS: Final = 10
"""How often guests are asked whether their time is over."""
REST_AFTER_TICKS: Final = 100
"""How long the clock goes on without guests: waking it takes longer than many a guest runs."""
STACK_BYTES: Final = 64 * MIB
STACK_SPARE_BYTES: Final = 16 * MIB
"""What the thread of a guest has beyond the guest's stack, for the host's functions that it calls. Without it a deep
guest would end the process instead of itself."""

COMPONENT_START: Final = b"\0asm\x0d\0\x01\0"
"""What the binary of a component begins with. Source: Component Model, Binary.md, preamble."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What differs between engines.

    Attributes:
        stack_bytes: Native stack of a guest; address space only, until used.
        is_parallel: Whether several threads compile. They stay for as long as the process lives.
        has_canonical_nans: Whether the bits of what is not a number are the same on every machine. It makes arithmetic
            half as fast, and no program can see them whose values are those of a language.
        has_components: Whether it knows components beside modules.
    """

    stack_bytes: int = STACK_BYTES
    is_parallel: bool = False
    has_canonical_nans: bool = True
    has_components: bool = True


class Engine:
    """One configured wasmtime. May be used by several threads at once.

    Args:
        settings: What is not the same for every engine.

    Raises:
        ProviderUnavailable: wasmtime is not installed.
    """

    def __init__(self, settings: EngineSettings | None = None) -> None:
        self.settings = settings or EngineSettings()
        self.raw: Any = binding().api.Engine(_config(self.settings))
        self._ticker = Ticker(self.raw)
        self._types: dict[tuple[tuple[str, ...], tuple[str, ...]], Any] = {}
        weakref.finalize(self, self._types.clear)  # at exit the package cannot free them any more, and says so

    def __repr__(self) -> str:
        return f"Engine({self.settings!r}, {self._ticker!r})"

    @property
    def thread_stack_bytes(self) -> int:
        """The stack that a thread needs before it may run a guest of this engine. Less would end the process."""
        return self.settings.stack_bytes + STACK_SPARE_BYTES

    @property
    def fingerprint(self) -> str:
        """Digest of everything that decides whether compiled code fits: version and settings."""
        settings = {**asdict(self.settings), "is_parallel": None}  # how fast it is made is not in the code
        facts = f"{binding().version}\n{sorted(settings.items())}\n{sorted(_FEATURES.items())}"
        return hashlib.sha256(facts.encode("utf-8")).hexdigest()

    def compile(self, wasm: bytes) -> Module:
        """Make machine code of a module or component.

        Args:
            wasm: A binary whose size somebody has bounded: hostile ones of a few hundred kilobytes take minutes.

        Raises:
            InputError: `input.wasm`: it is not valid, or uses what is switched off.
        """
        if wasm[:4] != b"\0asm":  # the package would take it for text, and read that
            raise not_a_module("it does not begin as WebAssembly does")
        try:
            return Module(_class_of(is_component(wasm))(self.raw, wasm))
        except binding().api.WasmtimeError as error:
            raise not_a_module(str(error)) from error

    def load(self, code: bytes, *, of_component: bool = False) -> Module:
        """Take machine code that an engine with this fingerprint made.

        Args:
            code: What `Module.serialize` returned. It is run as it is: pass nothing that was not authenticated.
            of_component: Whether it is that of a component.

        Raises:
            ProviderError: `provider.wasm-code`: another wasmtime made it, or for another processor.
        """
        try:
            return Module(_class_of(of_component).deserialize(self.raw, code))
        except binding().api.WasmtimeError as error:
            raise ProviderError(
                f"compiled code does not fit this wasmtime: {quoted(str(error), 300)}", code="provider.wasm-code"
            ) from error

    def function_type(self, parameters: tuple[str, ...], results: tuple[str, ...]) -> Any:
        """Return wasmtime's object for a type, which is for this engine alone: with another it ends the process.

        Args:
            parameters: Types, of `i32`, `i64`, `f32`, `f64`.
            results: Likewise.
        """
        known = self._types.get((parameters, results))  # making one takes longer than making a function
        if known is None:
            api = binding().api
            known = api.FuncType(*[[getattr(api.ValType, each)() for each in side] for side in (parameters, results)])
            self._types[parameters, results] = known
        return known

    def ticking(self) -> AbstractContextManager[None]:
        """Keep the clock going that interrupts guests, inside `with`; without it none of them ends in time."""
        return self._ticker.running()

    def close(self) -> None:
        """End the clock. Idempotent."""
        self._ticker.close()


@dataclass(frozen=True, slots=True)
class Module:
    """A module or component as machine code, for any number of stores of its engine."""

    raw: Any

    def serialize(self) -> bytes:
        """Return the machine code, for `Engine.load` of an engine with the same fingerprint."""
        return bytes(self.raw.serialize())


_FEATURES: Final = {
    "consume_fuel": True,
    "epoch_interruption": True,
    "wasm_exceptions": True,
    "wasm_tail_call": True,
    "wasm_wide_arithmetic": True,
    "wasm_simd": True,
    "wasm_bulk_memory": True,
    "wasm_multi_value": True,
    "wasm_reference_types": True,
    # What is between the parts of a component has the memories of two of them; no module may have several: `outline`
    "wasm_multi_memory": True,
    # What follows would be room that nothing here bounds, or results that differ from machine to machine
    "wasm_threads": False,
    "wasm_memory64": False,
    "wasm_gc": False,
    "wasm_relaxed_simd": False,
    "wasm_custom_page_sizes": False,
    "wasm_stack_switching": False,
    "wasm_compact_imports": False,
    # What components may have beside calls that end before the next one begins
    "concurrency_support": False,
    "wasm_component_model_async": False,
    "wasm_component_model_async_stackful": False,
    "wasm_component_model_more_async_builtins": False,
    "wasm_component_model_map": False,
    "wasm_component_model_implements": False,
    "wasm_component_model_canonical_names": False,
    "wasm_component_model_accessors": False,
}
"""Names are those of `wasmtime.Config` and of `wasmtime_config_*_set`."""


def _config(settings: EngineSettings) -> Any:
    config, ffi = binding().api.Config(), binding().ffi
    for name, value in _FEATURES.items():
        getattr(ffi, f"wasmtime_config_{name}_set")(config.ptr(), value)
    ffi.wasmtime_config_cranelift_nan_canonicalization_set(config.ptr(), settings.has_canonical_nans)
    ffi.wasmtime_config_shared_memory_set(config.ptr(), False)
    ffi.wasmtime_config_wasm_component_model_set(config.ptr(), settings.has_components)
    ffi.wasmtime_config_parallel_compilation_set(config.ptr(), settings.is_parallel)
    # First the stack that is never used: wasmtime ends the process when the other one is larger
    ffi.wasmtime_config_async_stack_size_set(config.ptr(), settings.stack_bytes + STACK_SPARE_BYTES)
    ffi.wasmtime_config_max_wasm_stack_set(config.ptr(), settings.stack_bytes)
    return config


def is_component(wasm: bytes) -> bool:
    """Say whether a binary is that of a component. Nothing else of it is looked at."""
    return wasm[: len(COMPONENT_START)] == COMPONENT_START


def _class_of(component: bool) -> Any:
    return binding().components.Component if component else binding().api.Module


def not_a_module(reason: str) -> InputError:
    """Return the error for bytes that are not WebAssembly we run."""
    said = quoted(" ".join(reason.split()), 300)
    return InputError(
        f"the WebAssembly is not valid here: {said}",
        code="input.wasm",
        details={"reason": said},
        hint="check it with another validator; threads, 64-bit and several memories, and garbage collection are "
        "switched off",
    )


class Ticker:
    """The thread that moves an engine's clock on, while anybody needs it, and a little longer.

    Args:
        engine: wasmtime's engine.
        rest_after_ticks: How many ticks it goes on that nobody needs.
    """

    def __init__(self, engine: Any, rest_after_ticks: int = REST_AFTER_TICKS) -> None:
        self._engine = engine
        self._rest_after_ticks = rest_after_ticks
        self._changed = threading.Condition()
        self._users_count = 0
        self._unused_ticks = 0
        self._is_resting = False
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "resting" if self._is_resting else "ticking"
        return f"Ticker({self._users_count} users, {state})"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Move the clock on as long as the block runs.

        Raises:
            ProviderError: `provider.closed` after `close`.
        """
        with self._changed:
            if self._is_closed:
                raise ProviderError("the engine is closed", code="provider.closed", hint="create a new provider")
            self._users_count += 1
            self._unused_ticks = 0
            if self._thread is None or not self._thread.is_alive():  # a fork leaves it behind
                self._thread = threading.Thread(target=self._tick, name="cloister-wasm-clock", daemon=True)
                self._thread.start()
            elif self._is_resting:
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._users_count -= 1

    def _tick(self) -> None:
        while True:
            with self._changed:
                self._rest()
                if self._is_closed and not self._users_count:  # whoever still runs must still end in time
                    return
                self._changed.wait(TICK_MS / 1000)
                self._unused_ticks = 0 if self._users_count else self._unused_ticks + 1
            self._engine.increment_epoch()

    def _rest(self) -> None:
        """Wait for somebody who needs the clock, once nobody has for long enough."""
        self._is_resting = self._unused_ticks > self._rest_after_ticks
        if self._is_resting:
            self._changed.wait_for(lambda: not self._unused_ticks or self._is_closed)
            self._is_resting = False

    def close(self) -> None:
        """End the thread when the last guest has ended; wait for it when there is none. Idempotent."""
        with self._changed:
            self._is_closed = True
            thread = None if self._users_count else self._thread
            self._changed.notify_all()
        if thread is not None:
            thread.join()
