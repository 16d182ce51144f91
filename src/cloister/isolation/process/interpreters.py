"""Which interpreter runs a script, and which of the host's directories it needs to run.

Owns that choice on the host's side. Must not run anything.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from cloister.errors import ProviderUnavailable
from cloister.isolation.process.spec import SCRIPT_PATH
from cloister.isolation.provider import ScriptLanguage


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """How to run the script that is at `SCRIPT_PATH`.

    Attributes:
        argv: Program and arguments.
        runtime: Directories it needs beside the system's; absolute, without symbolic links.
    """

    argv: tuple[str, ...]
    runtime: tuple[str, ...] = ()


def interpreter_for(language: ScriptLanguage) -> Interpreter:
    """Return the interpreter of a language.

    Raises:
        ProviderUnavailable: `provider.interpreter` when it is not installed; the hint names the package.
    """
    match language:
        case ScriptLanguage.PYTHON:
            return _python()
        case ScriptLanguage.SHELL:
            return Interpreter(argv=("/bin/sh", SCRIPT_PATH))
        case ScriptLanguage.JAVASCRIPT:
            return _node(shutil.which("node"))
    assert_never(language)


def _python() -> Interpreter:
    executable = Path(os.path.realpath(sys.executable))
    # Isolated mode: neither variables nor the working directory decide what it imports
    return Interpreter(
        argv=(str(executable), "-I", SCRIPT_PATH), runtime=_outside_system(Path(sys.base_prefix), executable)
    )


def _node(found: str | None) -> Interpreter:
    if found is None:
        raise ProviderUnavailable(
            'the script needs the interpreter "node", which is not on the PATH of this host',
            code="provider.interpreter",
            hint="install the package nodejs: sudo apt-get install nodejs",
        )
    executable = Path(os.path.realpath(found))
    return Interpreter(
        argv=(str(executable), SCRIPT_PATH), runtime=_outside_system(executable.parent.parent, executable)
    )


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
