"""When an interrupt may end what is going on.

Python runs signal handlers in the main thread between any two instructions. A `KeyboardInterrupt` raised there while a
record is being written, or between an act and its record, would leave a run without its end. So while a run is going
on interrupts are held back, and let in only where the run waits for something: a sandbox, a user, a capability. Owns
nothing but this one state of the main thread; in other threads, where no handler runs, nothing here does anything.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


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


@contextmanager
def held() -> Iterator[None]:
    """Hold interrupts back inside; one that came meanwhile is raised at the end, unless they were held back before.

    Python's own handler of Ctrl-C is replaced by `interrupt` for that time; any other handler stays.

    Raises:
        KeyboardInterrupt: At the end, in place of any other error.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    replaces = not _MainThread.has_handler and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if replaces:
        signal.signal(signal.SIGINT, interrupt)
    outer = _MainThread.is_held
    try:
        _MainThread.is_held = True
        _MainThread.has_handler = _MainThread.has_handler or replaces
        yield
    finally:
        _MainThread.is_held = outer
        if replaces:
            _MainThread.has_handler = False
            signal.signal(signal.SIGINT, signal.default_int_handler)
        _raise_pending()


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
