"""What `defmacro` defines, and the code that macros run.

Owns the early scopes' contents: a macro runs before the program does, so the functions it calls are resolved a second
time, apart from the program, for each macro, and only those that are needed. Handles forms of hostile text. Part of
the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Final

from cloister.errors import CompileError, quoted
from cloister.lang import core
from cloister.lang.forms import ListForm, LiteralForm, SymbolForm
from cloister.lang.macros.expander import Macro, MakeRunner, RunMacro
from cloister.lang.namespace import DefinitionScope, Namespace
from cloister.lang.program_size import SIZE_MAX, ProgramSize, size_of
from cloister.lang.special_forms.form import misshapen, unwrap_metadata
from cloister.lang.special_forms.table import SPECIAL_FORMS
from cloister.lang.values import Value
from cloister.limits import ResourceLimits

if TYPE_CHECKING:
    from cloister.lang.macros.resolving import Extension

DEFMACRO: Final = "(defmacro name [parameter ...] body ...)"
OPERANDS: Final = "operands"
"""The input by which a macro's code gets what it is used on."""

CODE_MAX: Final = replace(
    SIZE_MAX,
    nodes_count=5_000,
    names_count=1_500,
    functions_count=300,
    chain_count=300,
    visible_count=2_000_000,
    passed_count=20_000,
)
"""Code of all macros of a program that are used, the functions they call counted for each."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A top-level definition that macros may need."""

    space: Namespace
    form: ListForm
    macros: Mapping[str, Macro]


@dataclass(slots=True)
class EarlyCode:
    """The definitions of a program as macros see them, and how much code was generated for macros.

    Attributes:
        definitions: By the variable that they have in macros.
        last_index: Index of the last of these variables; 0 when there is none.
        failed: Those that cannot run before the program does; a text that uses them often must end soon, too.
        size: Of all code that was generated.
    """

    definitions: dict[core.Variable, Definition] = field(default_factory=dict)
    last_index: int = 0
    failed: dict[core.Variable, CompileError] = field(default_factory=dict)
    size: dict[str, int] = field(default_factory=dict)

    def add(self, ext: Extension, name: SymbolForm, form: ListForm) -> None:
        """Note a top-level definition of the present namespace."""
        space = ext.space
        variable = ext.resolver.variable(name.name, name.start)
        space.early.declare(variable)
        self.definitions[variable] = Definition(space, form, space.macros)
        self.last_index = variable.index

    def node(self, ext: Extension, variable: core.Variable, limit: int) -> core.Define:
        """Return a definition as a macro runs it.

        Args:
            ext: The state of resolving.
            variable: What it defines.
            limit: Index that tells what stands above the macro.

        Raises:
            CompileError: It cannot run before the program does.
        """
        if variable in self.failed:
            raise self.failed[variable]
        try:
            return self._resolved(ext, variable, limit)
        except CompileError as error:
            self.failed[variable] = error
            raise

    def _resolved(self, ext: Extension, variable: core.Variable, limit: int) -> core.Define:
        definition = self.definitions[variable]
        resolver, form, early = ext.resolver, definition.form, definition.space.early
        scope = DefinitionScope(early, early.level, early.depth + 1)
        with ext.early(definition.space, definition.macros, variable.index, limit), resolver.top_scope(scope):
            scope.declare(variable)
            above = early.find_here(variable.name, early.level)
            if above is not None:  # what the name means inside until it is defined anew, in functions too
                scope.bind(above.variable)
            special = resolver.special(form)
            ext.announce(special.inside(form) if special is not None else ())
            node = resolver.value(form)
            value = resolver.marked(node.value) if isinstance(node, core.Define) else None
        if value is None:
            raise resolver.error(form, "compile.macro", "macros cannot use this definition")
        _refuse_effects(ext, value)
        return core.Define(variable, value, node.start, node.end)

    def grow(self, size: ProgramSize) -> None:
        """Count the code of one more macro.

        Raises:
            CompileError: `compile.expansion-limit` when all are larger than code is generated for.
        """
        for each in fields(ProgramSize):
            self.size[each.name] = self.size.get(each.name, 0) + getattr(size, each.name)
            if self.size[each.name] > getattr(CODE_MAX, each.name):
                raise _too_much_code()


def _too_much_code() -> CompileError:
    return CompileError(
        "the code of the macros is larger than is generated while a plan is checked",
        code="compile.expansion-limit",
        hint="let macros call fewer and smaller functions",
    )


def define_macro(ext: Extension, form: ListForm) -> None:
    """Define a macro in the present namespace.

    Raises:
        CompileError: `compile.macro` when it is misshapen; any problem of its body.
    """
    name = unwrap_metadata(form.items[1]) if len(form.items) > 1 else form
    if not isinstance(name, SymbolForm):
        raise misshapen(ext.resolver, name, "compile.macro", "the name of the macro belongs here", DEFMACRO)
    special = SPECIAL_FORMS.get(name.name)
    if special is not None and not special.shadowable:
        message = f"`{name.name}` is a form of the language, so no macro can have its name"
        raise ext.resolver.error(name, "compile.macro", message, "choose another name")
    space = ext.space
    as_function = ListForm((SymbolForm("defn", form.start, form.start), *form.items[1:]), form.start, form.end)
    with ext.early(space, space.macros), ext.resolver.new_scope():
        node = ext.resolver.value(as_function)
    if not isinstance(node, core.Define) or not isinstance(node.value, core.Lambda):
        raise misshapen(ext.resolver, form, "compile.macro", "this is no macro", DEFMACRO)
    _refuse_effects(ext, node)
    function = node.value
    names = [variable.name for variable in function.parameters]
    shown = [*names, *(("&", function.rest.name) if function.rest else ())]
    macro = Macro(
        name=name.name,
        home=space,
        doc=_documentation(form),
        least=len(names),
        most=None if function.rest else len(names),
        shape=quoted(f"({' '.join((name.name, *shown))})", 120),
        start=name.start,
        run=_Runner(ext, node),
    )
    space.add_macro(name.name, macro)


def _documentation(form: ListForm) -> str | None:
    text = form.items[2] if len(form.items) > 3 else None
    return text.value if isinstance(text, LiteralForm) and isinstance(text.value, str) else None


def _refuse_effects(ext: Extension, node: core.Node) -> None:
    for part in core.walk(node):
        if isinstance(part, (core.HostCall, core.HostFunction, core.Step)):
            message = "a macro runs while the plan is checked; it cannot call capabilities or begin steps"
            place = LiteralForm(None, part.start, part.end)
            hint = "return a form that does it: (defmacro m [x] `(call :capability.id ~x))"
            raise ext.resolver.error(place, "compile.macro", message, hint)


def _read(node: core.Node) -> tuple[core.Variable, ...]:
    match node:
        case core.Local(variable=variable):
            return (variable,)
        case core.Latest(variables=variables):
            return variables
    return ()


class _Runner:
    """Runs one macro; makes its code at the first use."""

    def __init__(self, ext: Extension, macro: core.Define) -> None:
        self._ext = ext
        self._macro = macro
        self._run: RunMacro | None = None

    def __call__(self, operands: tuple[Value, ...], limits: ResourceLimits) -> tuple[Value, int]:
        if self._run is None:
            self._run = self._made(self._ext.expander.make_runner)
        return self._run(operands, limits)

    def _made(self, make_runner: MakeRunner) -> RunMacro:
        node, needed = self._macro, self._needed()
        start, end = node.start, node.end
        function = core.Local(node.variable, False, start, end)
        operands = core.Input(OPERANDS, True, start, end)
        call = core.Call(core.Global("apply", start, end), (function, operands), start, end)
        order = sorted(needed, key=lambda variable: variable.index)
        program = core.Sequence((*(needed[each] for each in order), node, call), tuple(order), start, end)
        self._ext.early_code.grow(size_of(program))
        return make_runner(program, self._ext.resolver.source)

    def _needed(self) -> dict[core.Variable, core.Define]:
        """Return the definitions that the macro uses, those that these use, and so on."""
        node, early = self._macro, self._ext.early_code
        needed: dict[core.Variable, core.Define] = {}
        pending: list[core.Node] = [node]
        nodes_count = 0
        while pending:
            for part in core.walk(pending.pop()):
                for variable in _read(part):
                    if variable in early.definitions and variable not in needed:
                        needed[variable] = early.node(self._ext, variable, node.variable.index)
                        pending.append(needed[variable])
                        nodes_count += sum(1 for _ in core.walk(needed[variable]))
                        if nodes_count > CODE_MAX.nodes_count:  # resolving more of them takes time
                            raise _too_much_code()
        return needed
