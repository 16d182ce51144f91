"""Compiling in a process of its own, which can be ended.

Owns that process: its bounds, its end, and what is made of it. wasmtime's compiler cannot be interrupted, and how long
it takes is not linear: a function of a megabyte can be one that takes minutes and gigabytes. The child reads what
somebody hostile wrote; what comes back from it is machine code, and is taken as what our own compiler made of that.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import cloister
from cloister.errors import InputError, LaunchError, ProviderError, quoted
from cloister.isolation.process.descriptors import sealed
from cloister.isolation.wasm.binding import binding
from cloister.isolation.wasm.cache import CODE_BYTES_MAX
from cloister.isolation.wasm.deadline import Deadline
from cloister.isolation.wasm.engine import Engine, EngineSettings, not_a_module
from cloister.isolation.wasm.outline import too_large
from cloister.limits import MIB

MEMORY_BYTES: Final = 2048 * MIB
"""Address space of the child; what it fills of that it has measured to need for modules of some megabytes."""
LOOK_MS: Final = 50
COMPLAINT_BYTES: Final = 2_000
THREADS_MAX: Final = 4

_BOOTSTRAP: Final = """\
import json, sys
facts = json.load(sys.stdin)
sys.path[:0] = facts.pop("packages")
from cloister.isolation.wasm.compiling import child
child(**facts)
"""
_INVALID: Final = 3
"""Exit status of a child that found the module invalid."""


def compiled_apart(wasm: bytes, settings: EngineSettings, deadline: Deadline) -> bytes:
    """Return the machine code of a module or component, made in another process.

    Args:
        wasm: A binary within the bounds of `outline`.
        settings: Of the engine that is going to run it.
        deadline: When to give up.

    Raises:
        InputError: `input.wasm`: it is not valid; `input.wasm-large`: compiling it takes too much memory.
        LimitExceeded: `limit.wall`.
        Cancelled: Whoever waits for it does not want it any more.
        LaunchError: `provider.launcher`: the process did not start.
        ProviderError: `provider.wasm-compiler`: it ended in a way that nobody foresaw.
    """
    source, made, said = sealed(wasm), _file("code"), _file("complaint")
    try:
        process = _started(source, made, said, settings, deadline)
        try:
            _wait(process, deadline)
        finally:
            process.kill()
            process.wait()
        complaint = os.pread(said, COMPLAINT_BYTES, 0).decode("utf-8", "replace")
        if process.returncode == 0:
            return os.pread(made, CODE_BYTES_MAX, 0)
        raise _failure(process.returncode, complaint, deadline)
    finally:
        for descriptor in (source, made, said):
            os.close(descriptor)


def _file(name: str) -> int:
    return os.memfd_create(f"cloister-wasm-{name}", os.MFD_CLOEXEC)


def _started(
    source: int, made: int, said: int, settings: EngineSettings, deadline: Deadline
) -> subprocess.Popen[bytes]:
    packages = [str(Path(str(each)).resolve().parent.parent) for each in (cloister.__file__, binding().api.__file__)]
    threads_count = min(THREADS_MAX, os.cpu_count() or 1)
    facts = {
        "packages": packages,
        "source": source,
        "made": made,
        "stack_bytes": settings.stack_bytes,
        "has_canonical_nans": settings.has_canonical_nans,
        "has_components": settings.has_components,
        # It outlives nobody for long: when this process is killed there is nobody to end the child
        "cpu_s": threads_count * (deadline.left_ms // 1_000 + 1),
    }
    stdin = sealed(json.dumps(facts).encode("ascii"))
    try:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and code
            [os.path.realpath(sys.executable), "-I", "-S", "-c", _BOOTSTRAP],
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            stderr=said,
            # A bound of the address space leaves no room for an arena of memory for each thread
            env={"RAYON_NUM_THREADS": str(threads_count), "MALLOC_ARENA_MAX": "1", "LC_ALL": "C.UTF-8"},
            pass_fds=(source, made),
            start_new_session=True,
            cwd="/",
        )
    except OSError as error:
        raise LaunchError(
            f"the compiler of WebAssembly did not start: {error.strerror}",
            code="provider.launcher",
            hint="run fewer executions at once, or look whether the interpreter was moved",
        ) from error
    finally:
        os.close(stdin)


def _wait(process: subprocess.Popen[bytes], deadline: Deadline) -> None:
    """Wait for the end of a process as long as there is time."""
    handle = os.pidfd_open(process.pid)
    try:
        ended = select.poll()
        ended.register(handle, select.POLLIN)
        while not ended.poll(LOOK_MS):
            deadline.require()
    finally:
        os.close(handle)


def _failure(status: int, complaint: str, deadline: Deadline) -> ProviderError | InputError:
    last = (complaint.strip().splitlines() or [""])[-1]
    if status == _INVALID:
        return not_a_module(last)
    if "memory allocation of" in complaint or "MemoryError" in complaint or "failed to spawn" in complaint:
        return too_large(f"compiling it takes more than {MEMORY_BYTES // MIB} MiB of memory")
    deadline.require()
    how = signal.Signals(-status).name if -status in set(signal.Signals) else f"status {status}"
    return ProviderError(
        f"the compiler of WebAssembly ended with {how}: {quoted(last, 300)}",
        code="provider.wasm-compiler",
        hint="report it with the module",
    )


def child(
    *, source: int, made: int, stack_bytes: int, has_canonical_nans: bool, has_components: bool, cpu_s: int
) -> None:
    """Compile what one descriptor holds into the other. The whole life of the child.

    Args:
        source: The module.
        made: Where its machine code goes.
        stack_bytes: Of the engine's settings.
        has_canonical_nans: Likewise.
        has_components: Likewise.
        cpu_s: Processor time it may use.
    """
    bounds = {
        resource.RLIMIT_AS: MEMORY_BYTES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_FSIZE: CODE_BYTES_MAX,
    }
    for kind, bound in bounds.items():
        resource.setrlimit(kind, (bound, bound))
    wasm = os.pread(source, os.fstat(source).st_size, 0)
    settings = EngineSettings(
        stack_bytes=stack_bytes,
        has_canonical_nans=has_canonical_nans,
        has_components=has_components,
        is_parallel=True,
    )
    try:
        code = Engine(settings).compile(wasm).serialize()
    except InputError as error:
        sys.stderr.write(f"\n{error.details.get('reason', error.message)}")
        sys.stderr.flush()
        os._exit(_INVALID)
    with open(made, "wb", closefd=False) as file:
        file.write(code)
    os._exit(0)
