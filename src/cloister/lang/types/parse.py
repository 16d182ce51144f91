"""Reading types: from forms of a program, or from text, to type expressions.

Owns the grammar of types (language reference, section 5.1) with its synonyms (section 9, rows 25 to 29), and what is
said about a type that cannot be read. Names a program declares are looked up by whoever asks. Handles forms of hostile
text; whatever they are, the outcome is a type or a `TypeProblem`. Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cloister.errors import CloisterError, CompileError, quoted
from cloister.lang.forms import Form, ListForm, LiteralForm, MapForm, SymbolForm, VectorForm
from cloister.lang.reader import read
from cloister.lang.source import Source
from cloister.lang.suggestions import nearest
from cloister.lang.types.expression import (
    Array,
    Entry,
    Enum,
    Exactly,
    Function,
    Intersection,
    Literal,
    MapOf,
    Named,
    Predicate,
    Record,
    Refinement,
    Resource,
    Tuple,
    Type,
    Union,
    Vector,
    optional,
)
from cloister.lang.types.names import (
    PRIMITIVES,
    Names,
    TypeProblem,
    head_name,
    is_mark,
    named_type,
    no_names,
    written_name,
)
from cloister.lang.types.predicates import PREDICATES, make_test
from cloister.lang.values import Keyword, Value

NESTING_MAX: Final = 50
"""Types inside one another; what reads, shows and compares types nests its calls as deep."""

MEMBERS_MAX: Final = 1_000
"""Parts of one type: members of a union, fields of a record. A value may be compared with each of them."""


def read_type(form: Form, names: Names = no_names) -> Type:
    """Return the type a form describes.

    Args:
        form: A form where a type belongs; `(type-annotation T)` stands for `T`.
        names: Finds the types the program declares.

    Raises:
        TypeProblem: It describes none.
    """
    return _Reading(names).type(form)


def parse_type_text(text: str, names: Names = no_names) -> Type:
    """Return the type a text describes, such as `:int`, `[:vector :string]` or `[:map [:a :int]]?`.

    Args:
        text: One type. A `?` after it takes nil too; a colon before a bracket is taken as in annotations.
        names: Finds declared types.

    Raises:
        ReadError: The text cannot be read at all.
        CompileError: `compile.annotation` when what it says is no type.
    """
    source = Source("<type>", text)
    try:
        return _only_type(read(source), text, names)
    except TypeProblem as problem:
        span = source.span(problem.form.start, problem.form.end)
        raise CompileError(problem.message, code="compile.annotation", span=span, hint=problem.hint) from None


def _only_type(forms: Sequence[Form], text: str, names: Names) -> Type:
    if not forms:
        raise TypeProblem(LiteralForm(None, 0, len(text)), "an empty text is no type", "write a type such as :int")
    types = _Reading(names).sequence(forms)
    if len(types) > 1:
        raise TypeProblem(forms[1], "more than one type stands here", "write [:union ...] for any of them")
    return types[0]


@dataclass(slots=True)
class _Reading:
    """Reading one type.

    Attributes:
        names: Finds the types the program declares.
        depth: How many types are open around the one now read.
    """

    names: Names
    depth: int = 0

    def type(self, form: Form) -> Type:
        """Read one type."""
        if self.depth >= NESTING_MAX:
            hint = "give the inner ones names with deftype"
            raise TypeProblem(form, f"types are nested deeper than {NESTING_MAX} levels", hint)
        self.depth += 1
        type_ = self._one(form)
        self.depth -= 1
        return type_

    def _one(self, form: Form) -> Type:
        match form:
            case VectorForm():
                return self._compound(form)
            case ListForm():
                return self._listed(form)
            case MapForm():
                hint = "write [:map {:field type}] for a record, [:map-of key value] for a map of one kind"
                raise TypeProblem(form, "a map is not a type", hint)
        name = written_name(form)
        if name is None:
            raise TypeProblem(form, "a value is not a type", "write [:val value] for exactly that value")
        found = named_type(name, self.names)
        if found is None:
            raise self._unknown(form, name)
        return found

    def sequence(self, forms: Sequence[Form]) -> tuple[Type, ...]:
        """Read types one after the other, each perhaps followed by `?`."""
        found: list[Type] = []
        for form in forms:
            if is_mark(form) and found:
                found[-1] = optional(found[-1])
            else:
                found.append(self.type(form))
        return tuple(found)

    def _unknown(self, form: Form, name: str) -> TypeProblem:
        shown = quoted(name, 40)
        near = nearest(name.removesuffix("?"), PRIMITIVES)
        message = f'unknown type "{shown}"' + (f'; did you mean ":{near}"?' if near else "")
        return TypeProblem(form, message, "declare it with (deftype Name type) or (defstruct Name :field type ...)")

    def _listed(self, form: ListForm) -> Type:
        head = head_name(form)
        items = form.items[1:]
        _bound(form)
        if head == "type-annotation" and len(items) == 1:
            return self.type(items[0])
        if head == "type-optional" and len(items) == 1:
            return optional(self.type(items[0]))
        if head in {"or", "union"} and items:
            return self.union(form, items)
        if head == "and" and items:
            return self.conjunction(form, items)
        raise TypeProblem(form, "a list is not a type", "write a name such as :int, or brackets such as [:vector :int]")

    def _compound(self, form: VectorForm) -> Type:
        head = head_name(form)
        _bound(form)
        reader = _COMPOUND.get(head or "")
        if reader is not None:
            return reader(self, form, form.items[1:])
        message = f'there are no "[:{quoted(head, 40)} ...]" types' if head else "a type begins with its kind"
        if head in _MISUSED:
            raise TypeProblem(form, message, _MISUSED[head])
        if head in PRIMITIVES:
            raise TypeProblem(form, f"`:{head}` takes no parts", f"write :{head}, or [:tuple :{head} ...] for a pair")
        near = nearest(head, _COMPOUND) if head else None
        raise TypeProblem(form, message, f"write [:{near} ...]" if near else _KINDS_HINT)

    def vector(self, form: VectorForm, items: Sequence[Form]) -> Type:
        """Read `[:vector T]`."""
        types = self._some(form, items, 1, "[:vector type]")
        return Vector(types[0])

    def tuple_of(self, form: VectorForm, items: Sequence[Form]) -> Type:
        """Read `[:tuple T ...]`."""
        return Tuple(self._some(form, items, None, "[:tuple type ...]"))

    def array(self, form: VectorForm, items: Sequence[Form]) -> Type:
        """Read `[:array T [n ...]]`."""
        shape: tuple[int | None, ...] = ()
        written = "[:array type [size ? ...]]"
        if len(items) > 1 and isinstance(items[-1], VectorForm) and all(map(_is_size, items[-1].items)):
            shape = tuple(None if is_mark(size) else _value(size) for size in items[-1].items)
            items = items[:-1]
        types = self._some(form, items, 1, written)
        return Array(types[0], shape)

    def map_of(self, form: VectorForm, items: Sequence[Form]) -> Type:
        """Read `[:map-of K V]`."""
        key, value = self._some(form, items, 2, "[:map-of key-type value-type]")
        return MapOf(key, value)

    def union(self, form: Form, items: Sequence[Form]) -> Type:
        """Read `[:union T ...]`."""
        types = self._some(form, items, None, "[:union type ...]")
        return types[0] if len(types) == 1 else Union(types)

    def _some(self, form: Form, items: Sequence[Form], count: int | None, written: str) -> tuple[Type, ...]:
        types = self.sequence(items)
        if not types or (count is not None and len(types) != count):
            raise TypeProblem(form, f"this takes {count or 'at least 1'} types, not {len(types)}", f"write {written}")
        return types

    def conjunction(self, form: Form, items: Sequence[Form]) -> Type:
        """Read `[:and T ...]`."""
        predicates = [item for item in items if _is_predicate(item)]
        types = self.sequence([item for item in items if not _is_predicate(item)])
        if not types:
            raise TypeProblem(form, "conditions need a type before them", "write [:and :int [:> 0]]")
        base = types[0] if len(types) == 1 else Intersection(types)
        if not predicates:
            return base
        return Refinement(base, tuple(self._predicate(item) for item in predicates))

    def _predicate(self, form: Form) -> Predicate:
        name = head_name(form) or ""
        if name not in PREDICATES:
            near = nearest(name, PREDICATES)
            message = f'unknown condition "{quoted(name, 40)}"'
            known = PREDICATES[near].shape if near else f"one of {', '.join(f':{each}' for each in PREDICATES)}"
            raise TypeProblem(form, message, f"write {known}")
        items = form.items[1:] if isinstance(form, (ListForm, VectorForm)) else ()
        literals = tuple(_literal(item) for item in items)
        rule = PREDICATES[name]
        if not rule.takes(tuple(literal.value for literal in literals)):
            raise TypeProblem(form, f"`:{name}` cannot take this", f"write {rule.shape}")
        predicate = Predicate(name, literals)
        try:
            make_test(predicate)
        except CloisterError as error:
            raise TypeProblem(form, error.message, error.hint or f"write {rule.shape}") from None
        return predicate

    def enum(self, form: VectorForm, items: Sequence[Form]) -> Type:
        """Read `[:enum literal ...]`."""
        if not items:
            raise TypeProblem(form, "this takes at least one literal", "write [:enum :a :b]")
        return Enum(tuple(_literal(item) for item in items))

    def exact(self, form: VectorForm, items: Sequence[Form]) -> Type:
        """Read `[:val literal]`."""
        if len(items) != 1:
            raise TypeProblem(form, "this takes one literal", "write [:val 1]")
        return Literal(_literal(items[0]))

    def resource(self, form: VectorForm, items: Sequence[Form]) -> Type:
        """Read `[:resource name]`."""
        name = written_name(items[0]) if len(items) == 1 else None
        if name is None:
            raise TypeProblem(form, "this takes the name of a kind of resource", "write [:resource file]")
        return Resource(name)

    def function(self, form: VectorForm, items: Sequence[Form]) -> Type:
        """Read `[:fn [T ...] R]`."""
        written = "[:fn [type ... & type] result-type]"
        if len(items) < 2 or not isinstance(items[0], VectorForm):
            raise TypeProblem(
                form, "this takes the types of the parameters, then one of the result", f"write {written}"
            )
        (result,) = self._some(form, items[1:], 1, written)
        fixed, rest = list(items[0].items), None
        marks = [at for at, item in enumerate(fixed) if isinstance(item, SymbolForm) and item.name == "&"]
        if marks:
            (rest,) = self._some(form, fixed[marks[0] + 1 :], 1, written)
            del fixed[marks[0] :]
        return Function(self.sequence(fixed), rest, result)

    def record(self, form: VectorForm, items: Sequence[Form]) -> Type:
        """Read `[:map field ...]`."""
        entries: dict[str, Entry] = {}
        wildcard: Type | None = None
        for item in items:
            for key, parts in _fields(form, item):
                if key == "*":
                    wildcard = self._field(item, key, parts).type
                else:
                    entries[key] = self._field(item, key, parts)
        return Record(tuple(entries.values()), wildcard)

    def _field(self, place: Form, key: str, parts: Sequence[Form]) -> Entry:
        if any(isinstance(part, MapForm) for part in parts):
            hint = f"write [:{quoted(key, 40)} type ?] for a field that may be absent"
            raise TypeProblem(place, "a field takes no map of properties", hint)
        marked = len(parts) == 2 and is_mark(parts[1])
        if len(parts) == 1 and head_name(parts[0]) == "type-optional":
            marked, parts = True, parts[0].items[1:] if isinstance(parts[0], ListForm) else parts
        elif len(parts) != (2 if marked else 1):
            raise TypeProblem(place, "a field has a name and one type", f"write [:{quoted(key, 40)} type]")
        type_ = self.type(parts[0])
        # `string?` says two things of a field: it may be absent, and it may be nil (section 9, row 28)
        return Entry(key, type_, marked or _name_ends_open(parts[0], type_))


def _bound(form: ListForm | VectorForm | MapForm) -> None:
    parts = form.entries if isinstance(form, MapForm) else form.items
    if len(parts) > MEMBERS_MAX:
        raise TypeProblem(form, f"a type has more than {MEMBERS_MAX} parts", "split it with deftype")


def _name_ends_open(form: Form, type_: Type) -> bool:
    name = written_name(form)
    return name is not None and name.endswith("?") and not isinstance(type_, Named)


def _fields(record: VectorForm, item: Form) -> list[tuple[str, Sequence[Form]]]:
    """Return the fields that one item of a record type writes, with what follows each name."""
    if isinstance(item, MapForm):
        _bound(item)
        return [(_key(item, key), (value,)) for key, value in item.entries]
    if isinstance(item, VectorForm) and len(item.items) > 1:
        return [(_key(item, item.items[0]), item.items[1:])]
    hint = "write [:map [:field type] ...]"
    if len(record.items) == 3:
        hint += ", or [:map-of key-type value-type] for a map of one kind"
    raise TypeProblem(item, "a record type lists its fields", hint)


def _key(place: Form, form: Form) -> str:
    if isinstance(form, LiteralForm) and isinstance(form.value, Keyword):
        return form.value.name
    raise TypeProblem(place, "the fields of a record are keywords", "write [:map [:field type] ...]")


def _is_size(form: Form) -> bool:
    return is_mark(form) or (isinstance(form, LiteralForm) and type(form.value) is int and form.value >= 0)


def _value(form: Form) -> int | None:
    return form.value if isinstance(form, LiteralForm) and type(form.value) is int else None


def _is_predicate(form: Form) -> bool:
    name = head_name(form)
    return isinstance(form, VectorForm) and name not in _COMPOUND and name not in PRIMITIVES


def _literal(form: Form) -> Exactly:
    """Return the literal a form is: one value, or a vector of them."""
    if isinstance(form, LiteralForm):
        return Exactly(form.value)
    if isinstance(form, VectorForm):
        values: tuple[Value, ...] = tuple(_literal(item).value for item in form.items)
        return Exactly(values)
    raise TypeProblem(form, "a literal belongs here", "write a number, string, keyword, true, false or nil")


_COMPOUND: Final[dict[str, Callable[[_Reading, VectorForm, Sequence[Form]], Type]]] = {
    "vector": _Reading.vector,
    "tuple": _Reading.tuple_of,
    "array": _Reading.array,
    "map": _Reading.record,
    "record": _Reading.record,
    "map-of": _Reading.map_of,
    "dict": _Reading.map_of,
    "fn": _Reading.function,
    "=>": _Reading.function,
    "union": _Reading.union,
    "or": _Reading.union,
    "and": _Reading.conjunction,
    "enum": _Reading.enum,
    "val": _Reading.exact,
    "resource": _Reading.resource,
}
COMPOUND_NAMES: Final = frozenset(_COMPOUND)
"""What a bracketed type begins with."""

_KINDS_HINT: Final = "write [:vector T], [:tuple T ...], [:map [:field T] ...], [:map-of K V] or [:union T ...]"
_MISUSED: Final = {
    "list": "write [:vector type]; lists are sequences like vectors",
    "set": "write [:vector type]; there are no sets",
    "optional": "write the type with a question mark after it: :int?",
    "maybe": "write the type with a question mark after it: :int?",
    "nilable": "write the type with a question mark after it: :int?",
    "not": "write a type for what it may be",
    "function": "write [:fn [type ...] result-type]",
    "re": 'write [:and :string [:matches-regex "pattern"]]',
}
"""What is written in other schema languages, and how it is said here."""
