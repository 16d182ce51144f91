"""The reader: what text becomes, and the code, place and advice of every way it can be wrong."""

from __future__ import annotations

import math

import pytest

from cloister.errors import ReadError
from cloister.lang.forms import Form, ListForm, LiteralForm, MapForm, SymbolForm, VectorForm
from cloister.lang.printer import form_to_text
from cloister.lang.reader import ReadLimits, read
from cloister.lang.source import Source
from cloister.lang.values import Keyword


def forms(text: str, **limits: int) -> tuple[Form, ...]:
    return read(Source("plan", text), ReadLimits(**limits))


def one(text: str) -> Form:
    (form,) = forms(text)
    return form


def error(text: str, **limits: int) -> ReadError:
    with pytest.raises(ReadError) as caught:
        forms(text, **limits)
    return caught.value


LITERALS = [
    ("5", 5),
    ("-5", -5),
    ("+5", 5),
    ("007", 7),
    ("-0", 0),
    ("00", 0),
    ("0" * 5_000 + "1", 1),
    ("9223372036854775807", 2**63 - 1),
    ("-9223372036854775808", -(2**63)),
    ("1.5", 1.5),
    ("-1.5", -1.5),
    ("+1.5", 1.5),
    ("1.5e3", 1500.0),
    ("1.0E-3", 0.001),
    ("##Inf", math.inf),
    ("##-Inf", -math.inf),
    ("nil", None),
    ("true", True),
    ("false", False),
    (":a", Keyword("a")),
    (":a/b", Keyword("a/b")),
    (":a.b", Keyword("a.b")),
    (":a-b?", Keyword("a-b?")),
    (":%x", Keyword("%x")),
    (":com.acme:v1.0/foo", Keyword("com.acme:v1.0/foo")),
    (":>", Keyword(">")),
    ('"a"', "a"),
    ('""', ""),
    ('"a;b"', "a;b"),
    ('"two\nlines"', "two\nlines"),
    (r'"a\nb\tc\rd\"q\" \\"', 'a\nb\tc\rd"q" \\'),
    ('"é\x00"', "é\x00"),
    ("2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z"),
    ("2024-01-02T03:04:05_123Z", "2024-01-02T03:04:05_123Z"),
    ("550e8400-e29b-41d4-a716-446655440000", "550e8400-e29b-41d4-a716-446655440000"),
    ("abcde400-e29b-41d4-a716-446655440000", "abcde400-e29b-41d4-a716-446655440000"),
    ("resource://abc/def?x=1", "resource://abc/def?x=1"),
]


@pytest.mark.parametrize(("text", "value"), LITERALS)
def test_a_literal_reads_as_its_value(text: str, value: object) -> None:
    form = one(text)
    assert isinstance(form, LiteralForm)
    assert (type(form.value), form.value) == (type(value), value)
    assert (form.start, form.end) == (0, len(text))


def test_nan_reads_as_nan() -> None:
    form = one("##NaN")
    assert isinstance(form, LiteralForm)
    assert isinstance(form.value, float)
    assert math.isnan(form.value)


@pytest.mark.parametrize(
    "name",
    [
        "x",
        "trueish",
        "false-positive",
        "nilx",
        "nil?",
        "--5",
        "->x",
        "*x*",
        "a/b",
        "a.b.c/name",
        "x@y",
        "λ",
        "_",
        "&",
        "%&",
        "%",
        "%2",
        "%params",
        "com.acme:v1.0/foo",
        ".method",
        "resource:ref",
        "-",
        "Exception.",
        "string?",
        "a1",
        "x#",
        "a/b#",
        "-a",
    ],
)
def test_a_name_reads_as_one_symbol(name: str) -> None:
    assert one(name) == SymbolForm(name, 0, len(name))


SUGAR = [
    ("'x", "(quote x)"),
    ("'(1 2)", "(quote (1 2))"),
    ("''x", "(quote (quote x))"),
    ("`(a ~b ~@c)", "(quasiquote (a (unquote b) (unquote-splicing c)))"),
    ("#(+ % 1)", "(fn [%1] (+ %1 1))"),
    ("#(+ %1 %3)", "(fn [%1 %2 %3] (+ %1 %3))"),
    ("#(f %2 %)", "(fn [%1 %2] (f %2 %1))"),
    ("#(f)", "(fn [] (f))"),
    ("#(f [%] {:k %2})", "(fn [%1 %2] (f [%1] {:k %2}))"),
    ("#(apply + % %&)", "(fn [%1 & %&] (apply + %1 %&))"),
    ("#(f %name)", "(fn [] (f %name))"),
    ("#(.inc %)", "(fn [%1] (inc %1))"),
    ("[#(a %) #(b)]", "[(fn [%1] (a %1)) (fn [] (b))]"),
    ("@region", '(context-value "region")'),
    ("@:region", "region"),
    ("(.getMessage e)", "(getMessage e)"),
    ("(.- 5)", "(- 5)"),
    ("(.f a b)", "(f a b)"),
    ("^{:a 1} [x]", "(with-meta {:a 1} [x])"),
    ("(defn ^{:a 1} f [x] x)", "(defn (with-meta {:a 1} f) [x] x)"),
    ("(fn ^:delegation :local [x] x)", "(fn (with-meta {:delegation :local} [x]) x)"),
    ('^:delegation :remote "m" f', '(with-meta {:delegation [:remote "m"]} f)'),
    ("'^{:a 1} x", "(quote (with-meta {:a 1} x))"),
    ('(resource:ref "s")', '(resource:ref "s")'),
]


@pytest.mark.parametrize(("text", "plain"), SUGAR)
def test_sugar_becomes_plain_lists(text: str, plain: str) -> None:
    assert form_to_text(one(text)) == plain


ANNOTATIONS = [
    ("[x :int 5]", "[x :int 5]"),
    ("[x:int 5]", "[x (type-annotation :int) 5]"),
    ("[x ::int 5]", "[x (type-annotation :int) 5]"),
    ("[x::int 5]", "[x (type-annotation :int) 5]"),
    ("[x : int 5]", "[x (type-annotation int) 5]"),
    ("[x: int 5]", "[x (type-annotation int) 5]"),
    ("[x : :int 5]", "[x (type-annotation :int) 5]"),
    ("[x :[:vector :int] v]", "[x (type-annotation [:vector :int]) v]"),
    ("[x:[:vector :int] v]", "[x (type-annotation [:vector :int]) v]"),
    ("[x : [:vector :int] v]", "[x (type-annotation [:vector :int]) v]"),
    ("[x :[:vector :int]? v]", "[x (type-annotation [:vector :int]) ? v]"),
    ("[x : int ? v]", "[x (type-annotation int) ? v]"),
    ("[x:int? v]", "[x (type-annotation :int?) v]"),
    ("[[a b]:int c]", "[[a b] :int c]"),
    ("[& xs:int]", "[& xs (type-annotation :int)]"),
]


@pytest.mark.parametrize(("text", "plain"), ANNOTATIONS)
def test_a_colon_before_a_type_becomes_a_type_annotation(text: str, plain: str) -> None:
    assert form_to_text(one(text)) == plain


@pytest.mark.parametrize("name", ["my/Type", "com.acme:v1.0/Type"])
def test_a_type_follows_its_name_directly(name: str) -> None:
    text = f"x:{name}"
    head = SymbolForm("type-annotation", 1, 2)
    kind = LiteralForm(Keyword(name), 1, len(text))
    assert forms(text) == (SymbolForm("x", 0, 1), ListForm((head, kind), 1, len(text)))


def test_a_versioned_name_stays_one_name() -> None:
    assert form_to_text(one("[com.acme:v1.2/item:int]")) == "[com.acme:v1.2/item (type-annotation :int)]"


OPTIONAL = [
    ("{:a :int ?}", "{:a (type-optional :int)}"),
    ("{:a [:vector :int]? :b :int ?}", "{:a (type-optional [:vector :int]) :b (type-optional :int)}"),
    ("{:a ? :b 1}", "{:a ? :b 1}"),
    ("{? :a}", "{? :a}"),
]


@pytest.mark.parametrize(("text", "plain"), OPTIONAL)
def test_a_question_mark_after_the_type_of_a_field_belongs_to_the_type(text: str, plain: str) -> None:
    assert form_to_text(one(text)) == plain


LAYOUT = [
    ("[1, 2,3]", "[1 2 3]"),
    ("{:a 1, :b 2}", "{:a 1 :b 2}"),
    ("(a;comment\nb)", "(a b)"),
    ("#| (( |# 2", "2"),
    ("(a #| b |#c)", "(a c)"),
    ("1;end", "1"),
    ("\ufeff5", "5"),
    ("#| a #| b |# c", "c"),
    ("#|||# 1", "1"),
    ("( )", "()"),
    ("(f resource://a/b)", '(f "resource://a/b")'),
    ("[resource://a]", '["resource://a"]'),
    ("{:a 1 :a 2}", "{:a 1 :a 2}"),
    ('{1 2 "x" 3 :k 4}', '{1 2 "x" 3 :k 4}'),
    ('(f"x"y)', '(f "x" y)'),
    ("\r\n\t a", "a"),
]


@pytest.mark.parametrize(("text", "plain"), LAYOUT)
def test_blanks_commas_and_comments_only_separate(text: str, plain: str) -> None:
    assert form_to_text(one(text)) == plain


@pytest.mark.parametrize("text", ["", "  \n", "; only a comment", ",,", "#| x |#"])
def test_a_text_without_forms_reads_as_none(text: str) -> None:
    assert forms(text) == ()


def test_several_forms_read_in_order() -> None:
    assert [form_to_text(form) for form in forms("(+ 1 2)(+ 3 4) x")] == ["(+ 1 2)", "(+ 3 4)", "x"]


def test_every_form_knows_its_place() -> None:
    form = one("(f [x 12]\n {:k 'y})")
    assert isinstance(form, ListForm)
    head, vector, mapping = form.items
    assert isinstance(vector, VectorForm)
    assert isinstance(mapping, MapForm)
    quoted_form = mapping.entries[0][1]
    places = [(each.start, each.end) for each in (form, head, vector, *vector.items, mapping, quoted_form)]
    assert places == [(0, 19), (1, 2), (3, 9), (4, 5), (6, 8), (11, 18), (15, 17)]


ERRORS = [
    # text, code, line, column, end column, a word of the hint
    ("(a", "read.unclosed", 1, 1, 2, "`)`"),
    ("(a [b", "read.unclosed", 1, 4, 5, "`]`"),
    ("\n #(x", "read.unclosed", 2, 2, 4, "`)`"),
    ("{:a 1", "read.unclosed", 1, 1, 2, "`}`"),
    ('(f "abc)', "read.unclosed", 1, 4, 5, 'with "'),
    ('"a\\', "read.unclosed", 1, 1, 2, 'with "'),
    ("1 #| a", "read.unclosed", 1, 3, 5, "|#"),
    ("a)", "read.unexpected-close", 1, 2, 3, "remove"),
    ("]", "read.unexpected-close", 1, 1, 2, "remove"),
    ("(a [b)", "read.mismatched", 1, 6, 7, "`]`"),
    ("[1}", "read.mismatched", 1, 3, 4, "`]`"),
    ("#(a]", "read.mismatched", 1, 4, 5, "`)`"),
    (r'"a\qb"', "read.escape", 1, 3, 5, r"\n"),
    (r'"\u0041"', "read.escape", 1, 2, 4, r"\n"),
    ('"\\\n"', "read.escape", 1, 2, 1, r"\n"),
    ("9223372036854775808", "read.number", 1, 1, 20, "float"),
    ("-9223372036854775809", "read.number", 1, 1, 21, "float"),
    ("1" * 5_000, "read.number", 1, 1, 5_001, "float"),
    ("1.0e999", "read.number", 1, 1, 8, "##Inf"),
    ("1a", "read.number", 1, 1, 3, "decimal"),
    ("0x10", "read.number", 1, 1, 5, "decimal"),
    ("1_000", "read.number", 1, 1, 6, "decimal"),
    ("1e3", "read.number", 1, 1, 4, "1.0e3"),
    (".5", "read.number", 1, 1, 3, "0.5"),
    ("1.", "read.number", 1, 1, 3, "1.0"),
    ("1/2", "read.number", 1, 1, 4, "(/ 1 2)"),
    ("1.5.5", "read.number", 1, 1, 6, "decimal"),
    ("-5x", "read.number", 1, 1, 4, "decimal"),
    ("2024-01-02T03:04:05Zx", "read.number", 1, 1, 22, "decimal"),
    ("550e8400-e29b-41d4-a716-4466554400001", "read.number", 1, 1, 38, "decimal"),
    ("##Foo", "read.number", 1, 1, 6, "##NaN"),
    (":1", "read.keyword", 1, 1, 3, "letter"),
    ("::1", "read.keyword", 1, 1, 4, "one colon"),
    ("(: )", "read.prefix", 1, 2, 3, "after it"),
    (":", "read.prefix", 1, 1, 2, "one colon"),
    (":a:b", "read.keyword", 1, 1, 5, "letter"),
    ("a:b:c", "read.symbol", 1, 1, 6, "name:v1.2/item"),
    ("..", "read.symbol", 1, 1, 3, "dot"),
    ("{:a}", "read.map-odd", 1, 2, 4, "alternate"),
    ("{:a 1 :b}", "read.map-odd", 1, 7, 9, "alternate"),
    ("'", "read.prefix", 1, 1, 2, "after it"),
    ("(')", "read.prefix", 1, 2, 3, "after it"),
    ("[~@]", "read.prefix", 1, 2, 4, "after it"),
    ("^{:a 1}", "read.prefix", 1, 1, 2, "after it"),
    ("^x", "read.metadata", 1, 1, 3, "^{:key value}"),
    ("^:foo 5", "read.metadata", 1, 1, 6, ":delegation"),
    ("^:delegation :elsewhere x", "read.metadata", 1, 1, 24, ":delegation"),
    ("^:delegation :remote x y", "read.metadata", 1, 1, 23, ":delegation"),
    ("#(#(a))", "read.anonymous-function", 1, 3, 5, "(fn [x]"),
    ("#(f %0)", "read.anonymous-function", 1, 5, 7, "(fn [a b]"),
    ("#(f %21)", "read.anonymous-function", 1, 5, 8, "(fn [a b]"),
    ("#(f %" + "9" * 5_000 + ")", "read.anonymous-function", 1, 5, 5_006, "(fn [a b]"),
    ("(.x)", "read.method", 1, 2, 4, "target"),
    ("@", "read.context", 1, 1, 2, "@region"),
    ("@1", "read.context", 1, 1, 3, "@region"),
    ("x'", "read.character", 1, 2, 3, "before"),
    ("x#y", "read.character", 1, 2, 3, "#( )"),
    ("a&b", "read.character", 1, 2, 3, "alone"),
    ("é", "read.character", 1, 1, 2, "ASCII"),
    ("a\x00b", "read.character", 1, 2, 3, "ASCII"),
    ("“a”", "read.character", 1, 1, 2, "straight"),
    ("a\u00a0b", "read.character", 1, 2, 3, "no-break"),
    ("\\a", "read.character", 1, 1, 3, "string"),
    ("#{1}", "read.character", 1, 1, 3, "distinct"),
    ("#_ 1", "read.character", 1, 1, 3, ";"),
    ('#"a"', "read.character", 1, 1, 3, "string"),
    ("|", "read.character", 1, 1, 2, "#|"),
    ('"\ud800"', "read.character", 1, 2, 3, "UTF-8"),
]


@pytest.mark.parametrize(("text", "code", "line", "column", "end_column", "hint"), ERRORS)
def test_wrong_text_is_refused_with_code_place_and_advice(
    text: str, code: str, line: int, column: int, end_column: int, hint: str
) -> None:
    wrong = error(text)
    assert wrong.code == code
    assert wrong.span is not None
    assert (wrong.span.line, wrong.span.column, wrong.span.end_column) == (line, column, end_column)
    assert hint in (wrong.hint or "")
    assert wrong.message.isprintable()
    assert wrong.render()


def test_nesting_is_refused_only_beyond_the_limit() -> None:
    assert form_to_text(one("(" * 200 + ")" * 200)) == "(" * 200 + ")" * 200
    wrong = error("(" * 201 + ")" * 201)
    assert wrong.code == "read.depth"
    assert wrong.span is not None
    assert wrong.span.column == 201


def test_prefixes_count_as_nesting() -> None:
    assert forms("'" * 200 + "x")
    assert error("'" * 201 + "x").code == "read.depth"


def test_text_is_refused_only_beyond_the_size_limit() -> None:
    assert forms("x" * 10, text_chars=10)
    wrong = error("x" * 11, text_chars=10)
    assert wrong.code == "read.size"
    assert wrong.message == "the text has 11 characters; at most 10 are read"


@pytest.mark.parametrize("text", ["(", "'", "\\", '"\\', "#|", "1", "a#", ":", "\x00", ")", "#", "^{", "@a"])
def test_ten_million_characters_of_nonsense_are_only_a_read_error(text: str) -> None:
    assert error(text * (10_000_000 // len(text)) + "#", text_chars=20_000_000).code.startswith("read.")


def test_the_message_of_an_unclosed_delimiter_counts_those_around_it() -> None:
    assert error("(a (b [c").message == "`[` is never closed; 2 more around it are open too"


def test_the_message_of_a_mismatch_names_the_opener() -> None:
    assert error("(a\n [b)").message == "`)` cannot close `[` of line 2, column 2"


class TestSource:
    def test_a_span_counts_lines_and_columns_from_one(self) -> None:
        span = Source("plan.rtfs", "ab\r\ncd\nef").span(5, 8)
        assert (span.line, span.column, span.end_line, span.end_column) == (2, 2, 3, 2)
        assert span.text == "cd"
        assert str(span) == "plan.rtfs:2:2"

    def test_the_line_text_has_no_line_break(self) -> None:
        assert Source("plan", "ab\r\ncd").span(0, 1).text == "ab"

    def test_offsets_outside_the_text_are_clamped(self) -> None:
        span = Source("plan", "ab").span(-5, 99)
        assert (span.line, span.column, span.end_line, span.end_column) == (1, 1, 1, 3)

    def test_an_empty_text_has_one_empty_line(self) -> None:
        span = Source("plan", "").span(0, 0)
        assert (span.line, span.column, span.text) == (1, 1, "")

    def test_the_place_after_a_last_line_break_is_a_new_line(self) -> None:
        assert Source("plan", "a\n").span(2, 2).line == 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"\u{41}"', "A"),
        (r'"\u{0}\u{1b}[0m"', "\0\x1b[0m"),
        (r'"\u{10FFFF}\u{00e9}"', "\U0010ffffé"),
        (r'"\\u{41}"', r"\u{41}"),
    ],
)
def test_a_character_can_be_written_by_its_number(text: str, value: str) -> None:
    (form,) = read(Source("plan", text))
    assert isinstance(form, LiteralForm)
    assert form.value == value


@pytest.mark.parametrize(
    "escape", [r"\u{}", r"\u{110000}", r"\u{D800}", r"\u{dfff}", r"\u{1234567}", r"\u{g}", r"\u41"]
)
def test_a_number_of_no_character_is_refused(escape: str) -> None:
    with pytest.raises(ReadError) as caught:
        read(Source("plan", f'"{escape}"'))
    assert caught.value.code == "read.escape"
    assert "HEX" in (caught.value.hint or "")


@pytest.mark.parametrize("text", ["(f 'a.txt')", "(f '/tmp/a')", "(f '1.txt')", "(f 'two words')", "(f 'a:b')"])
def test_text_in_single_quotes_is_told_to_use_double_ones(text: str) -> None:
    with pytest.raises(ReadError) as caught:
        read(Source("plan", text))
    assert "double quotes" in (caught.value.hint or "")


def test_a_quoted_name_is_no_text() -> None:
    assert len(read(Source("plan", "'a.txt '(a b)"))) == 2
