"""From a path, a text or a program to a program.

Owns reading of plan files: regular ones only, bounded, UTF-8. The text is the plan's and is not trusted.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from cloister.errors import InputError, PlanError, quoted
from cloister.lang.program import Program, compile_program
from cloister.plan.module_files import ModuleFiles
from cloister.plan.texts import PLAN_BYTES_MAX, plan_text

__all__ = ["PLAN_BYTES_MAX", "Plan", "load_plan", "plan_text", "read_plan"]

Plan: TypeAlias = Program | Path | str
"""A compiled program, the path of a plan file, or the text of a plan."""


def load_plan(plan: Plan, inputs: Sequence[str] = (), module_paths: Sequence[Path] = ()) -> Program:
    """Read and compile a plan.

    Args:
        plan: A program is returned as it is; a path is read; any other text is compiled.
        inputs: Names that the plan may use as inputs.
        module_paths: Directories its modules are looked for in, after that of the plan's own file.

    Raises:
        PlanError: The file, or that of a module, cannot be read, is too large, or is not UTF-8 text.
        ReadError: It is not RTFS.
        CompileError: It is not a program.
    """
    if isinstance(plan, Program):
        return plan
    if isinstance(plan, str):
        return compile_program(plan, "<plan>", inputs, ModuleFiles(module_paths))
    if not isinstance(plan, Path):
        raise InputError(
            f"a plan is a path, a text or a program, not {type(plan).__name__}",
            code="input.plan",
            hint="pass pathlib.Path(...) for a file",
        )
    return compile_program(read_plan(plan), str(plan), inputs, ModuleFiles((plan.parent, *module_paths)))


def read_plan(plan: Path) -> str:
    """Return the text of a plan's file.

    Raises:
        PlanError: `plan.unreadable`, `plan.size` or `plan.encoding`.
    """
    hint = "name a file with RTFS text"
    try:
        # Not blocking, because the file may turn out to be a pipe that nobody writes to
        with os.fdopen(os.open(plan, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise PlanError(f"plan {quoted(str(plan))} is not a regular file", code="plan.unreadable", hint=hint)
            return plan_text(file, str(plan))
    except OSError as error:
        message = f"cannot read plan {quoted(str(plan))}: {error.strerror}"
        raise PlanError(message, code="plan.unreadable", hint=hint) from error
