"""Types: reading and writing, what relations promise, and what the static checker may say of a program."""

from __future__ import annotations

from hypothesis import assume, example, given
from hypothesis import strategies as st

from cloister.errors import CloisterError
from cloister.lang.host import PureHost
from cloister.lang.program import Program, program_sha256, run_program
from cloister.lang.reader import read
from cloister.lang.resolver import Resolver
from cloister.lang.source import Source
from cloister.lang.types.check import accepts
from cloister.lang.types.expression import (
    PRIMITIVES,
    Array,
    Entry,
    Enum,
    Exactly,
    Function,
    Intersection,
    Kind,
    Literal,
    MapOf,
    Predicate,
    Record,
    Refinement,
    Tuple,
    Type,
    Union,
    Vector,
    optional,
)
from cloister.lang.types.parse import parse_type_text
from cloister.lang.types.problem import find_problem
from cloister.lang.types.relations import is_disjoint, is_subtype, join
from cloister.lang.types.signatures import SIGNATURES
from cloister.lang.types.static import check_types
from cloister.lang.types.text import type_text
from cloister.lang.values import Keyword, List, Map
from cloister.limits import ResourceLimits

NAMES = st.sampled_from(["a", "b", "key", "x-1"])
ATOMS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from([0.0, 1.5, -2.0]), st.sampled_from(["", "a", "ab"]),
    NAMES.map(Keyword),
)  # fmt: skip
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple),
        st.lists(inner, max_size=3).map(List),
        st.dictionaries(st.one_of(NAMES.map(Keyword), NAMES), inner, max_size=3).map(Map),
    ),
    max_leaves=6,
)
LITERALS = ATOMS.map(Exactly)
PREDICATES = st.one_of(
    st.tuples(st.sampled_from([">", "<", ">=", "<="]), st.sampled_from([Exactly(0), Exactly(1.5)])).map(
        lambda parts: Predicate(parts[0], parts[1:])
    ),
    st.tuples(st.sampled_from(["min-length", "length", "count", "max-count"]), st.just(Exactly(1))).map(
        lambda parts: Predicate(parts[0], parts[1:])
    ),
    st.sampled_from([Predicate("non-empty"), Predicate("is-url"), Predicate("has-key", (Exactly(Keyword("a")),))]),
)


def _compound(inner: st.SearchStrategy[Type]) -> st.SearchStrategy[Type]:
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    entry = st.builds(Entry, NAMES, inner, st.booleans()).filter(
        lambda entry: entry.optional or not _is_open(entry.type)
    )
    return st.one_of(
        inner.map(optional),
        inner.map(Vector),
        st.lists(inner, min_size=1, max_size=3).map(tuple).map(Tuple),
        st.builds(Array, inner, st.lists(st.one_of(st.none(), st.integers(0, 2)), max_size=2).map(tuple)),
        st.lists(entry, max_size=3, unique_by=lambda entry: entry.key).map(tuple).map(Record),
        st.builds(MapOf, inner, inner),
        st.builds(Function, st.lists(inner, max_size=2).map(tuple), st.one_of(st.none(), inner), inner),
        several.map(Union),
        several.map(Intersection),
        st.lists(LITERALS, min_size=1, max_size=3).map(tuple).map(Enum),
        LITERALS.map(Literal),
        st.builds(Refinement, inner.filter(lambda each: not isinstance(each, (Intersection, Refinement))),
                  st.lists(PREDICATES, min_size=1, max_size=2).map(tuple)),
    )  # fmt: skip


def _is_open(type_: Type) -> bool:
    """Say whether the type is written with a `?`, which makes a field optional."""
    return type_text(type_).endswith("?")


TYPES = st.recursive(st.sampled_from(list(PRIMITIVES.values())), _compound, max_leaves=5)


@given(TYPES)
def test_reading_what_was_written_gives_the_same_type(type_: Type) -> None:
    text = type_text(type_)
    read_back = parse_type_text(text)
    assert type_text(read_back) == text
    assert parse_type_text(f":{text}" if text.startswith("[") else text) == read_back


@given(TYPES, VALUES)
def test_a_value_has_a_type_or_a_problem(type_: Type, value: object) -> None:
    problem = find_problem(value, type_)
    assert (problem is None) == accepts(type_, value)


@given(TYPES, VALUES)
def test_a_type_means_the_same_after_reading(type_: Type, value: object) -> None:
    assert accepts(parse_type_text(type_text(type_)), value) == accepts(type_, value)


@example(parse_type_text("[:val false]"), optional(parse_type_text("[:and :any [:min-length 1]]")), None)
@given(TYPES, TYPES, VALUES)
def test_relations_keep_their_promises(left: Type, right: Type, value: object) -> None:
    in_left, in_right = accepts(left, value), accepts(right, value)
    if is_subtype(left, right):
        assert in_right or not in_left
    if is_disjoint(left, right):
        assert not (in_left and in_right)
    if in_left or in_right:
        assert accepts(join(left, right), value)
    assert is_disjoint(left, right) == is_disjoint(right, left)


@given(TYPES)
def test_a_type_is_below_itself_and_a_union_in_any_order(type_: Type) -> None:
    assert is_subtype(type_, type_)
    several = Union((type_, PRIMITIVES[Kind.SYMBOL], PRIMITIVES[Kind.NIL]))
    assert is_subtype(several, Union(tuple(reversed(several.members))))


# Programs

WORDS = st.sampled_from(
    ["nil", "true", "false", "0", "1", "2.5", '""', '"a"', ":a", "[]", "[1 2]", '["a"]', "{}", "{:a 1}", "inc", "str",
     "p", "q", "(identity 1)", '(identity "a")', "(f 1)", "(g)"]
)  # fmt: skip
ANNOTATIONS = st.sampled_from(
    [":int", ":string?", ":[:vector :int]", ":[:map [:a :int]]", ":[:union :int :string]", ":[:tuple :int :int]", ":P"]
)
BUILTIN_NAMES = st.sampled_from(
    [
        "+",
        "<",
        "inc",
        "dec",
        "str",
        "count",
        "first",
        "get",
        "string-upper",
        "map",
        "not",
        "=",
        "nil?",
        "keys",
        "conj",
        "apply",
    ]
)


SHAPES = (
    "({b} {} {})", "({b} {})", "(let [p {}] {})", "(let [q {a} {}] {})", "(let [[p q] {}] {})",
    "(let [{{:keys [p]}} {}] {})", "(if {} {} {})", "(and {} {})", "(or {} {})", "(do {} {})", "(try {} (catch e {}))",
    "(try {} (catch TypeError e {}) (finally {}))", "(do (defn f [p {a}] {}) (f {}))",
    "(do (defn f [p] {a} {}) (f {}))",
    "(do (defn g [] {}) {})", "((fn [p & q] {}) {})", "(map (fn [p] {}) {})",
    "(loop [p {}] (if (nil? p) {} (recur nil)))",
    "(for [p {}] {})", "(dotimes [p {}] {})", "(match {} 1 {} _ {})", "(match {} (:int p) {} [:vector :int] {} _ nil)",
    "(:a {})", "(P {})", "[{} {}]", "{{:a {}}}", "({} {})", "(throw {})", '(step "s" {})', "(cond {} {} :else {})",
)  # fmt: skip


@st.composite
def forms(draw: st.DrawFn, depth: int = 4) -> str:
    """Draw a form of which nobody knows whether it makes sense."""
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return draw(WORDS)
    shape = draw(st.sampled_from(SHAPES))
    inner = [draw(forms(depth - 1)) for _ in range(shape.count("{}"))]
    return shape.format(*inner, a=draw(ANNOTATIONS), b=draw(BUILTIN_NAMES))


PROGRAMS = forms().map(
    lambda body: f"(def p 1) (def q [1]) (defstruct P :a :int) (defn f [x] (inc x)) (defn g [] 1) {body}"
)


def unchecked(text: str) -> Program:
    """Return a program that was not looked at by the static checker."""
    source = Source("generated", text)
    resolver = Resolver(source, frozenset())
    node = resolver.program(read(source))
    assume(not resolver.errors)
    return Program(
        name="generated",
        source=source,
        sha256=program_sha256(text, ()),
        inputs=frozenset(),
        core=node,
        effects=(),
        steps=(),
    )


def failure_of(program: Program) -> CloisterError | None:
    try:
        run_program(program, PureHost(), ResourceLimits(steps_count=100_000), {})
    except CloisterError as error:
        return error
    return None


@given(PROGRAMS)
def test_a_program_that_runs_is_never_refused(text: str) -> None:
    program = unchecked(text)
    if check_types(program.core).errors:
        assert failure_of(program) is not None


CONSTANTS = st.sampled_from(
    [
        "nil",
        "true",
        "0",
        "1",
        "2.5",
        '""',
        '"a"',
        ":a",
        "[]",
        "[1 2]",
        '["a"]',
        "{}",
        "{:a 1}",
        '{:a "x"}',
        '{"a" 1}',
        "inc",
    ]
)
OPERATIONS = st.one_of(
    st.tuples(st.sampled_from(sorted(SIGNATURES)), st.lists(CONSTANTS, max_size=3)).map(
        lambda parts: f"({parts[0]} {' '.join(parts[1])})"
    ),
    st.tuples(ANNOTATIONS, CONSTANTS).map(lambda parts: f"(let [x {parts[0]} {parts[1]}] x)"),
    st.tuples(ANNOTATIONS, CONSTANTS).map(lambda parts: f"(do (defn f [x {parts[0]}] x) (f {parts[1]}))"),
    st.tuples(ANNOTATIONS, CONSTANTS).map(lambda parts: f"(do (defn f [x] {parts[0]} x) (f {parts[1]}))"),
    st.tuples(CONSTANTS, CONSTANTS).map(lambda parts: f"({parts[0]} {parts[1]})"),
    st.tuples(CONSTANTS, CONSTANTS).map(lambda parts: f"(let [f {parts[0]}] (f {parts[1]}))"),
    CONSTANTS.map(lambda value: f"(let [[a b] {value}] a)"),
    CONSTANTS.map(lambda value: f"(let [{{:keys [a]}} {value}] a)"),
    CONSTANTS.map(lambda value: f"(for [x {value}] x)"),
    CONSTANTS.map(lambda value: f"(dotimes [i {value}] i)"),
    CONSTANTS.map(lambda value: f"(P {value})"),
).map(lambda body: f"(defstruct P :a :int) {body}")


@given(OPERATIONS)
def test_an_operation_that_is_refused_fails_with_that_kind(text: str) -> None:
    program = unchecked(text)
    errors, failure = check_types(program.core).errors, failure_of(program)
    if errors:
        assert failure is not None
        assert failure.kind in {each.kind for each in errors}
