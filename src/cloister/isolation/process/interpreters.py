"""Which interpreter runs a script, and which of the host's directories it needs to run.

Owns that choice on the host's side. Must not run anything.
"""

from __future__ import annotations

import functools
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from cloister.errors import ProviderUnavailable, quoted
from cloister.isolation.process.spec import SCRIPT_PATH
from cloister.isolation.provider import CustomInterpreter, ScriptLanguage, ScriptSource

SHELL: Final = "/bin/sh"

PROGRAMS: Final[Mapping[ScriptLanguage, tuple[str, ...]]] = {
    ScriptLanguage.JAVASCRIPT: ("node",),
    ScriptLanguage.RUBY: ("ruby",),
    ScriptLanguage.LUA: ("lua", "lua5.4", "lua5.3"),
}
"""Names under which an interpreter is looked for on the host's PATH, the first one found being taken."""

_NAMED_ALIKE: Final = frozenset(
    {"bash", "dash", "expect", "fish", "gawk", "ksh", "luajit", "make", "perl", "pypy3", "ruby", "sed", "zsh"}
)
_NAMED_OTHERWISE: Final[Mapping[str, str]] = {
    "Rscript": "r-base-core",
    "awk": "mawk",
    "env": "coreutils",
    "guile": "guile-3.0",
    "lua": "lua5.4",
    "node": "nodejs",
    "php": "php-cli",
    "tclsh": "tcl",
}
"""Debian packages of programs, by the program. Source: the package lists of Debian 12."""

_SHOW_IT: Final = (
    "only /usr, /bin, /lib and granted paths are visible inside: grant the directory it needs with --read, "
    "and have the first line of the script name its path"
)
_SHEBANG: Final = b"#!"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """What to execute.

    Attributes:
        argv: Program and arguments.
        runtime: Directories it needs beside the system's; absolute, without symbolic links.
    """

    argv: tuple[str, ...]
    runtime: tuple[str, ...] = ()


def command_for(script: ScriptSource) -> Interpreter:
    """Return the interpreter of a script with all its words: options, the script at `SCRIPT_PATH`, its arguments.

    Raises:
        ProviderUnavailable: As `interpreter_for`.
    """
    found = interpreter_for(script.language)
    return Interpreter(argv=(*found.argv, *script.options, SCRIPT_PATH, *script.argv), runtime=found.runtime)


def interpreter_for(language: ScriptLanguage | CustomInterpreter) -> Interpreter:
    """Return the interpreter of a language, ready for options and the script.

    A custom one is taken as it is named: whether it is there, only the sandbox knows.

    Raises:
        ProviderUnavailable: `provider.interpreter` when it is not installed; the hint names the package.
    """
    if isinstance(language, CustomInterpreter):
        return Interpreter(argv=(language.program,))
    if language is ScriptLanguage.PYTHON:
        return _python()
    if language is ScriptLanguage.SHELL:
        return Interpreter(argv=(SHELL,))
    executable = _found(PROGRAMS[language])
    return Interpreter(argv=(str(executable),), runtime=_outside_system(executable.parent.parent, executable))


def missing_interpreter(program: str, *, search_path: str | None = None) -> ProviderUnavailable:
    """Return the error for an interpreter that is not there.

    Args:
        program: Its name, or its path inside the sandbox.
        search_path: Where a name was looked up inside the sandbox; None when it was looked up on this host.
    """
    is_path = "/" in program
    if search_path is not None and (Path(program).exists() if is_path else shutil.which(program)):
        place, hint = "is on this host but not visible in the sandbox", _SHOW_IT
    else:
        where = "on the PATH of this host" if search_path is None else f"on the PATH of the sandbox ({search_path})"
        place, hint = f"is not {'installed on this host' if is_path else where}", _install(PurePosixPath(program).name)
    return ProviderUnavailable(
        f'the script needs the interpreter "{quoted(program)}", which {place}', code="provider.interpreter", hint=hint
    )


def _install(name: str) -> str:
    package = name if name in _NAMED_ALIKE else _NAMED_OTHERWISE.get(name)
    return f"install the package {package}: sudo apt-get install {package}" if package else "install it"


@functools.cache
def _python() -> Interpreter:
    executable = Path(os.path.realpath(sys.executable))
    # Isolated mode: neither variables nor the working directory decide what it imports
    return Interpreter(argv=(str(executable), "-I"), runtime=_outside_system(Path(sys.base_prefix), executable))


def _found(names: tuple[str, ...]) -> Path:
    """Return the first program of these names on the host's PATH, links followed.

    A script of that name does not count. Version managers put one in front of the real program; it would look for the
    files of its user, which no sandbox shows.
    """
    for name in names:
        for directory in os.get_exec_path():
            found = shutil.which(name, path=directory)
            if found is not None and not _is_script(found):
                return Path(os.path.realpath(found))
    raise missing_interpreter(names[0])


def _is_script(path: str) -> bool:
    try:
        with Path(path).open("rb") as file:
            return file.read(len(_SHEBANG)) == _SHEBANG
    except PermissionError:
        return False  # a program may be executable and not readable; a script has to be both


def _outside_system(prefix: Path, executable: Path) -> tuple[str, ...]:
    """Return the directories of an installation that are not below /usr, which every sandbox shows anyway.

    A prefix that is a top directory, say a home, would show far more than an interpreter; then only the executable and
    its libraries are shown.
    """
    resolved = Path(os.path.realpath(prefix))
    roots = [resolved] if len(resolved.parts) > 2 else [resolved / "lib"]
    if not any(executable.is_relative_to(root) for root in roots):
        roots.append(executable)
    usr = Path("/usr")
    return tuple(str(root) for root in roots if not root.is_relative_to(usr) and root.exists())
