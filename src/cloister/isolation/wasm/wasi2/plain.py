"""The functions of WASI 0.2 that touch no file: words, variables, the streams that are there, randomness, the end.

Owns what they do. Terminals there are none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from cloister.errors import GuestCrashed, InputError, quoted
from cloister.isolation.wasm.components.values import Case
from cloister.isolation.wasm.wasi.basic_calls import ProgramExit
from cloister.isolation.wasm.wasi.times import Times
from cloister.isolation.wasm.wasi2.handles import Handles
from cloister.isolation.wasm.wasi2.surroundings import Surroundings
from cloister.limits import MIB

RANDOM_BYTES_MAX: Final = MIB
"""At once."""

Functions = Mapping[str, Callable[..., Any]]


def plain_functions(around: Surroundings, handles: Handles) -> Mapping[str, Functions]:
    """Return these functions for one guest, by interface and name."""
    draw, number = partial(_draw, around.times), partial(_number, around.times)
    return {
        "cli/environment": {
            "get-environment": lambda: [
                (text_of_word(name), text_of_word(value)) for name, value in around.environment.items()
            ],
            "get-arguments": lambda: [text_of_word(word) for word in around.argv],
            "initial-cwd": lambda: None if around.working_directory is None else text_of_word(around.working_directory),
        },
        "cli/exit": {"exit": _exit, "exit-with-code": _exit_with_code},
        "cli/stdin": {"get-stdin": lambda: handles.add("input-stream", around.stdin)},
        "cli/stdout": {"get-stdout": lambda: handles.add("output-stream", around.stdout)},
        "cli/stderr": {"get-stderr": lambda: handles.add("output-stream", around.stderr)},
        "cli/terminal-input": {},
        "cli/terminal-output": {},
        "cli/terminal-stdin": {"get-terminal-stdin": _nothing},
        "cli/terminal-stdout": {"get-terminal-stdout": _nothing},
        "cli/terminal-stderr": {"get-terminal-stderr": _nothing},
        "random/random": {"get-random-bytes": draw, "get-random-u64": number},
        "random/insecure": {"get-insecure-random-bytes": draw, "get-insecure-random-u64": number},
        "random/insecure-seed": {"insecure-seed": lambda: (number(), number())},
    }


def _nothing() -> None:
    """There is no terminal."""


def _exit(status: Case) -> None:
    raise ProgramExit(0 if status.name == "ok" else 1)


def _exit_with_code(status: int) -> None:
    raise ProgramExit(status)


def _draw(times: Times, count: int) -> bytes:
    if count > RANDOM_BYTES_MAX:
        raise GuestCrashed(
            f"the program asks for {count} random bytes at once; {RANDOM_BYTES_MAX} are allowed",
            hint="ask for less, more often",
        )
    return times.random_bytes(count)


def _number(times: Times) -> int:
    return int.from_bytes(times.random_bytes(8), "little")


def text_of_word(word: str) -> str:
    """Return a word when it is one that a component can be given.

    Raises:
        InputError: `input.argv`: it is no text.
    """
    if not word.isascii():
        try:
            word.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InputError(
                f"{quoted(word, 60)} is no UTF-8, and words, variables and directories of a component must be",
                code="input.argv",
                hint="leave it out, grant a directory above it, or build the program as a module for wasm32-wasip1",
            ) from error
    return word
