"""What a special form is, how one is declared, and the checks of shape they share.

Must not contain a special form. Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from cloister.errors import CompileError
from cloister.lang import core
from cloister.lang.forms import Form, ListForm, SymbolForm, VectorForm

if TYPE_CHECKING:
    from cloister.lang.resolver import Resolver

Resolve: TypeAlias = "Callable[[Resolver, ListForm], core.Node]"
AsValue: TypeAlias = "Callable[[Resolver, SymbolForm], core.Node]"
Announce: TypeAlias = "Callable[[Resolver, ListForm], None]"


def operands(form: ListForm) -> Sequence[Form]:
    """Return what follows the head of a form."""
    return form.items[1:]


def nothing(form: ListForm) -> Sequence[Form]:
    """Return no forms: what a form with a scope of its own evaluates in the scope around it."""
    return form.items[:0]


def always(form: ListForm) -> bool:
    """Take every list with the right head."""
    return bool(form.items)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialForm:
    """A form with rules of its own.

    Attributes:
        name: The head.
        shape: How it is written, shown in hints.
        resolve: Turns a list with that head into core.
        inside: Which of its parts are evaluated in the scope around it, where their definitions land.
        applies: Whether a list with that head is this form, or an ordinary call.
        shadowable: Whether a program that binds the name gets its own meaning.
        defines: Whether its second item is a name it defines.
        announces: Makes what it declares known in the scope, before the scope's forms are resolved.
        as_value: Turns its name, used as a value, into the function that does the same; None when there is none.
    """

    name: str
    shape: str
    resolve: Resolve
    inside: Callable[[ListForm], Sequence[Form]] = operands
    applies: Callable[[ListForm], bool] = always
    shadowable: bool = False
    defines: bool = False
    announces: Announce | None = None
    as_value: AsValue | None = None


class Family:
    """The special forms one module declares; `table` joins them.

    Attributes:
        forms: Declared so far, by name. Complete once the module is imported.
    """

    __slots__ = ("forms",)

    def __init__(self) -> None:
        self.forms: dict[str, SpecialForm] = {}

    def form(
        self,
        name: str,
        shape: str,
        *,
        inside: Callable[[ListForm], Sequence[Form]] = operands,
        applies: Callable[[ListForm], bool] = always,
        shadowable: bool = False,
        defines: bool = False,
        announces: Announce | None = None,
        as_value: AsValue | None = None,
    ) -> Callable[[Resolve], Resolve]:
        """Declare the decorated function as the meaning of a special form; see `SpecialForm` for the arguments."""

        def declare(resolve: Resolve) -> Resolve:
            self.forms[name] = SpecialForm(
                name=name, shape=shape, resolve=resolve, inside=inside, applies=applies, shadowable=shadowable,
                defines=defines, announces=announces, as_value=as_value,
            )  # fmt: skip
            return resolve

        return declare


def unwrap_metadata(form: Form) -> Form:
    """Return the form inside `(with-meta {...} form)`, or the form itself."""
    while isinstance(form, ListForm) and len(form.items) == 3:
        head = form.items[0]
        if not isinstance(head, SymbolForm) or head.name != "with-meta":
            break
        form = form.items[2]
    return form


def misshapen(resolver: Resolver, form: Form, code: str, problem: str, shape: str) -> CompileError:
    """Return the error for a form that does not have its shape."""
    return resolver.error(form, code, problem, f"write {shape}")


def require_count(resolver: Resolver, form: ListForm, least: int, most: int | None, shape: str) -> None:
    """Check how many operands a form has.

    Raises:
        CompileError: `compile.arity` otherwise.
    """
    count = len(form.items) - 1
    if count < least or (most is not None and count > most):
        head = form.items[0]
        name = head.name if isinstance(head, SymbolForm) else "form"
        expected = f"at least {least}" if most is None else str(least) if least == most else f"{least} to {most}"
        raise misshapen(resolver, form, "compile.arity", f"`{name}` takes {expected} forms, not {count}", shape)


def require_vector(resolver: Resolver, form: ListForm, code: str, shape: str) -> VectorForm:
    """Return the first operand when it is a vector.

    Raises:
        CompileError: With the given code otherwise.
    """
    first = form.items[1] if len(form.items) > 1 else None
    if isinstance(first, VectorForm):
        return first
    raise misshapen(resolver, first or form, code, "a vector of bindings belongs here", shape)
