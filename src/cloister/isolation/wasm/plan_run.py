"""Running a compiled plan: its store, the answers it gets, and what its errors say.

Owns one run. Questions and values come from the memory of the plan, which may be anybody's code; what is answered is
decided by `Answers`, and what leaves is checked as what leaves any run is.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from ctypes import ArgumentError
from typing import Any, Final, NamedTuple

from cloister.errors import CloisterError, InternalError, LimitExceeded, WireError, quoted
from cloister.isolation.wasm import faults
from cloister.isolation.wasm.answer_budget import AnswerBudget
from cloister.isolation.wasm.binding import binding
from cloister.isolation.wasm.deadline import Deadline
from cloister.isolation.wasm.engine import STACK_SPARE_BYTES, Engine, Module
from cloister.isolation.wasm.plan_store import OpenCall, PlanStore, calls_of
from cloister.isolation.wasm.store import GuestMemory, HostFunction
from cloister.lang.bounds import check_crossing
from cloister.lang.host import Host
from cloister.lang.passage import CATCHABLE, Passage
from cloister.lang.python_engine.deep import BYTES_PER_FRAME, DeepThread
from cloister.lang.source import Source
from cloister.lang.stdlib.budget import install, uninstall
from cloister.lang.traces import Frame, located
from cloister.lang.values import ErrorValue, Value
from cloister.lang.wasm_engine import layout
from cloister.lang.wasm_engine.answers import Answers
from cloister.lang.wasm_engine.compiler.places import CompiledPlan
from cloister.lang.wasm_engine.crossing import Crossing
from cloister.lang.wasm_engine.guest_values import GuestFunction
from cloister.lang.wasm_engine.kept import Kept
from cloister.limits import ResourceLimits

PAGES_MAX: Final = 65_536
"""Pages of 64 KiB that a memory with addresses of 32 bits can have."""
_INT32: Final = 4
_INT32_MAX: Final = 2**31 - 1
SEED_BYTES: Final = 8
_UINT32_MAX: Final = 2**32 - 1

_CODE_AT: Final = 8
_PARAMETERS_AT: Final = 12
_ANY_MORE: Final = 1 << 16
"""In a closure; see `layout.CLOSURE`."""

BYTES_PER_PART: Final = 4
"""Of `value_bytes`, for each part of what crosses at once: two collections as large as one may be fit."""
PARTS_MIN: Final = 1_000
ERRORS_SHARE: Final = 4
"""Of `memory_bytes`, for the errors that the host remembers."""
FUNCTION_BYTES: Final = 512
"""What a function that a builtin made takes in the host, and as much again for each byte it was made of:"""
BYTES_PER_CROSSED: Final = 16

PYTHON_FRAMES: Final = STACK_SPARE_BYTES // BYTES_PER_FRAME
"""How many Python frames the host's answers may have open in all, so that they never need more than the spare stack."""


class PlanOutcome(NamedTuple):
    """What a finished run gives.

    Attributes:
        value: The program's value.
        fuel_count: Fuel it used.
        memory_peak_bytes: The most memory it had.
    """

    value: Value
    fuel_count: int
    memory_peak_bytes: int

    @property
    def steps_count(self) -> None:
        """None: fuel is counted, not steps."""


class LoadedPlan(NamedTuple):
    """A plan ready to run, any number of times.

    Attributes:
        compiled: What is known of it.
        module: Its machine code.
        source: Its text, for places.
    """

    compiled: CompiledPlan
    module: Module
    source: Source


class PlanRun:
    """One run of one plan.

    Args:
        engine: Runs it.
        runtime: The runtime support, for that engine.
        plan: The plan.
        host: The world.
        limits: Bounds.
        inputs: Values of its inputs, by name.
        deadline: When it is over.
    """

    def __init__(
        self,
        engine: Engine,
        runtime: Module,
        plan: LoadedPlan,
        *,
        host: Host,
        limits: ResourceLimits,
        inputs: Mapping[str, Value],
        deadline: Deadline,
    ) -> None:
        self._engine = engine
        self._runtime = runtime
        self._plan = plan
        self._limits = limits
        self._budget = AnswerBudget(limits, deadline)
        self._deadline = deadline
        self._thread: DeepThread[PlanOutcome] | None = None
        self._passage = Passage(host, limits, inputs, self._budget.look, self._on_caller, arity_of=self._arity_of)
        self._kept = Kept(limits.memory_bytes)
        self._answers = Answers(plan.compiled, self._passage, self._kept)
        self._answering = 0
        self._crossing = Crossing(
            caller=self._call_guest,
            host_function=self._answers.host_function,
            elements_max=limits.value_bytes // BYTES_PER_PART + PARTS_MIN,
            errors_bytes_max=limits.memory_bytes // ERRORS_SHARE,
        )
        self._store: PlanStore
        self._memory: GuestMemory

    def execute(self) -> PlanOutcome:
        """Run it to its end: on a thread with room when calls can nest.

        Raises:
            CloisterError: What the program or its host failed with, or the limit it reached.
        """
        if not self._plan.compiled.nests:
            return self._main()
        self._thread = DeepThread(self._deadline.cancel)
        return self._thread.run_on_stack(self._main, self._engine.thread_stack_bytes, PYTHON_FRAMES)

    def _main(self) -> PlanOutcome:
        outer = install(self._budget)
        try:
            with self._engine.ticking(), PlanStore(self._engine, self._limits, self._deadline) as store:
                return self._run_in(store)
        finally:
            uninstall(outer)

    def _run_in(self, store: PlanStore) -> PlanOutcome:
        self._store, self._memory = store, store.memory
        store.start(
            self._runtime,
            HostFunction(parameters=("i32",) * 3, results=("i32",), act=self._ask),
            HostFunction(parameters=("i32",), results=(), act=self._limit),
        )
        store.add_plan(self._plan.module, self._plan.compiled.imports, self._capabilities())
        self._memory.write(0, first_cells(self._limits, secrets.token_bytes(SEED_BYTES)))
        try:
            length = store.run()
            value = self._crossing.decode(self._buffer(length))
            value = check_crossing(value, self._limits)
        except CloisterError as error:
            self._explain_end(error)
            self._answers.fail_steps(error)
            self._passage.undo_steps(error, self._call_undo)
            raise
        return PlanOutcome(value, store.fuel_used, store.memory_peak_bytes or 0)

    def _capabilities(self) -> dict[str, HostFunction]:
        names = [*self._plan.compiled.capabilities, *(("*",) if self._plan.compiled.is_computed else ())]
        return {
            name: HostFunction(parameters=("i32", "i32"), results=("i32",), act=self._capability(name))
            for name in names
        }

    # Called by the guest

    def _ask(self, _: GuestMemory, operation: int, address: int, length: int) -> int:
        return self._answer(
            address, length, lambda arguments: self._answers.answer(operation, arguments),
            holds=self._answers.needs_call(operation),
        )  # fmt: skip

    def _capability(self, name: str) -> Callable[..., int]:
        def act(_: GuestMemory, address: int, length: int) -> int:
            return self._answer(address, length, lambda arguments: self._answers.call(name, arguments))

        return act

    def _answer(self, address: int, length: int, act: Callable[[Any], Value], *, holds: bool = False) -> int:
        arguments = self._crossing.decode(self._memory.read(address & _UINT32_MAX, length))
        if not isinstance(arguments, tuple):
            raise WireError("the program asked its host in a form that is none", code="provider.wire-shape")
        known = len(self._crossing.held)
        self._hold(holds)
        try:
            data = self._crossing.encode(act(arguments))
            made = len(self._crossing.held) - known
            self._kept.add(made * (FUNCTION_BYTES + BYTES_PER_CROSSED * length))
        except Exception as error:  # noqa: BLE001 - explained, and raised in the program or here
            return self._raise(self._explained(error))
        finally:
            self._hold(-holds)
        return self._put(data)

    def _hold(self, more: int) -> None:
        """Say whether anything may be collected: not while a builtin, or a function it made, has words."""
        self._answering += more
        held = bool(self._answering or self._crossing.held or self._answers.holds_words)
        if more or held:
            self._memory.write_int(layout.HELD, held, _INT32)

    def _put(self, data: bytes) -> int:
        address = self._memory.read_int(layout.BUFFER, _INT32)
        if not address or len(data) > self._memory.read_int(layout.BUFFER_BYTES, _INT32):
            address = self._store.of_runtime("buffer", len(data)) & _UINT32_MAX
        self._memory.write(address, data)
        return len(data)

    def _buffer(self, length: int) -> bytes:
        return self._memory.read(self._memory.read_int(layout.BUFFER, _INT32), length)

    def _raise(self, error: CloisterError) -> int:
        """Hand an error to the program when it may catch it, or end the run with it."""
        if not isinstance(error, CATCHABLE) or not self._memory.read_int(layout.CATCHERS, _INT32):
            raise error
        data = self._crossing.encode(ErrorValue(error, getattr(error, "data", None)))
        _forget_frames(error)
        self._put(data)
        return -1

    def _limit(self, _: GuestMemory, which: int) -> None:
        raise self._explained(_limit_error(which, self._limits))

    def _call_guest(self, word: int, arguments: tuple[Value, ...]) -> Value:
        """Call a function of the program, for a builtin of the host that was given it."""
        asked = (GuestFunction(word, self._call_guest), *arguments)
        self._put(self._crossing.encode(asked))
        length = self._store.of_runtime("called_from_host")
        if length >= 0:
            return self._crossing.decode(self._buffer(length))
        error = self._crossing.decode(self._buffer(-1 - length))
        if not isinstance(error, ErrorValue):
            raise WireError("the program threw what is no error", code="provider.wire-shape")
        raise error.error

    # Undoing

    def _arity_of(self, function: Value) -> tuple[int, int | None] | None:
        """Return how many arguments a function of the program takes; None for one that a builtin made."""
        if not isinstance(function, GuestFunction):
            return None
        address = function.word & _UINT32_MAX
        if self._memory.read_int(address + _CODE_AT, _INT32) < layout.CODE_START:
            return None
        parameters = self._memory.read_int(address + _PARAMETERS_AT, _INT32)
        least = parameters & (_ANY_MORE - 1)
        return least, None if parameters & _ANY_MORE else least

    def _call_undo(self, function: Any, arguments: tuple[Value, ...]) -> None:
        """Call a function of the program when no function of it is open any more, however the last ones ended."""
        for cell, value in (
            (layout.SP, layout.STACK_START),
            (layout.DEPTH, min(self._limits.depth_count, _INT32_MAX)),
            (layout.CATCHERS, 0),
            (layout.WORK_TOP, 0),
        ):
            self._memory.write_int(cell, value, _INT32)
        try:
            function(*arguments)
        except Exception as error:  # noqa: BLE001 - explained and raised again, whatever it is
            translated = _translated(error, self._limits)
            self._explain_end(translated)
            self._answers.fail_steps(translated)
            raise translated from error.__cause__

    # Errors

    def _explained(self, error: Exception) -> CloisterError:
        explained = _translated(error, self._limits)
        if explained.span is None and not explained.trace:
            explained.span, explained.trace = self._located(self._store.open_calls())
        return explained

    def _explain_end(self, error: CloisterError) -> None:
        """Say where a run was that was ended from outside."""
        trap = error.__cause__
        if error.span is None and isinstance(trap, binding().api.Trap):
            error.span, error.trace = self._located(calls_of(trap))

    def _located(self, calls: tuple[OpenCall, ...]) -> Any:
        plan = self._plan.compiled
        frames: list[Frame] = []
        for each in calls:
            index = each.function - plan.imported_count
            if each.module != "plan" or not 0 <= index < len(plan.functions):
                continue
            function = plan.functions[index]
            place = function.place_at(each.offset)
            if function.name is not None and place is not None:
                frames.append((function.name, place))
        return located(frames, plan.places, self._plan.source)

    def _on_caller(self, action: Callable[[], Any]) -> Any:
        if self._thread is not None:
            return self._thread.on_caller(action)
        inner = install(None)  # what a host does for itself is not charged to the program
        try:
            return action()
        finally:
            uninstall(inner)


def first_cells(limits: ResourceLimits, seed: bytes) -> bytes:
    """Return what the memory of a plan begins with, before the plan runs.

    Args:
        limits: Bounds.
        seed: `SEED_BYTES` that nobody can guess, from which the hashes of its texts are made.
    """
    cells = bytearray(layout.PAGES_MAX + _INT32)
    for cell, value in (
        (layout.SP, layout.STACK_START),
        (layout.SP_MAX, layout.STATIC_START),
        (layout.DEPTH, min(limits.depth_count, _INT32_MAX)),
        (layout.VALUE_BYTES, min(limits.value_bytes, _INT32_MAX)),
        (layout.PAGES_MAX, min(limits.memory_bytes // layout.PAGE, PAGES_MAX)),
    ):
        cells[cell : cell + _INT32] = value.to_bytes(_INT32, "little")
    cells[layout.SEED : layout.SEED + SEED_BYTES] = seed
    return bytes(cells)


def _translated(error: Exception, limits: ResourceLimits) -> CloisterError:
    if isinstance(error, CloisterError):
        return error
    if isinstance(error, RecursionError) or (isinstance(error, ArgumentError) and "RecursionError" in str(error)):
        # What ctypes makes of running out of frames while it converts an argument
        return _limit_error(layout.LIMIT_DEPTH, limits)
    if isinstance(error, MemoryError):
        return _limit_error(layout.LIMIT_MEMORY, limits)
    internal = InternalError(f"running the program failed inside: {type(error).__name__}: {quoted(str(error))}")
    internal.__cause__ = error
    return internal


def _forget_frames(error: BaseException) -> None:
    """Let go of what the frames hold that an error went through: the program may have it remembered for long."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        each = pending.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            each.__traceback__ = None
            pending += (each.__cause__, each.__context__)


def _limit_error(which: int, limits: ResourceLimits) -> LimitExceeded:
    if which == layout.LIMIT_DEPTH:
        return LimitExceeded(
            f"calls are nested deeper than {limits.depth_count} levels, or than there is room for",
            limit="depth_count",
            allowed=limits.depth_count,
            unit="count",
            hint="use loop/recur or reduce instead of recursion, or raise the limit depth_count",
        )
    if which == layout.LIMIT_VALUE:
        return LimitExceeded(
            f"a value larger than {limits.value_bytes} bytes was about to be built",
            limit="value_bytes",
            allowed=limits.value_bytes,
            unit="bytes",
            hint="work on smaller pieces, or raise the limit value_bytes",
        )
    return faults.memory_used_up(limits, None)
