"""Runs of every kind, for a soak: what plans, scripts and commands do, and the ways in which they fail.

Owns the kinds and the check of each outcome, refusals and limits by class and code. Everything goes through the public
Runtime.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from benchmarks.timing import WrongAnswer, leave_out, require_equal
from cloister.authority.context import RuntimeContext
from cloister.errors import (
    CloisterError,
    GuestCrashed,
    GuestError,
    LaunchError,
    LimitExceeded,
    PathDenied,
)
from cloister.limits import MIB, ResourceLimits
from cloister.runtime import Runtime

Act = Callable[[int], None]

CAPABILITIES = (
    "ccos.io.delete-file",
    "ccos.io.list-dir",
    "ccos.io.read-file",
    "ccos.io.write-file",
    "ccos.sandbox.javascript",
    "ccos.sandbox.lua",
    "ccos.sandbox.python",
    "ccos.sandbox.ruby",
    "ccos.sandbox.shell",
    "cloister.exec",
)
INTERPRETERS = {"javascript": "node", "ruby": "ruby", "lua": "lua"}
"""Kinds of runs that need something which not every machine has."""
DEADLINE_MS = 200
DETACH = "setsid sleep 1000 & (setsid sh -c 'trap \"\" TERM HUP INT; sleep 1000' &) ;"
"""Leaves processes behind that have a session of their own and ignore signals."""


class Kinds:
    """All kinds of runs over one runtime.

    Args:
        runtime: Where they run. Several threads may.
        directory: A directory for the files of runs, canonical; it is empty before and after each.
    """

    def __init__(self, runtime: Runtime, directory: Path) -> None:
        self._runtime = runtime
        self._directory = directory
        self._usual = self._granted(ResourceLimits())

    def acts(self) -> dict[str, Act]:
        """Return one run of each kind by its name; each is called with a number that no other run has."""
        acts = {
            "plan": self._plan,
            "plan that fails": self._failing_plan,
            "plan over its steps": self._endless_plan,
            "files": self._files,
            "refused path": self._refused_path,
            "python": self._python,
            "python that fails": self._failing_python,
            "shell": self._shell,
            "javascript": self._script_in("javascript", "console.log(6 * 7)"),
            "ruby": self._script_in("ruby", "puts 6 * 7"),
            "lua": self._script_in("lua", "print(6 * 7)"),
            "program": self._program,
            "program with a status": self._status,
            "program that crashes": self._crash,
            "missing program": self._missing,
            "detached processes": self._detached,
            "over its time": self._over_time,
            "over its memory": self._over_memory,
            "over its processes": self._over_processes,
            "over its output": self._over_output,
            "over its disk": self._over_disk,
        }
        for kind, interpreter in INTERPRETERS.items():
            if shutil.which(interpreter) is None:
                leave_out(kind, f"{interpreter} is not installed")
                del acts[kind]
        return acts

    def _granted(self, limits: ResourceLimits) -> RuntimeContext:
        return RuntimeContext.controlled(capabilities=CAPABILITIES, write=[str(self._directory)], limits=limits)

    def _run(self, plan: str, limits: ResourceLimits | None = None) -> object:
        context = self._usual if limits is None else self._granted(limits)
        return self._runtime.run(plan, context=context).value

    def _execute(self, command: str, limits: ResourceLimits | None = None) -> tuple[int | None, bytes]:
        context = self._usual if limits is None else self._granted(limits)
        result = self._runtime.execute(["/bin/sh", "-c", command], context=context)
        return result.exit_status, result.stdout

    def _plan(self, number: int) -> None:
        require_equal(self._run(f"(reduce + (map inc [{number} 1 2]))"), number + 6)

    def _failing_plan(self, number: int) -> None:
        _require_error(GuestError, "guest.division", lambda: self._run(f"(/ {number} 0)"))

    def _endless_plan(self, number: int) -> None:
        plan = f"(loop [n {number}] (recur (+ n 1)))"
        _require_error(LimitExceeded, "limit.steps", lambda: self._run(plan, ResourceLimits(steps_count=20_000)))

    def _files(self, number: int) -> None:
        path = f"{self._directory}/{number}"
        plan = f"""
        (do (call :ccos.io.write-file "{path}" "text {number}")
            (let [text (call :ccos.io.read-file "{path}")]
              (call :ccos.io.list-dir "{self._directory}")
              (call :ccos.io.delete-file "{path}")
              text))"""
        require_equal(self._run(plan), f"text {number}")

    def _refused_path(self, number: int) -> None:
        plan = f'(call :ccos.io.read-file "{self._directory}-{number}/../../etc/passwd")'
        _require_error(PathDenied, "denied.path", lambda: self._run(plan))

    def _python(self, number: int) -> None:
        code = "import json, sys; print(json.load(sys.stdin) * 2)"
        require_equal(self._run(f'(call :ccos.sandbox.python "{code}" {number})'), number * 2)

    def _failing_python(self, number: int) -> None:
        plan = f'(call :ccos.sandbox.python "raise SystemExit({1 + number % 100})")'
        _require_error(GuestError, "guest.script", lambda: self._run(plan))

    def _shell(self, number: int) -> None:
        require_equal(self._run(f'(call :ccos.sandbox.shell "echo $(({number} * 3)) | cat")'), number * 3)

    def _script_in(self, language: str, code: str) -> Act:
        return lambda _number: require_equal(self._run(f'(call :ccos.sandbox.{language} "{code}")'), 42)

    def _program(self, number: int) -> None:
        require_equal(self._execute(f"echo {number}; echo > /tmp/{number}"), (0, b"%d\n" % number))

    def _status(self, number: int) -> None:
        require_equal(self._execute(f"exit {number % 100}"), (number % 100, b""))

    def _crash(self, _number: int) -> None:
        _require_error(GuestCrashed, "provider.crashed", lambda: self._execute("kill -SEGV $$"))

    def _missing(self, number: int) -> None:
        def run() -> object:
            return self._runtime.execute([f"/nowhere/{number}"], context=self._usual)

        _require_error(LaunchError, "provider.exec", run)

    def _detached(self, number: int) -> None:
        require_equal(self._execute(f"{DETACH} echo {number}"), (0, b"%d\n" % number))

    def _over_time(self, _number: int) -> None:
        limits = ResourceLimits(wall_ms=DEADLINE_MS)
        _require_error(LimitExceeded, "limit.wall", lambda: self._execute(f"{DETACH} sleep 1000", limits))

    def _over_memory(self, _number: int) -> None:
        limits = ResourceLimits(memory_bytes=32 * MIB)
        _require_error(LimitExceeded, "limit.memory", lambda: self._execute("tail /dev/zero", limits))

    def _over_processes(self, _number: int) -> None:
        spawn = "for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1000 & done; wait"
        limits = ResourceLimits(processes_count=8)
        _require_error(LimitExceeded, "limit.processes", lambda: self._execute(spawn, limits))

    def _over_output(self, _number: int) -> None:
        limits = ResourceLimits(output_bytes=4096)
        _require_error(LimitExceeded, "limit.output", lambda: self._execute("yes", limits))

    def _over_disk(self, _number: int) -> None:
        limits = ResourceLimits(disk_bytes=MIB)
        _require_error(LimitExceeded, "limit.disk", lambda: self._execute("exec cat /dev/zero > /tmp/all", limits))


def _require_error(expected: type[CloisterError], code: str, act: Callable[[], object]) -> None:
    try:
        got = act()
    except expected as error:
        require_equal(error.code, code)
        return
    raise WrongAnswer(f"{expected.__name__} {code} was expected; got {got!r}")
