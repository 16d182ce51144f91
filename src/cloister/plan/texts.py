"""Texts of plans and modules, from bytes.

Owns how large one may be and that it is UTF-8. The bytes are not trusted.
"""

from __future__ import annotations

from typing import BinaryIO, Final

from cloister.errors import PlanError, quoted

PLAN_BYTES_MAX: Final = 4 * 1024 * 1024


def plan_text(file: BinaryIO, name: str) -> str:
    """Return the text of a plan from an open file.

    Args:
        file: Read until its end, or until it is too long.
        name: What errors call it.

    Raises:
        PlanError: `plan.size` or `plan.encoding`.
        OSError: It cannot be read.
    """
    return decoded_plan(file.read(PLAN_BYTES_MAX + 1), name)


def decoded_plan(data: bytes, name: str) -> str:
    """Return the text of a plan or module.

    Raises:
        PlanError: `plan.size` or `plan.encoding`.
    """
    if len(data) > PLAN_BYTES_MAX:
        raise PlanError(f"plan {quoted(name)} is larger than {PLAN_BYTES_MAX} bytes", code="plan.size")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PlanError(
            f"plan {quoted(name)} is not UTF-8 text: byte {error.start} is {data[error.start]:#04x}",
            code="plan.encoding",
            hint="save it as UTF-8",
        ) from error
