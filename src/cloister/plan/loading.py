"""From a path, a text or a program to a program.

Owns reading of plan files: regular ones only, bounded, UTF-8. The text is the plan's and is not trusted.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

from cloister.errors import InputError, PlanError, quoted
from cloister.lang.program import Program, compile_program

Plan: TypeAlias = Program | Path | str
"""A compiled program, the path of a plan file, or the text of a plan."""

PLAN_BYTES_MAX: Final = 4 * 1024 * 1024


def load_plan(plan: Plan, inputs: Sequence[str] = ()) -> Program:
    """Read and compile a plan.

    Args:
        plan: A program is returned as it is; a path is read; any other text is compiled.
        inputs: Names that the plan may use as inputs.

    Raises:
        PlanError: The file cannot be read, is too large, or is not UTF-8 text.
        ReadError: It is not RTFS.
        CompileError: It is not a program.
    """
    if isinstance(plan, Program):
        return plan
    if isinstance(plan, str):
        return compile_program(plan, "<plan>", inputs)
    if not isinstance(plan, Path):
        raise InputError(
            f"a plan is a path, a text or a program, not {type(plan).__name__}",
            code="input.plan",
            hint="pass pathlib.Path(...) for a file",
        )
    return compile_program(_plan_text(plan), str(plan), inputs)


def _plan_text(plan: Path) -> str:
    hint = "name a file with RTFS text"
    try:
        # Not blocking, because the file may turn out to be a pipe that nobody writes to
        with os.fdopen(os.open(plan, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise PlanError(f"plan {quoted(str(plan))} is not a regular file", code="plan.unreadable", hint=hint)
            data = file.read(PLAN_BYTES_MAX + 1)
    except OSError as error:
        message = f"cannot read plan {quoted(str(plan))}: {error.strerror}"
        raise PlanError(message, code="plan.unreadable", hint=hint) from error
    if len(data) > PLAN_BYTES_MAX:
        raise PlanError(f"plan {quoted(str(plan))} is larger than {PLAN_BYTES_MAX} bytes", code="plan.size")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PlanError(
            f"plan {quoted(str(plan))} is not UTF-8 text: byte {error.start} is {data[error.start]:#04x}",
            code="plan.encoding",
            hint="save it as UTF-8",
        ) from error
