"""Running deeply recursive Python safely: a thread with a big stack, and a recursion limit that fits it.

Owns the only calls of `sys.setrecursionlimit` and `threading.stack_size` in the package. Nested RTFS calls are nested
Python calls, so the engine and the compiler run here. What the decision costs others in the process: while at least one
of these threads runs, the recursion limit of the interpreter is raised for every thread; it is put back when the last
one ends, unless somebody else changed it meanwhile. The stack of other threads does not grow. Runaway recursion in
those threads is still stopped, only later.

Actions that belong to the caller (everything a host does) run on the caller's thread, which waits here anyway: hosts
may keep connections, locks and context variables that are bound to a thread.
"""

from __future__ import annotations

import contextvars
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, Final, Generic, TypeVar

from cloister.errors import InternalError
from cloister.limits import MIB

T = TypeVar("T")

FRAMES_PER_CALL: Final = 6
"""Python frames one nested RTFS call may need: itself, one loop body, and a builtin it goes through."""

FRAMES_SPARE: Final = 5_000
BYTES_PER_FRAME: Final = 3 * 1024
"""C stack one Python frame may need when it is entered from C; measured below 1 KiB on CPython 3.11 to 3.13."""

STACK_BYTES: Final = (640 * MIB, 512 * MIB, 256 * MIB, 64 * MIB, 16 * MIB)
"""Stack sizes from most to least; address space only, until used.

The largest is enough for the default `depth_count` of the worst function, with `BLOCKS_MAX` loop bodies in one another.
"""


class DeepThread(Generic[T]):
    """One function running on a thread of its own while the caller waits.

    Args:
        on_interrupt: Called when the caller is interrupted, to make the function end soon.
    """

    def __init__(self, on_interrupt: Callable[[], None]) -> None:
        self._on_interrupt = on_interrupt
        self._requests: SimpleQueue[tuple[Callable[[], Any], SimpleQueue[tuple[Any, BaseException | None]]] | None]
        self._requests = SimpleQueue()
        self._value: list[T] = []
        self._error: BaseException | None = None

    def on_caller(self, action: Callable[[], Any]) -> Any:
        """Run an action on the caller's thread and return its result; called by the function that runs deep.

        Raises:
            BaseException: Whatever the action raises.
        """
        reply: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self._requests.put((action, reply))
        value, error = reply.get()
        if error is not None:
            raise error
        return value

    def run(self, function: Callable[[], T], depth_count: int, bodies_count: int = 1) -> T:
        """Run a function with room for nested RTFS calls, and return its result.

        Args:
            function: What to run.
            depth_count: How many calls may be nested.
            bodies_count: How many loop bodies that are Python functions each call may be inside of at once.

        Raises:
            BaseException: Whatever the function raises; `RecursionError` when the room was not enough.
            InternalError: `internal.thread` when no thread can be started.
        """
        wanted = FRAMES_SPARE + depth_count * (FRAMES_PER_CALL + max(0, bodies_count - 1))
        for stack_bytes in _stack_sizes(wanted * BYTES_PER_FRAME):
            with _recursion_limit(min(wanted, stack_bytes // BYTES_PER_FRAME)):
                if self._has_run(function, stack_bytes):
                    return self._outcome()
        raise no_thread()

    def run_on_stack(self, function: Callable[[], T], stack_bytes: int, frames_count: int = 0) -> T:
        """Run a function that enters other machine code than Python's, on a stack of that size, and return its result.

        Args:
            function: What to run.
            stack_bytes: Size of its thread's stack; never less.
            frames_count: How many Python frames it has room for, when more than Python allows by itself.

        Raises:
            BaseException: Whatever the function raises.
            InternalError: `internal.thread` when no such thread can be started.
        """
        with _recursion_limit(frames_count):
            if not self._has_run(function, stack_bytes):
                raise no_thread()
        return self._outcome()

    def _has_run(self, function: Callable[[], T], stack_bytes: int) -> bool:
        """Run a function and wait for its end; return False when there is no thread with that stack to run it on."""
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(self._body, function), daemon=True)
        if not _started(thread, stack_bytes):
            return False
        self._serve()
        thread.join()
        return True

    def _outcome(self) -> T:
        if self._error is not None:
            raise self._error
        return self._value[0]

    def _body(self, function: Callable[[], T]) -> None:
        try:
            self._value.append(function())
        except BaseException as error:  # noqa: BLE001 - carried to the caller's thread and raised there
            self._error = error
        finally:
            self._requests.put(None)

    def _serve(self) -> None:
        interrupted: BaseException | None = None
        while True:
            try:
                request = self._requests.get()
            except BaseException as error:  # noqa: BLE001 - an interrupt; raised again once the function has ended
                interrupted = error
                self._on_interrupt()
                continue
            if request is None:
                break
            action, reply = request
            try:
                reply.put((action(), None))
            except BaseException as error:  # noqa: BLE001 - belongs to the function that asked
                reply.put((None, error))
        if interrupted is not None:
            raise interrupted


def no_thread() -> InternalError:
    """Return the error for a machine that has no room for another thread."""
    return InternalError(
        "no thread could be started to run the program",
        code="internal.thread",
        hint="allow this process more threads or address space",
    )


def _stack_sizes(needed_bytes: int) -> list[int]:
    """Return the sizes to try: the smallest that is enough (else the largest there is), then smaller ones."""
    first = min((size for size in STACK_BYTES if size >= needed_bytes), default=STACK_BYTES[0])
    return [size for size in STACK_BYTES if size <= first]


_STACK_LOCK: Final = threading.Lock()


def _started(thread: threading.Thread, stack_bytes: int) -> bool:
    with _STACK_LOCK:
        before = threading.stack_size(stack_bytes)
        try:
            thread.start()
        except (RuntimeError, MemoryError):  # no address space for a stack of this size
            return False
        finally:
            threading.stack_size(before)
    return True


class _LimitHolders:
    """Who needs a raised recursion limit now, and what it was before the first of them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.wanted: list[int] = []
        self.before = 0
        self.raised_to = 0


_HOLDERS: Final = _LimitHolders()


@contextmanager
def _recursion_limit(wanted: int) -> Iterator[None]:
    with _HOLDERS.lock:
        if not _HOLDERS.wanted:
            _HOLDERS.before = sys.getrecursionlimit()
        _HOLDERS.wanted.append(wanted)
        _HOLDERS.raised_to = max(sys.getrecursionlimit(), wanted)
        sys.setrecursionlimit(_HOLDERS.raised_to)
    try:
        yield
    finally:
        with _HOLDERS.lock:
            _HOLDERS.wanted.remove(wanted)
            if not _HOLDERS.wanted and sys.getrecursionlimit() == _HOLDERS.raised_to:
                sys.setrecursionlimit(_HOLDERS.before)


def run_deep(function: Callable[[], T], depth_count: int) -> T:
    """Run a function that needs no host with room for `depth_count` nested calls; see `DeepThread.run`."""
    return DeepThread[T](lambda: None).run(function, depth_count)


INLINE_LIMIT_MAX: Final = 3_000
"""Highest recursion limit under which Python stops recursion well before an ordinary stack is used up."""


def run_with_room(function: Callable[[], T], depth_count: int) -> T:
    """Run a function that has no effects: where the caller stands, and if there is too little room there, deep.

    Raises:
        RecursionError: When there was too little room deep, too.
    """
    if sys.getrecursionlimit() <= INLINE_LIMIT_MAX:
        try:
            return function()
        except RecursionError:  # too little room here; it starts again below
            pass
    return run_deep(function, depth_count)
