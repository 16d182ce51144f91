"""Modules: what `module` and `import` mean.

Owns the names modules may have, where their texts come from (a loader that is handed in; nothing here reads a file),
the order in which they are resolved and what an import makes visible. All modules of a program become parts of its one
core, so whatever looks at the program sees through them. Handles forms of hostile text. Part of the guest set: standard
library only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from cloister.errors import CloisterError, CompileError, quoted
from cloister.lang import core
from cloister.lang.forms import Form, ListForm, LiteralForm, MapForm, SymbolForm, VectorForm
from cloister.lang.namespace import Imported, Namespace
from cloister.lang.reader import read
from cloister.lang.source import JoinedSource, ModuleText, Source
from cloister.lang.special_forms.form import misshapen
from cloister.lang.suggestions import nearest
from cloister.lang.values import Keyword, Map

if TYPE_CHECKING:
    from cloister.lang.macros.resolving import Extension

MODULE: Final = "(module name (:exports [name ...]) definition ...)"
IMPORT: Final = "(import module.name), (import module.name :as short) or (import module.name :only [name ...])"

NAME_CHARS_MAX: Final = 200
MODULES_MAX: Final = 64
"""Modules of one program."""

TEXTS_CHARS_MAX: Final = 1_048_576
"""Characters of a program and all its modules together; what a single text may have (`reader.ReadLimits`)."""

_WORD: Final = "[A-Za-z_][A-Za-z0-9_-]*+"
_NAME: Final = re.compile(rf"{_WORD}(?:\.{_WORD})*+")
_ITEMS: Final = frozenset({"def", "defn", "defmacro", "defstruct", "deftype", "import", "do"})


@dataclass(frozen=True, slots=True)
class Missing:
    """A loader's answer when it has no such module.

    Attributes:
        looked: Where it looked, for people to read.
        similar: Names of modules it has, to suggest one of them.
    """

    looked: tuple[str, ...] = ()
    similar: tuple[str, ...] = ()


class ModuleLoader(Protocol):
    """Knows the texts of modules."""

    def find(self, name: str) -> Source | Missing:
        """Return the text of a module.

        Args:
            name: Words joined with dots; a word starts with a letter or `_` and has letters, digits, `_` and `-`.

        Raises:
            CloisterError: There is a text, but it cannot be used.
        """


class GivenModules:
    """A loader of texts that are already there.

    Args:
        texts: The modules.
    """

    def __init__(self, texts: Sequence[ModuleText] = ()) -> None:
        self._texts: Mapping[str, Source] = {text.name: text.source for text in texts}

    def find(self, name: str) -> Source | Missing:
        """Return the text of a module."""
        return self._texts.get(name) or Missing((), tuple(self._texts))


@dataclass(frozen=True, slots=True, eq=False)
class Module:
    """A module that was resolved.

    Attributes:
        space: What it defines.
        exports: Names that others may use.
    """

    space: Namespace
    exports: tuple[str, ...]


@dataclass(slots=True)
class Modules:
    """The modules of one program.

    Attributes:
        loader: Where those come from that are not in the program's own text.
        known: Those that were resolved, by name.
        open: Names of those that are being resolved, the outermost first.
        chars_left: Characters that further texts may have.
        read_before: Variables that functions read which may be called before the module is evaluated.
    """

    loader: ModuleLoader
    chars_left: int
    known: dict[str, Module] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)
    read_before: set[core.Variable] = field(default_factory=set)

    def marked(self) -> tuple[core.Variable, ...]:
        """Return the variables of all modules that the program must mark as unassigned before anything else.

        Which of a module's definitions somebody reads that may not have happened is known only when everything was
        resolved.
        """
        marked = {variable for module in self.known.values() for variable in module.space.scope.marked()}
        return tuple(sorted(marked | self.read_before, key=lambda variable: variable.index))


def resolve_module(ext: Extension, form: ListForm) -> core.Node:
    """Define a module written in the text; the value of the form describes it (language reference, section 2.11)."""
    if ext.space.name is not None:
        raise misshapen(ext.resolver, form, "compile.module", "a module cannot stand inside another", IMPORT)
    name = _module_name(ext, form, MODULE)
    node, module = _define(ext, form, name)
    value = core.Const(Map([("exports", module.exports), ("name", name)]), form.start, form.end)
    return core.Sequence((node, value), (), form.start, form.end)


def resolve_import(ext: Extension, form: ListForm) -> tuple[core.Node, tuple[str, ...]]:
    """Make the exports of a module visible; its definitions are evaluated here when nothing imported it before.

    Returns:
        What evaluates them, and the names that code below the import sees.
    """
    name = _module_name(ext, form, IMPORT)
    alias, only = _options(ext, form)
    missing = {alias or name} if only is None else {each.name for each in only}
    ext.space.failed |= missing
    node = _ensure(ext, form, name)
    module = ext.modules.known[name]
    if only is None:
        prefix = alias or name
        if ext.space.prefixes.setdefault(prefix, name) != name:
            raise _conflict(ext, form, prefix, ext.space.prefixes[prefix])
        visible = {f"{prefix}/{each}": each for each in module.exports}
    else:
        visible = {each.name: each.name for each in only}
        for each in only:
            if each.name not in module.exports:
                raise not_exported(ext, each, each.name, name)
    for shown, exported in visible.items():
        _make_visible(ext, form, shown, exported, name)
    ext.space.failed -= missing
    return node, tuple(visible)


def _make_visible(ext: Extension, form: Form, shown: str, exported: str, name: str) -> None:
    space, source = ext.space, ext.modules.known[name].space
    imported = Imported(name, source, exported, form.start, ext.early_code.last_index)
    if space.imported.setdefault(shown, imported).module != name:
        raise _conflict(ext, form, shown, space.imported[shown].module)
    macro = source.macros.get(exported)
    if macro is not None:
        space.add_macro(shown, macro)


def not_exported(ext: Extension, form: Form, wanted: str, module: str) -> CompileError:
    """Return the error for a name that a module does not let others use."""
    known = ext.modules.known[module]
    message = f"the module {module} does not export `{quoted(wanted, 60)}`"
    near = nearest(wanted, known.exports)
    if known.space.binds(wanted):
        hint = f"add it to the module: (module {module} (:exports [... {quoted(wanted, 60)}]) ...)"
    elif near:
        hint = f"did you mean `{near}`?"
    else:
        hint = f"it exports {quoted(', '.join(known.exports), 200) or 'nothing'}"
    return ext.resolver.error(form, "compile.not-exported", message, hint)


def _conflict(ext: Extension, form: Form, shown: str, other: str) -> CompileError:
    message = f"`{quoted(shown, 60)}` already comes from the module {other}"
    return ext.resolver.error(form, "compile.import", message, "give one of them another name with :as")


def _options(ext: Extension, form: ListForm) -> tuple[str | None, tuple[SymbolForm, ...] | None]:
    match form.items[2:]:
        case ():
            return None, None
        case (LiteralForm(value=Keyword(name="as")), SymbolForm(name=alias)) if "/" not in alias:
            return alias, None
        case (LiteralForm(value=Keyword(name="only")), VectorForm(items=items)):
            names = tuple(item for item in items if isinstance(item, SymbolForm))
            if len(names) == len(items):
                return None, names
    problem = "an import takes either :as and a short name, or :only and a vector of names"
    raise misshapen(ext.resolver, form, "compile.import", problem, IMPORT)


def _module_name(ext: Extension, form: ListForm, shape: str) -> str:
    name = form.items[1] if len(form.items) > 1 else form
    code = "compile.module"
    if not isinstance(name, SymbolForm):
        raise misshapen(ext.resolver, name, code, "the name of a module belongs here", shape)
    if len(name.name) > NAME_CHARS_MAX or not _NAME.fullmatch(name.name):
        problem = f"`{quoted(name.name, 60)}` cannot be the name of a module"
        hint = "join words of letters, digits, _ and - with dots, such as text.tools"
        raise ext.resolver.error(name, code, problem, hint)
    return name.name


def _ensure(ext: Extension, form: ListForm, name: str) -> core.Node:
    """Return what evaluates a module's definitions, which is nothing when that was done before."""
    modules = ext.modules
    if name in modules.known:
        return core.Const(None, form.start, form.end)
    if name in modules.open:
        cycle = " -> ".join((*modules.open[modules.open.index(name) :], name))
        message = f"modules import one another in a circle: {quoted(cycle, 300)}"
        hint = "move what both need into a third module"
        raise ext.resolver.error(form, "compile.module-cycle", message, hint)
    try:
        found = modules.loader.find(name)
    except CloisterError as error:
        error.span = error.span or ext.resolver.source.span(form.start, form.end)
        raise
    if isinstance(found, Missing):
        raise _not_found(ext, form, name, found)
    modules.chars_left -= len(found.text)
    if modules.chars_left < 0:
        message = f"the program and its modules have more than {TEXTS_CHARS_MAX} characters"
        raise ext.resolver.error(form, "compile.module", message, "import fewer modules, or keep data in files")
    base = ext.join(ModuleText(name, found))
    forms = [shifted(each, base) for each in read(found)]
    only = forms[0] if len(forms) == 1 else None
    if not isinstance(only, ListForm) or not _is_module(only, name):
        where = forms[0] if forms else LiteralForm(None, base, base)
        message = f"{quoted(found.name)} has to hold the module {name} and nothing else"
        raise ext.resolver.error(where, "compile.module", message, f"write (module {name} ...) around everything in it")
    node, _ = _define(ext, only, name)
    return core.Sequence((node, core.Const(None, form.start, form.end)), (), form.start, form.end)


def _is_module(form: ListForm, name: str) -> bool:
    match form:
        case ListForm(items=(SymbolForm(name="module"), SymbolForm(name=written), *_)):
            return written == name
    return False


def _not_found(ext: Extension, form: ListForm, name: str, missing: Missing) -> CompileError:
    looked = f"; looked for {quoted(', '.join(missing.looked), 500)}" if missing.looked else ""
    near = nearest(name, (*ext.modules.known, *missing.similar))
    hint = "name the directory that holds it with --module-path, or write the module above its import"
    if near is not None:
        hint = f"did you mean {near}? Otherwise {hint}"
    return ext.resolver.error(form, "compile.module-not-found", f"there is no module {name}{looked}", hint)


def _define(ext: Extension, form: ListForm, name: str) -> tuple[core.Node, Module]:
    """Resolve a module's definitions in a namespace of their own."""
    modules = ext.modules
    if name in modules.known or name in modules.open:
        raise ext.resolver.error(form, "compile.module", f"the module {name} is defined twice", "rename one of them")
    if len(modules.known) + len(modules.open) >= MODULES_MAX:
        message = f"a program may have {MODULES_MAX} modules"
        raise ext.resolver.error(form, "compile.module", message, "join small modules")
    exports = _exports(form)
    items = form.items[2:]
    if items and isinstance(items[0], LiteralForm) and isinstance(items[0].value, str):
        items = items[1:]
    items = items[1:] if exports else items
    modules.open.append(name)
    try:
        with ext.namespace(name) as space:
            nodes = ext.top_level(items, _ITEMS)
            exported = tuple(each.name for each in _exported_names(ext, exports, space))
            node = core.Sequence(tuple(nodes), (), form.start, form.end)  # marked by the program, see `Modules.marked`
    finally:
        modules.open.pop()
    module = modules.known[name] = Module(space, exported)
    return node, module


def _exports(form: ListForm) -> ListForm | None:
    for item in form.items[2:4]:
        match item:
            case ListForm(items=(LiteralForm(value=Keyword(name="exports")), *_)):
                return item
    return None


def _exported_names(ext: Extension, exports: ListForm | None, space: Namespace) -> tuple[SymbolForm, ...]:
    if exports is None:
        return ()
    match exports.items[1:]:
        case (VectorForm(items=items),) if all(isinstance(item, SymbolForm) for item in items):
            names = tuple(item for item in items if isinstance(item, SymbolForm))
        case _:
            raise misshapen(ext.resolver, exports, "compile.module", "exports are one vector of names", MODULE)
    for each in names:
        if not space.defines(each.name):
            message = f"`{quoted(each.name, 60)}` is exported, but the module does not define it"
            near = nearest(each.name, (*space.scope.bindings, *space.macros, *space.scope.types))
            hint = f"did you mean `{near}`?" if near else "define it, or leave it out"
            ext.resolver.report(ext.resolver.error(each, "compile.module", message, hint))
    return names


def shifted(form: Form, base: int) -> Form:
    """Return a form as if it stood `base` characters further."""
    start, end = form.start + base, form.end + base
    match form:
        case LiteralForm():
            return LiteralForm(form.value, start, end)
        case SymbolForm():
            return SymbolForm(form.name, start, end)
        case ListForm():
            return ListForm(tuple([shifted(item, base) for item in form.items]), start, end)
        case VectorForm():
            return VectorForm(tuple([shifted(item, base) for item in form.items]), start, end)
        case MapForm():
            entries = tuple([(shifted(key, base), shifted(item, base)) for key, item in form.entries])
            return MapForm(entries, start, end)


def joined(source: Source, text: ModuleText) -> JoinedSource:
    """Return a source with one more module's text behind all others."""
    before = source.modules if isinstance(source, JoinedSource) else ()
    return JoinedSource(source.name, source.text, (*before, text))
