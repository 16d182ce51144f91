"""Starting the process that holds a session.

Owns what it is told, and the wait until it has the session or says why not. Grants and the values of variables go over
a pipe, since arguments of a process can be read by others.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import cloister
from cloister.authority.context import RuntimeContext
from cloister.isolation.microvm.config import MachineConfig
from cloister.plan.session import SessionTerms
from cloister.sessions.packets import checked_answer

_BOOTSTRAP: Final = """\
import sys
sys.path[:0] = sys.argv[1].split(":")
from cloister.sessions.holder import main
main()
"""


def start_session(
    home: Path,
    *,
    name: str | None,
    context: RuntimeContext,
    provider: str,
    terms: SessionTerms,
    expected: Mapping[str, str],
    machine: Mapping[str, str],
) -> dict[str, Any]:
    """Start a process that opens a session and holds it, and return the facts of the session.

    Raises:
        HeldError: It could not be opened.
        ProviderError: `provider.session-stale` when the process ended without a word.
    """
    MachineConfig.parse(machine)  # a wrong word is told before a process is started
    order = {
        "home": str(home.absolute()),
        "name": name,
        "provider": provider,
        "context": _context_data(context),
        "expected": dict(expected),
        "machine": dict(machine),
        "terms": {
            "lifetime_ms": terms.lifetime_ms,
            "idle_ms": terms.idle_ms,
            "has_terminals": terms.has_terminals,
            "working_directory": terms.working_directory,
        },
    }
    package = str(Path(cloister.__file__).resolve().parent.parent)
    # Isolated mode takes no path from variables; what this process could import it can, from absolute paths only
    found = [package, *(each for each in sys.path if each.startswith("/") and ":" not in each)]
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-I", "-c", _BOOTSTRAP, ":".join(found)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={variable: os.environ[variable] for variable in ("PATH", "LANG", "HOME") if variable in os.environ},
        start_new_session=True,
        cwd="/",
    )
    try:
        said = _asked(process, json.dumps(order, ensure_ascii=True).encode("ascii"))
        answer = checked_answer(json.loads(said) if said else None)
    except BaseException:
        process.kill()  # it holds nothing, or nothing that anybody knows of
        process.wait()
        raise
    process.returncode = 0  # it stays; whoever adopts it will wait for it
    session: dict[str, Any] = answer["session"]
    return session


def _asked(process: subprocess.Popen[bytes], order: bytes) -> bytes:
    """Return what it says before it lets go of the pipe."""
    assert process.stdin is not None  # noqa: S101 - for the type checker
    assert process.stdout is not None  # noqa: S101 - for the type checker
    with process.stdout as answer, contextlib.suppress(BrokenPipeError):
        with process.stdin as request:
            request.write(order)
        return answer.read()
    return b""


def _context_data(context: RuntimeContext) -> dict[str, Any]:
    return context.to_dict() | {"environment": dict(context.environment)}


def context_from(data: Mapping[str, Any]) -> RuntimeContext:
    """Return the context that `start_session` sent."""
    environment = data["environment"]
    return RuntimeContext.from_dict({**data, "environment": sorted(environment)}, environment)


def terms_from(data: Mapping[str, Any], name: str) -> SessionTerms:
    """Return the terms that `start_session` sent."""
    return SessionTerms(
        name=name,
        lifetime_ms=data["lifetime_ms"],
        idle_ms=data["idle_ms"],
        has_terminals=data["has_terminals"],
        working_directory=data["working_directory"],
    )
