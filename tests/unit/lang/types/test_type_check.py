"""Which values have which type."""

from __future__ import annotations

import pytest

from cloister.errors import LimitExceeded
from cloister.lang.stdlib.budget import Budget, install, uninstall
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.types.check import accepts
from cloister.lang.types.expression import Declaration, Named
from cloister.lang.types.parse import parse_type_text
from cloister.lang.types.predicates import is_email, is_url
from cloister.lang.types.problem import find_problem, problem
from cloister.lang.values import Keyword, List, Map, Symbol, Value
from cloister.limits import ResourceLimits

A, B = Keyword("a"), Keyword("b")

TABLE: list[tuple[str, tuple[Value, ...], tuple[Value, ...]]] = [
    (":int", (0, -5), (True, 1.0, "1", None)),
    (":float", (1.5, 1), (True, "1", None)),
    (":bool", (True, False), (0, None)),
    (":nil", (None,), (False, ())),
    (":keyword", (A,), ("a", Symbol("a"))),
    (":symbol", (Symbol("a"),), (A,)),
    (":vector", ((), (1,), List((1,))), (Map(), "a", None)),
    (":map", (Map(),), ((), None)),
    (":fn", (BUILTINS["inc"], len), (A, 1)),
    (":any", (None, 1, ()), ()),
    (":never", (), (None, 1)),
    (":int?", (None, 1), ("a",)),
    ("[:vector :int]", ((), (1, 2), List((1,))), ((1, "a"), None, Map())),
    ("[:tuple :int :string]", ((1, "a"),), ((1,), (1, "a", 2), ("a", 1))),
    ("[:array :int [2 ?]]", (((1,), (2, 3)), ((), ())), (((1,),), (1, 2), (("a",), ()))),
    ("[:array :int]", ((), (1,)), (("a",), 1)),
    ("[:map [:a :int]]", (Map({A: 1}), Map({A: 1, B: 2}), Map({"a": 1})), (Map(), Map({A: "x"}), Map({"a": "x"}))),
    ("[:map [:a :int ?]]", (Map(), Map({A: 1})), (Map({A: None}), Map({A: "x"}))),
    ("[:map {:a :int?}]", (Map(), Map({A: None}), Map({A: 1})), (Map({A: "x"}),)),
    ("[:map-of :string :int]", (Map(), Map({"x": 1})), (Map({A: 1}), Map({"x": None}))),
    ("[:union :int :string]", (1, "a"), (None, 1.5)),
    ("[:union [:map [:a :int]] [:map [:b :int]]]", (Map({A: 1}), Map({B: 1})), (Map(), Map({A: "x"}), 1)),
    ("[:and [:map [:a :int]] [:map [:b :int]]]", (Map({A: 1, B: 1}),), (Map({A: 1}),)),
    ("[:enum 1 :a nil]", (1, A, None), (1.0, True, "a", B)),
    ("[:enum [1 :a]]", ((1, A), List((1, A))), ((1,), (1.0, A))),
    ("[:val 1.0]", (1.0,), (1,)),
    ("[:resource file]", (), (1, "file")),
    ("[:fn [:int] :int]", (BUILTINS["inc"],), (1,)),
    ("[:and :number [:> 0]]", (1,), (0, 0.5)),
    ("[:and :number [:> 0.0]]", (1, 0.5), (0, -1.5)),
    ("[:and :number [:>= 1] [:< 3]]", (1, 2), (0, 3)),
    ("[:and :number [:<= 1.5]]", (1, 1.5), (2,)),
    ("[:and :any [:in-range 1 3]]", (1, 3), (0, 4, 2.0, "2", True)),
    ("[:and :any [:= 1]]", (1,), (1.0, True)),
    ("[:and :any [:!= nil]]", (1, ()), (None,)),
    ("[:and :any [:min-length 2]]", ("éa",), ("é", (1, 2), 5)),
    ("[:and :any [:max-length 1]]", ("é", ""), ("ab", ())),
    ("[:and :any [:length 1]]", ("é",), ("", "ab")),
    ("[:and :any [:min-count 1] [:max-count 2]]", ((1,), Map({A: 1})), ((), "a", (1, 2, 3))),
    ("[:and :any [:count 0]]", ((), Map()), ("", (1,))),
    ("[:and :any [:non-empty]]", ("a", (1,), Map({A: 1})), ("", (), Map(), 5)),
    ("[:and :any [:has-key :a]]", (Map({A: None}),), (Map({"a": 1}), 5)),
    ("[:and :any [:required-keys [:a :b]]]", (Map({A: 1, B: 1}),), (Map({A: 1}),)),
    ('[:and :any [:matches-regex "b+"]]', ("abbc",), ("ac", 5)),
    ("[:and :any [:is-url]]", ("https://a.b/c",), ("ftp://a", 5)),
    ("[:and :any [:is-email]]", ("a@b.co",), ("a@b", 5)),
]


@pytest.mark.parametrize(("text", "good", "bad"), TABLE, ids=[text for text, _, _ in TABLE])
def test_values_of_a_type(text: str, good: tuple[Value, ...], bad: tuple[Value, ...]) -> None:
    type_ = parse_type_text(text)
    for value in good:
        assert accepts(type_, value), value
        assert find_problem(value, type_) is None
    for value in bad:
        assert not accepts(type_, value), value
        assert find_problem(value, type_) is not None


@pytest.mark.parametrize(
    ("text", "value", "words"),
    [
        (":int", "a", 'expected :int, got "a" (string)'),
        ("[:vector [:map [:a :int]]]", (Map({A: 1}), Map({A: None})), "at [1].a: expected :int, got nil"),
        ("[:map [:a :int]]", Map(), "at .a: expected :int, got nothing"),
        ("[:tuple :int :int]", (1,), "expected 2 elements, got 1"),
        ("[:map-of :int :int]", Map({A: 1}), "expected keys of type :int, got :a (keyword)"),
        ("[:and :int [:> 0]]", 0, "expected [:> 0], got 0 (integer)"),
        ("[:union :int [:vector :int]]", (1, "a"), 'at [1]: expected :int, got "a" (string)'),
        ("[:union :int :string]", (), "expected [:union :int :string], got vector"),
    ],
)
def test_problems_say_where_and_what(text: str, value: Value, words: str) -> None:
    assert problem(value, parse_type_text(text)) == words


def test_a_message_is_bounded() -> None:
    deep: Value = "x"
    for _ in range(50):
        deep = (deep,)
    tree = Declaration("Tree")
    tree.type = parse_type_text("[:union :int [:vector Tree]]", {"Tree": tree}.get)
    assert len(str(problem(deep, Named(tree)))) < 300
    assert len(str(problem("y" * 10_000, parse_type_text("[:enum " + ":abc " * 500 + "]")))) < 300


def test_shared_parts_are_checked_once() -> None:
    tree = Declaration("Tree")
    tree.type = parse_type_text("[:union :int [:vector Tree]]", {"Tree": tree}.get)
    shared: Value = 1
    for _ in range(200):
        shared = (shared, shared)  # 2 to the 200 leaves when written out
    assert accepts(Named(tree), shared)


def test_unions_that_only_parts_tell_apart_do_not_multiply() -> None:
    node = Declaration("Node")
    members = "[:map [:next Node] [:x :int]] [:map [:next Node]] :nil"
    node.type = parse_type_text(f"[:union {members}]", {"Node": node}.get)
    chain: Value = None
    for _ in range(60):
        chain = Map({Keyword("next"): chain})
    assert accepts(Named(node), chain)
    for _ in range(10):
        chain = Map({Keyword("next"): chain})
    with pytest.raises(LimitExceeded):
        accepts(Named(node), chain)


def test_checking_is_charged() -> None:
    numbers = tuple(range(1_000))
    token = install(Budget(ResourceLimits(steps_count=1_500)))
    try:
        assert accepts(parse_type_text("[:vector :int]"), numbers)
        with pytest.raises(LimitExceeded):
            accepts(parse_type_text("[:vector :int]"), numbers)
    finally:
        uninstall(token)


@pytest.mark.parametrize("text", ["http://a", "https://example.org/x?y=z", "http://localhost:80"])
def test_urls(text: str) -> None:
    assert is_url(text)


@pytest.mark.parametrize("text", ["", "http://", "http:///x", "https://a b", "mailto:a@b.c", "HTTP//a", "http://a\n"])
def test_not_urls(text: str) -> None:
    assert not is_url(text)


@pytest.mark.parametrize("text", ["a@b.co", "first.last+tag@mail.example.org"])
def test_emails(text: str) -> None:
    assert is_email(text)


@pytest.mark.parametrize("text", ["", "@b.co", "a@", "a@b", "a@b.", "a@.b", "a@b..c", "a b@c.d", "a@b@c.d", "a@b.c\n"])
def test_not_emails(text: str) -> None:
    assert not is_email(text)
