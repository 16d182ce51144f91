"""How guests end, modules and components alike.

Owns what it means that a guest ends itself while it is loaded or called, and what is told of one that ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cloister.errors import GuestCrashed, quoted
from cloister.isolation.provider import ExecutionResult, WireValue
from cloister.isolation.script_failure import tail
from cloister.isolation.wasm.room import Room
from cloister.isolation.wasm.store import Store
from cloister.isolation.wasm.wasi.basic_calls import ProgramExit


@contextmanager
def loading(room: Room) -> Iterator[None]:
    """Have a crash tell what the guest said last, and take ending itself before it was begun for one.

    Raises:
        GuestCrashed: `details["stderr"]` is the end of its standard error, if it said anything there.
    """
    try:
        yield
    except ProgramExit as ended:
        raise GuestCrashed(f"the program ended itself with status {ended.status} while it was loaded") from ended
    except GuestCrashed as crash:
        said = tail(room.stderr.content)
        if said:
            crash.details["stderr"] = said
        raise


@contextmanager
def calling(function: str) -> Iterator[None]:
    """Take ending itself for a crash, where a function of that name was to return.

    Raises:
        GuestCrashed: `details["exit_status"]` is the status it gave.
    """
    try:
        yield
    except ProgramExit as ended:
        raise GuestCrashed(
            f"the program ended itself with status {ended.status} instead of returning from {quoted(function, 80)}",
            details={"exit_status": ended.status},
        ) from ended


def result_of(
    room: Room, store: Store, *, value: WireValue | None = None, exit_status: int | None = None
) -> ExecutionResult:
    """Return what a guest gave, with its output and what it used.

    Args:
        room: Where its output is.
        store: What it used.
        value: What a function returned; None for a command.
        exit_status: Of a command; None for a function.
    """
    return ExecutionResult(
        value=value,
        stdout=room.stdout.content,
        stderr=room.stderr.content,
        exit_status=exit_status,
        usage=room.usage(store),
    )
