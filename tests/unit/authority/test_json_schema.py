"""Types as JSON Schema: what each becomes, and that a schema never refuses what the type takes."""

from __future__ import annotations

from typing import Any

import pytest

from cloister.authority.capability import Parameter, ParameterType
from cloister.authority.json_schema import DIALECT, input_schema, output_schema, type_schema
from cloister.capabilities.catalog import builtin_catalog
from cloister.lang.types.expression import Declaration, Entry, Named, Optional, Record, Vector
from cloister.lang.types.parse import parse_type_text

from .specs import spec

CASES: list[tuple[str, dict[str, Any]]] = [
    (":any", {}),
    (":nil", {"type": "null"}),
    (":int", {"type": "integer"}),
    (":float", {"type": "number"}),
    (":bool", {"type": "boolean"}),
    (":keyword", {"type": "string"}),
    (":map", {"type": "object"}),
    (":string?", {"anyOf": [{"type": "string"}, {"type": "null"}]}),
    (":any?", {}),
    ("[:vector :int]", {"type": "array", "items": {"type": "integer"}}),
    ("[:tuple :int :string]", {
        "type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2,
    }),
    ("[:array :int [2 ?]]", {
        "type": "array", "items": {"type": "array", "items": {"type": "integer"}}, "minItems": 2, "maxItems": 2,
    }),
    ("[:map [:a :int] [:b :int?]]", {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
        "required": ["a"],
    }),
    ("[:map-of :string :int]", {"type": "object", "additionalProperties": {"type": "integer"}}),
    ("[:union :int :string]", {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
    ("[:enum :a \"b\" 3 nil]", {"enum": ["a", "b", 3, None]}),
    ("[:val true]", {"const": True}),
    ("[:and :int [:>= 0] [:< 9]]", {"allOf": [{"type": "integer"}, {"minimum": 0}, {"exclusiveMaximum": 9}]}),
    ("[:and :string [:length 3]]", {"allOf": [{"type": "string"}, {"minLength": 3, "maxLength": 3}]}),
    ("[:and :map [:required-keys [:a :b]]]", {"allOf": [{"type": "object"}, {"required": ["a", "b"]}]}),
    ('[:and :string [:matches-regex "a+"]]', {"type": "string"}),
    ("[:fn [:int] :int]", {"not": {}}),
    ("[:vector [:fn [] :int]]", {"type": "array", "items": False}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "schema"), CASES, ids=[text for text, _ in CASES])
def test_each_type_becomes_its_schema(text: str, schema: dict[str, Any]) -> None:
    assert type_schema(parse_type_text(text)) == {"$schema": DIALECT, **schema}


def test_a_declared_type_is_written_once_and_may_refer_to_itself() -> None:
    tree = Declaration("tree")
    tree.type = Record((Entry("value", Optional(Named(tree))), Entry("children", Vector(Named(tree)))))
    assert type_schema(Named(tree)) == {
        "$schema": DIALECT,
        "$ref": "#/$defs/tree",
        "$defs": {
            "tree": {
                "type": "object",
                "properties": {
                    "value": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}},
                },
                "required": ["children"],
            }
        },
    }


def test_two_declared_types_of_one_name_stay_two() -> None:
    first, second = Declaration("t", parse_type_text(":int")), Declaration("t", parse_type_text(":string"))
    schema = type_schema(Record((Entry("a", Named(first)), Entry("b", Named(second)))))
    assert schema["$defs"] == {"t": {"type": "integer"}, "t_": {"type": "string"}}


def test_parameters_become_one_object() -> None:
    path = Parameter(name="path", type=ParameterType.TEXT, doc="Where.")
    deep = Parameter(name="deep", type=ParameterType.BOOLEAN, required=False)
    assert input_schema(spec(parameters=(path, deep))) == {
        "$schema": DIALECT,
        "type": "object",
        "properties": {
            "path": {"description": "Where.", "type": "string"},
            "deep": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
        },
        "required": ["path"],
        "additionalProperties": False,
    }


def test_what_takes_all_remaining_arguments_is_an_array_that_may_be_absent() -> None:
    numbers = Parameter(name="numbers", type=ParameterType.NUMBER)
    schema = input_schema(spec(parameters=(numbers,), variadic=True))
    assert schema["properties"]["numbers"] == {"type": "array", "items": {"type": "number"}}
    assert schema["required"] == []


@pytest.mark.parametrize("each", builtin_catalog().registry, ids=lambda each: each.id)
def test_every_builtin_has_both(each: Any) -> None:
    assert set(input_schema(each)["properties"]) == {parameter.name for parameter in each.parameters}
    assert output_schema(each)["$schema"] == DIALECT
    assert output_schema(each) != {"$schema": DIALECT, "not": {}}
