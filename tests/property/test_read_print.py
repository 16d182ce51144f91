"""Whatever is printed reads back the same, and whatever is read is forms or a ReadError."""

from __future__ import annotations

import math

from hypothesis import example, given
from hypothesis import strategies as st
from tests.property.exploring import examples

from cloister.errors import ReadError
from cloister.lang.forms import Form, ListForm, LiteralForm, MapForm, SymbolForm, VectorForm
from cloister.lang.lexer import is_keyword_name
from cloister.lang.printer import form_to_text, to_text
from cloister.lang.reader import read
from cloister.lang.source import Source
from cloister.lang.values import INT_MAX, INT_MIN, Keyword, List, Map, Symbol, Value

NAMES = st.from_regex(r"[a-z_$+*/=<>!?%-][a-z0-9.*+!?/<>=@-]{0,8}", fullmatch=True).filter(is_keyword_name)
SYMBOLS = NAMES.filter(lambda name: name not in {"true", "false", "nil"}).map(Symbol)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
KEYS = st.one_of(TEXT, NAMES.map(Keyword), st.integers(INT_MIN, INT_MAX))
ATOMS = st.one_of(
    st.none(), st.booleans(), st.integers(INT_MIN, INT_MAX), st.floats(), TEXT, NAMES.map(Keyword), SYMBOLS
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(tuple),
        st.lists(inner, max_size=4).map(List),
        st.dictionaries(KEYS, inner, max_size=4).map(Map),
    ),
    max_leaves=12,
)
FORM_NAMES = st.one_of(
    SYMBOLS.map(lambda symbol: symbol.name),
    SYMBOLS.map(lambda symbol: f"{symbol.name}#"),
    st.sampled_from(["&", "%", "%1", "%&", "resource:ref", "a.b:v1.2/c", "λ", "x#", "type-annotation", "quote", "fn"]),
)
FORM_ATOMS = st.one_of(
    st.one_of(st.none(), st.booleans(), st.integers(INT_MIN, INT_MAX), st.floats(), TEXT, NAMES.map(Keyword)).map(
        lambda value: LiteralForm(value, 0, 0)
    ),
    FORM_NAMES.map(lambda name: SymbolForm(name, 0, 0)),
)
FORMS = st.recursive(
    FORM_ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: ListForm(tuple(items), 0, 0)),
        st.lists(inner, max_size=4).map(lambda items: VectorForm(tuple(items), 0, 0)),
        st.lists(st.tuples(inner.filter(lambda form: form != SymbolForm("?", 0, 0)), inner), max_size=3).map(
            lambda entries: MapForm(tuple(entries), 0, 0)
        ),
    ),
    max_leaves=15,
)
SYNTAX = st.text(st.sampled_from("()[]{}'`~@^#%&:;|\\\"., \n\t-+.0123456789abtruenilxEZT/_<>λé\x00\ud800\ufeff\u00a0"))
PIECES = st.lists(
    st.sampled_from(
        [
            "(",
            ")",
            "[",
            "]",
            "{",
            "}",
            "#(",
            "^{",
            "'",
            "`",
            "~",
            "~@",
            "@",
            ":a",
            "x",
            "1",
            "1.5",
            '"s"',
            " ",
            "\n",
            ";",
            "#|",
            "|#",
            "%",
            "%2",
            "%&",
            "^:delegation",
            ":",
            "x:int",
            "y:",
            "::int",
            "?",
            "x#",
            '"',
            "1a",
            "#{",
            "#_",
            "\n(",
            ":local",
            ":remote",
            ".f",
            "nil",
            "##Inf",
            "&",
            ",",
        ]
    )
).map(" ".join)


def value_of(form: Form) -> Value:
    """What quoting the form gives."""
    match form:
        case LiteralForm(value=value):
            return value
        case SymbolForm(name=name):
            return Symbol(name)
        case ListForm(items=items):
            return List(value_of(item) for item in items)
        case VectorForm(items=items):
            return tuple(value_of(item) for item in items)
        case MapForm(entries=entries):
            return Map((value_of(key), value_of(item)) for key, item in entries)


def identical(left: Value, right: Value) -> bool:
    """Stricter than `=`: NaN is itself, -0.0 is not 0.0, lists are not vectors, entries keep their order."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return (math.isnan(left) and math.isnan(right)) or (
            left == right and math.copysign(1, left) == math.copysign(1, right)
        )
    if isinstance(left, Map):
        return identical(tuple(left.items()), tuple(right.items()))
    if isinstance(left, tuple):
        return len(left) == len(right) and all(map(identical, left, right))
    return bool(left == right)


def shape(form: Form) -> object:
    """The form without its offsets."""
    match form:
        case LiteralForm(value=value):
            return type(value).__name__, repr(value)
        case SymbolForm(name=name):
            return "symbol", name
        case ListForm(items=items) | VectorForm(items=items):
            return type(form).__name__, [shape(item) for item in items]
        case MapForm(entries=entries):
            return "map", [(shape(key), shape(item)) for key, item in entries]


@given(VALUES)
@example(1e22)
@example((5e-324, -0.0, 1.7976931348623157e308))
@example(List((Symbol("-"), Symbol("+a"), -1)))
def test_printed_values_read_back_identical(value: Value) -> None:
    text = to_text(value)
    assert text.isprintable()
    (form,) = read(Source("plan", text))
    assert identical(value_of(form), value)


@given(FORMS)
def test_printed_forms_read_back_the_same(form: Form) -> None:
    text = form_to_text(form)
    assert text.isprintable()
    (again,) = read(Source("plan", text))
    assert shape(again) == shape(form)


@given(VALUES, st.integers(1, 60))
def test_a_bounded_text_is_the_beginning_of_the_whole(value: Value, chars_max: int) -> None:
    whole, cut = to_text(value), to_text(value, chars_max)
    assert cut == (whole if len(whole) <= chars_max else whole[: chars_max - 1] + "…")


def check_read_error(error: ReadError) -> None:
    assert error.code.startswith("read.")
    assert error.span is not None
    assert error.hint
    assert error.render()


@given(st.one_of(st.text(st.characters()), SYNTAX, PIECES))
@examples(500)
def test_any_text_reads_as_forms_that_print_the_same_or_is_a_read_error(text: str) -> None:
    source = Source("plan", text)
    try:
        forms = read(source)
    except ReadError as error:
        check_read_error(error)
        return
    again = read(Source("plan", "\n".join(form_to_text(form) for form in forms)))
    assert [shape(form) for form in again] == [shape(form) for form in forms]
    for form in forms:
        assert 0 <= form.start < form.end <= len(text)
