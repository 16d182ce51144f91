"""What a workload is given beside its mounts: words, variables, standard input.

Owns the checks that every provider which executes programs makes of them. Pure.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from cloister.errors import ConfigError
from cloister.isolation.provider import ExternalProgram, ScriptSource, Workload


def checked_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return variables that a program can have.

    Raises:
        ConfigError: One of them it cannot have.
    """
    for name, value in environment.items():
        if not name or "=" in name or "\0" in name + value:
            raise ConfigError("an environment variable has an empty name, or `=` or a NUL byte where none may be")
    return dict(environment)


def require_words(words: tuple[str, ...]) -> None:
    """Accept arguments that a program can have.

    Raises:
        ConfigError: `config.argv`: it cannot have these.
    """
    if any("\0" in word for word in words):
        raise ConfigError("there is a NUL byte in the arguments of a program", code="config.argv")
    for word in words:
        try:
            os.fsencode(word)
        except UnicodeEncodeError as error:
            raise ConfigError("half a character is among the arguments of a program", code="config.argv") from error


def require_program(argv: tuple[str, ...]) -> None:
    """Accept a program with its arguments.

    Raises:
        ConfigError: `config.argv`: there is none, or it cannot have these.
    """
    if not argv or not argv[0]:
        raise ConfigError("there is no program to run", code="config.argv")
    require_words(argv)


def standard_input(workload: Workload) -> bytes:
    """Return what a workload finds on its standard input."""
    match workload:
        case ScriptSource():
            return json.dumps(workload.arguments).encode("ascii") if workload.stdin is None else workload.stdin
        case ExternalProgram():
            return workload.stdin
        case _:
            return b""
