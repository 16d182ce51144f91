"""Stand-ins: the right type for every built-in capability and every kind of type, or a typed error."""

from __future__ import annotations

import pytest

from cloister.authority.capability import CapabilitySpec
from cloister.authority.stand_in import stand_in
from cloister.capabilities.catalog import builtin_catalog
from cloister.errors import GuestError
from cloister.lang.types.check import accepts
from cloister.lang.types.parse import parse_type_text
from cloister.lang.values import Keyword, Map, Value

from .specs import spec

CASES: list[tuple[str, Value]] = [
    (":any", None),
    (":int", 0),
    (":string", ""),
    (":keyword", Keyword("simulated")),
    (":string?", None),
    ("[:vector :int]", ()),
    ("[:tuple :int :string]", (0, "")),
    ("[:array :int [2 1]]", ((0,), (0,))),
    ("[:map [:bytes :int] [:note :string?]]", Map({Keyword("bytes"): 0})),
    ("[:map-of :string :int]", Map()),
    ("[:union :int :string]", 0),
    ('[:enum "a" "b"]', "a"),
    ("[:val true]", True),
    ("[:and :int [:>= 5]]", 5),
    ("[:and :int [:> 5] [:< 7]]", 6),
    ("[:and :string [:min-length 3]]", "xxx"),
    ("[:and [:vector :any] [:min-count 2]]", (None, None)),
    ("[:and :number [:= 7]]", 7),
]


@pytest.mark.parametrize(("text", "value"), CASES, ids=[text for text, _ in CASES])
def test_each_type_has_its_smallest_value(text: str, value: Value) -> None:
    found = stand_in(spec(result=text))
    assert (found, type(found)) == (value, type(value))
    assert accepts(parse_type_text(text), found)


@pytest.mark.parametrize("each", builtin_catalog().registry, ids=lambda each: each.id)
def test_every_builtin_has_one(each: CapabilitySpec) -> None:
    value = stand_in(each)
    assert each.check_result(value) is value


@pytest.mark.parametrize(
    "text", ["[:fn [] :int]", '[:and :string [:matches-regex "^[a-z]{3}$"]]', "[:and :int [:> 5] [:< 5]]", ":never"]
)
def test_a_type_without_a_simple_value_is_a_typed_error(text: str) -> None:
    with pytest.raises(GuestError) as caught:
        stand_in(spec("t.odd", result=text))
    assert caught.value.code == "guest.stand-in"
    assert "t.odd" in caught.value.message
