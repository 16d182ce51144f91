"""Everything that is wrong with a text, found without running it.

Owns the list of problems an editor shows. The text is compiled, and its calls are compared with what the capabilities
take; paths in it are only looked at as text, because nobody asked for a file to be touched. Only modules that it
imports are read, by the loader that is handed in. Handles plan text, which is hostile: whatever it is, the outcome is a
list.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cache

from cloister.authority.authorizer import SecurityAuthorizer
from cloister.authority.policy import ResolvedPath
from cloister.capabilities.catalog import builtin_catalog
from cloister.errors import CloisterError, flattened
from cloister.lang.modules import ModuleLoader
from cloister.lang.program import compile_program
from cloister.plan.checking import check_program


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem.

    Attributes:
        code: Of the error.
        message: What is wrong.
        hint: What to do, or None.
        source: Name of the text it lies in.
        place: First line, first column, end line and end column, all from 1, in characters; None for the text itself.
        is_warning: Whether it goes wrong only where a run may never get to.
    """

    code: str
    message: str
    hint: str | None
    source: str
    place: tuple[int, int, int, int] | None
    is_warning: bool = False


class _TextualPaths:
    """Takes every path for what its text says; nothing is looked at."""

    def resolve(self, path: str, roots: Collection[str]) -> ResolvedPath:
        """Return the path as if there were no links."""
        del roots
        plain = posixpath.normpath(posixpath.join("/", path)).replace("//", "/")
        return ResolvedPath(asked=plain, path=plain, exists=False, is_directory=False)


@cache
def _authorizer() -> SecurityAuthorizer:
    return SecurityAuthorizer(builtin_catalog().registry, _TextualPaths())


def problems(text: str, name: str, inputs: Collection[str] = (), modules: ModuleLoader | None = None) -> list[Problem]:
    """Return every problem of a text, in the order they were found; empty for a good program.

    Args:
        text: The program.
        name: What places in it are called.
        inputs: Names the program may use as inputs.
        modules: Where the modules come from that it imports.
    """
    try:
        program = compile_program(text, name, inputs, modules)
    except CloisterError as error:
        return list(_problems(error, name))
    report = check_program(program, _authorizer())
    found = [problem for error in report.errors for problem in _problems(error, name)]
    for warning in report.warnings:
        found += [replace(problem, is_warning=True) for problem in _problems(warning, name)]
    return found


def _problems(error: CloisterError, name: str) -> Iterator[Problem]:
    for each in flattened(error.to_dict()):
        span = each.get("span")
        yield Problem(
            code=each["code"],
            message=each["message"],
            hint=each.get("hint"),
            source=span["source"] if span else name,
            place=(span["line"], span["column"], span["end_line"], span["end_column"]) if span else None,
        )
