"""A Python script in an interpreter that was started before the script was known.

Owns making the process look as if the interpreter had been started for the script: its module `__main__`, arguments,
streams, signals, hooks and exit status; and that nothing of Cloister is left in it to be found by chance. It is no
wall: those stand around the process. Standard library only; part of the guest set.
"""

from __future__ import annotations

import atexit
import io
import os
import signal
import sys
import types
from typing import Any, Final, NoReturn

from cloister.isolation.process.spec import SCRIPT_PATH, SandboxSpec

OWN_PACKAGE: Final = "cloister"
MADE_LIGHT: Final = ("inspect", "dataclasses")
"""Modules that the launcher has without a part of them; see `launcher_process`."""
STATUS_OF_ERROR: Final = 1


def run(spec: SandboxSpec) -> NoReturn:
    """Run the script and end the process as an interpreter would. `look_fresh` comes before it.

    Source: the life of `python -I FILE`: Modules/main.c and Python/pylifecycle.c of CPython 3.11, in their order.
    """
    status = STATUS_OF_ERROR
    try:
        os.environ.update(spec.environment)
        sys.argv = [SCRIPT_PATH, *spec.argv[spec.argv.index(SCRIPT_PATH) + 1 :]]
        sys.orig_argv = list(spec.argv)
        status = _status_of(spec.script or "")
        status = _finalize(status)
    finally:
        os._exit(status)


def look_fresh() -> None:
    """Make the process look as if the interpreter had just been started, as far as that does not need the script."""
    for name in [name for name in sys.modules if name.split(".")[0] == OWN_PACKAGE]:
        del sys.modules[name]
    for name in MADE_LIGHT:
        sys.modules.pop(name, None)
    for number, handler in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGPIPE, signal.SIG_IGN),
        (signal.SIGXFSZ, signal.SIG_IGN),
    ):
        signal.signal(number, handler)
    _open_streams()


def _open_streams() -> None:
    """Make the standard streams anew; those of the launcher were made for other files."""
    for name, descriptor, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        stream = open(descriptor, f"{mode}b", closefd=False)  # noqa: SIM115 - a descriptor, open to the end
        text = io.TextIOWrapper(
            stream,
            encoding="utf-8",
            errors="backslashreplace" if name == "stderr" else "surrogateescape",
            line_buffering=name == "stderr",
        )
        text.mode = mode  # type: ignore[misc]
        setattr(sys, name, text)
        setattr(sys, f"__{name}__", text)


def _status_of(source: str) -> int:
    """Run the script's text; return the exit status it asks for."""
    module = types.ModuleType("__main__")
    module.__dict__.update(__file__=SCRIPT_PATH, __builtins__=__builtins__, __cached__=None)
    sys.modules["__main__"] = module
    try:
        code = compile(source, SCRIPT_PATH, "exec", dont_inherit=True)
        exec(code, module.__dict__)  # noqa: S102 - the script is what this sandbox is for
    except SystemExit as error:
        return _status_of_exit(error.code)
    except BaseException as error:  # noqa: BLE001 - whatever the script raised, shown as an interpreter shows it
        _show(error)
        return STATUS_OF_ERROR
    return 0


def _show(error: BaseException) -> None:
    """Have the script's own hook show what it raised, without the frame of this module."""
    trace = error.__traceback__.tb_next if error.__traceback__ else None
    sys.excepthook(type(error), error.with_traceback(trace), trace)


def _status_of_exit(code: Any) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    sys.stderr.write(f"{code}\n")
    return STATUS_OF_ERROR


def _finalize(status: int) -> int:
    """Wait for threads, run what was registered for the end, and write out what is buffered."""
    threading = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()  # noqa: SLF001 - what the interpreter calls at its end, if a script has loaded it
    atexit._run_exitfuncs()  # noqa: SLF001 - likewise
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):  # closed by the script, or its reader is gone: as an interpreter that ends
            status = status or 120
    return status
