"""What is wrong with a program, whatever it will be granted and given.

Owns the one meaning of "checked": what compiled, and makes no call that cannot succeed. Runs nothing. Which files the
paths of a plan are compared with is up to the authorizer that is handed in. Handles hostile programs.
"""

from __future__ import annotations

from dataclasses import dataclass

from cloister.authority.authorizer import SecurityAuthorizer
from cloister.authority.context import RuntimeContext
from cloister.errors import CloisterError, CompileError
from cloister.lang.problems import together
from cloister.lang.program import Program
from cloister.lang.types.static import type_warnings
from cloister.plan.admission import requirements


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What was found.

    Attributes:
        program: What was checked.
        errors: For each call that no grant could make succeed, in the order of the text: `denied.unknown-capability`,
            or the error its arguments would end in. With a context, also what that refuses for certain.
        warnings: What cannot succeed where a run may never get to, in the order of the text.
    """

    program: Program
    errors: tuple[CloisterError, ...]
    warnings: tuple[CompileError, ...]

    def checked(self) -> Program:
        """Return the program when it has no errors.

        Raises:
            CloisterError: The first one; `details["more"]` lists the others in order, as plain data.
        """
        if not self.errors:
            return self.program
        raise together(self.errors)


def check_program(
    program: Program, authorizer: SecurityAuthorizer, context: RuntimeContext | None = None
) -> CheckReport:
    """Find what cannot succeed in a program.

    Args:
        program: What was compiled.
        authorizer: Knows what can be called.
        context: What it will be granted; then what that refuses for certain is an error too. Without one, grants are
            not regarded.

    Cost:
        Linear in the program, like compiling it.
    """
    found = requirements(program, context or RuntimeContext.unsafe_everything(), authorizer)
    wrong = (item for item in found if item.is_impossible or (context is not None and not item.is_admissible))
    return CheckReport(
        program=program,
        errors=tuple(item.error() for item in wrong),
        warnings=type_warnings(program.core, program.source),
    )
