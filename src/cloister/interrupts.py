"""When an interrupt may end what is going on.

Python runs signal handlers in the main thread between any two instructions. A `KeyboardInterrupt` raised there while a
record is being written, or between an act and its record, would leave a run without its end. So while a run is going
on interrupts are held back, and let in only where the run waits for something: a sandbox, a user, a capability. Owns
nothing but this one state of the main thread; in other threads, where no handler runs, nothing here does anything.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import FrameType, TracebackType
from typing import ParamSpec, TypeVar

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


class _MainThread:
    is_held = False
    is_pending = False
    has_handler = False
    """Whether a `held` further out has put `interrupt` in place: asking the system each time takes long."""


def interrupt(number: int = signal.SIGINT, frame: FrameType | None = None) -> None:
    """Interrupt the main thread: at once, or as soon as interrupts are let in again. A handler for signals.

    Raises:
        KeyboardInterrupt: When interrupts are not held back.
    """
    del number, frame
    if _MainThread.is_held:
        _MainThread.is_pending = True
    else:
        raise KeyboardInterrupt


class held:  # noqa: N801 - used as a statement and a decorator, as contextlib's are
    """Hold interrupts back inside; one that came meanwhile is raised at the end, unless they were held back before.

    Python's own handler of Ctrl-C is replaced by `interrupt` for that time; any other handler stays. A class and no
    generator, for it stands around every call of a plan.

    Raises:
        KeyboardInterrupt: At the end, in place of any other error.
    """

    __slots__ = ("_is_main", "_outer", "_replaces")

    def __enter__(self) -> None:
        """Begin. An interrupt that comes before they are held back is raised here, where nothing was begun."""
        self._is_main = threading.current_thread() is threading.main_thread()
        if not self._is_main:
            return
        self._replaces = not _MainThread.has_handler and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._replaces:
            signal.signal(signal.SIGINT, interrupt)
        self._outer = _MainThread.is_held
        _MainThread.is_held = True
        _MainThread.has_handler = _MainThread.has_handler or self._replaces

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, however it ended."""
        if not self._is_main:
            return
        _MainThread.is_held = self._outer
        if self._replaces:
            _MainThread.has_handler = False
            signal.signal(signal.SIGINT, signal.default_int_handler)
        _raise_pending()

    def __call__(self, function: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
        """Return a function with this around it each time it is called."""

        @wraps(function)
        def inside(*args: _Given.args, **kwargs: _Given.kwargs) -> _Result:
            with held():
                return function(*args, **kwargs)

        return inside


@contextmanager
def admitted() -> Iterator[None]:
    """Let interrupts in inside, although they are held back around it.

    Raises:
        KeyboardInterrupt: At the beginning when one came before, and anywhere inside.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    outer = _MainThread.is_held
    try:
        _MainThread.is_held = False  # inside, for an interrupt may come at once
        _raise_pending()
        yield
    finally:
        _MainThread.is_held = outer


def _raise_pending() -> None:
    if _MainThread.is_pending and not _MainThread.is_held:
        _MainThread.is_pending = False
        raise KeyboardInterrupt
