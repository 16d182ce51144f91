"""Types as text: every way to write one, and what is said about text that is none."""

from __future__ import annotations

import pytest

from cloister.errors import CloisterError, CompileError
from cloister.lang.types.expression import PRIMITIVES, Declaration, Kind, Named, Optional
from cloister.lang.types.parse import MEMBERS_MAX, parse_type_text
from cloister.lang.types.text import type_text

WRITTEN = {
    ":int": ":int",
    "int": ":int",
    ":Int": ":int",
    ":integer": ":int",
    "Boolean": ":bool",
    ":list": ":vector",
    ":fn": ":function",
    "nil": ":nil",
    "string?": ":string?",
    ":int ?": ":int?",
    ":any?": ":any",
    ":[:vector :int]": "[:vector :int]",
    "[:vector :int]?": "[:vector :int] ?",
    "[:vector :int ?]": "[:vector :int?]",
    "[:tuple :int (or :string :nil)]": "[:tuple :int [:union :string :nil]]",
    "[:array :int]": "[:array :int]",
    "[:array :float [2 ?]]": "[:array :float [2 ?]]",
    "[:record {:a :int :b :string?} [:c :bool ?] [:* :any]]": "[:map [:a :int] [:b :string?] [:c :bool ?] [:* :any]]",
    "[:map {:a [:vector :int]?}]": "[:map [:a [:vector :int] ?]]",
    "[:map {:a :int ?}]": "[:map [:a :int ?]]",
    "[:dict :string :int]": "[:map-of :string :int]",
    "[:=> [:int & :string] :any]": "[:fn [:int & :string] :any]",
    "[:or :int :string]": "[:union :int :string]",
    "(or int string)": "[:union :int :string]",
    "(and :int [:> 0])": "[:and :int [:> 0]]",
    "[:and :int :number]": "[:and :int :number]",
    "[:and :int [:>= 0] [:<= 10] [:!= 5]]": "[:and :int [:>= 0] [:<= 10] [:!= 5]]",
    "[:and :map [:required-keys [:a :b]]]": "[:and :map [:required-keys [:a :b]]]",
    '[:enum :a 1 "x" nil true 1.5]': '[:enum :a 1 "x" nil true 1.5]',
    "[:val :k]": "[:val :k]",
    "[:resource file]": "[:resource file]",
}


@pytest.mark.parametrize(("written", "text"), WRITTEN.items())
def test_every_way_to_write_a_type(written: str, text: str) -> None:
    type_ = parse_type_text(written)
    assert type_text(type_) == text
    assert parse_type_text(text) == type_


WRONG = {
    ":strng": ('did you mean ":string"?', "deftype"),
    "{:a :int}": ("a map is not a type", "[:map {:field type}]"),
    "5": ("a value is not a type", "[:val value]"),
    "": ("empty", ":int"),
    ":int :string": ("more than one type", "[:union"),
    "[:list :int]": ('"[:list ...]"', "[:vector type]"),
    "[:set :int]": ('"[:set ...]"', "no sets"),
    "[:optional :int]": ('"[:optional ...]"', ":int?"),
    "[:vectr :int]": ('"[:vectr ...]"', "[:vector ...]"),
    "[:int 5]": ("`:int` takes no parts", ":int"),
    "[]": ("begins with its kind", "[:vector T]"),
    "[:map :string :int]": ("lists its fields", "[:map-of key-type value-type]"),
    "[:map [:k {:optional true} :int]]": ("no map of properties", "[:k type ?]"),
    '[:map ["a" :int]]': ("keywords", "[:field type]"),
    "[:map [:a :int :string]]": ("one type", "[:a type]"),
    "[:vector]": ("takes 1 types, not 0", "[:vector type]"),
    "[:map-of :int]": ("takes 2 types, not 1", "[:map-of"),
    "[:fn :int]": ("types of the parameters", "[:fn"),
    "[:enum]": ("at least one literal", "[:enum"),
    "[:val 1 2]": ("one literal", "[:val 1]"),
    "[:enum x]": ("literal belongs here", "keyword"),
    "[:and [:> 0]]": ("need a type", "[:and :int [:> 0]]"),
    "[:and :int [:min-lenght 0]]": ("unknown condition", "[:min-length characters]"),
    '[:and :int [:> "a"]]': ("cannot take this", "[:> number]"),
    "[:and :string [:min-length -1]]": ("cannot take this", "characters"),
    '[:and :string [:matches-regex "("]]': ("not valid", ""),
    "(vector :int)": ("a list is not a type", "brackets"),
}


@pytest.mark.parametrize(("text", "said"), WRONG.items())
def test_what_is_no_type_is_explained(text: str, said: tuple[str, str]) -> None:
    with pytest.raises(CompileError) as caught:
        parse_type_text(text)
    error = caught.value
    assert error.code == "compile.annotation"
    assert said[0] in error.message
    assert said[1] in str(error.hint)
    assert error.span is not None


def test_declared_names_come_first() -> None:
    declared = {"Point": Declaration("Point"), "a?": Declaration("a?"), "geo/Point": Declaration("geo/Point")}
    assert parse_type_text("Point", declared.get) == Named(declared["Point"])
    assert parse_type_text(":Point?", declared.get) == Optional(Named(declared["Point"]))
    assert parse_type_text(":a?", declared.get) == Named(declared["a?"])
    assert parse_type_text("[:vector :geo/Point]", declared.get).item == Named(declared["geo/Point"])  # type: ignore[union-attr]
    assert type_text(parse_type_text("[:map [:p Point?]]", declared.get)) == "[:map [:p :Point?]]"


def test_the_types_without_parts_are_the_same_objects() -> None:
    assert parse_type_text(":any") is PRIMITIVES[Kind.ANY]


def test_a_type_has_at_most_1000_parts() -> None:
    most = "[:union " + ":int " * (MEMBERS_MAX - 1) + "]"
    assert len(parse_type_text(most).members) == MEMBERS_MAX - 1  # type: ignore[union-attr]
    with pytest.raises(CompileError, match="more than 1000 parts"):
        parse_type_text(most.replace("]", ":int :int]"))


def test_types_are_nested_at_most_50_levels() -> None:
    most = "[:vector " * 49 + ":int" + "]" * 49
    assert type_text(parse_type_text(most)) == most
    with pytest.raises(CompileError, match="deeper than 50 levels"):
        parse_type_text(f"[:vector {most}]")


@pytest.mark.parametrize("text", ["[" * 500, ":int)", '"', "[:vector " * 199 + ":int" + "]" * 199, "\0", "[:map {:a}]"])
def test_any_text_is_a_type_or_a_typed_error(text: str) -> None:
    try:
        parse_type_text(text)
    except CloisterError as error:
        assert error.code.partition(".")[0] in {"read", "compile"}  # noqa: PT017 - some of the texts are types
