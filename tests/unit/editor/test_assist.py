"""Completion, hover and definitions, apart from any editor. `|` marks the place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.capabilities.catalog import builtin_catalog
from cloister.editor.assist import candidates, definition_place, explanation
from cloister.lang.modules import GivenModules
from cloister.lang.source import ModuleText, Source


def marked(text: str) -> tuple[str, int]:
    before, _, after = text.rpartition("|")
    return before + after, len(before)


def offered(text: str) -> list[str]:
    return [each.text for each in candidates(*marked(text))]


def test_nearest_names_come_first() -> None:
    names = offered("(defn strange [] 1) (let [str-a 1 b 2] (str|")
    assert names[:2] == ["str-a", "strange"]
    assert "string-join" in names
    assert "b" not in names


def test_a_name_is_not_offered_twice() -> None:
    names = offered("(defn map [f] f) (let [map 1] (ma|")
    assert names.count("map") == 1


def test_what_this_version_refuses_is_not_offered() -> None:
    assert "set!" not in offered("(se|")


def test_capabilities_are_offered_where_a_call_names_one() -> None:
    assert ":ccos.io.read-file" in offered("(call :ccos.io.|")
    assert ":ccos.io.read-file" in offered("(call |")
    assert offered("(call :ccos.io.read-file :ccos|") == []
    assert offered("{:a| 1}") == []


@pytest.mark.parametrize("text", ['"red|', "; red|", "#| red|", '"red" ; re|'])
def test_nothing_is_offered_in_strings_and_comments(text: str) -> None:
    assert offered(text) == []


@pytest.mark.parametrize("text", ['"a" re|', "; c\nre|", "#| c |# re|"])
def test_names_are_offered_after_them(text: str) -> None:
    assert "reduce" in offered(text)


@given(st.text(st.sampled_from('()[]{}";#|:. \nacdefln.io'), max_size=40), st.integers(0, 45))
def test_every_text_and_place_has_an_answer(text: str, offset: int) -> None:
    for each in candidates(text, offset):
        assert each.text
    found = explanation(text, offset)
    assert found is None or 0 <= found.start < found.end <= len(text)
    place = definition_place(text, offset)
    assert place is None or 0 <= place[1] < place[2] <= len(text)


def explained(text: str) -> str | None:
    found = explanation(*marked(text))
    return None if found is None else f"{found.signature}: {found.doc}"


def test_hover_tells_what_a_name_is_there() -> None:
    assert str(explained("(re|duce + [1])")).startswith("(reduce f init? coll): Combine")
    assert explained('(defn area "Of a box." [w h] 1) (ar|ea 1 2)') == "(area w h): Of a box."
    assert str(explained("(i|f a b)")).startswith("(if condition then else?)")
    assert explained("(let [map 1] ma|p)") is None
    assert explained("(foo|)") is None
    assert explained("1|2") is None


def test_hover_describes_a_capability_with_all_it_takes() -> None:
    for spec in builtin_catalog().registry:
        text = str(explained(f"(call :{spec.id}|)"))
        assert text.startswith(spec.usage())
        assert spec.summary in text
        assert all(f"`{each.name}`" in text for each in spec.parameters)
    assert explained("(call :ccos.io.nope|)") is None


def test_definition_of_a_name_is_the_innermost_or_the_last() -> None:
    text, offset = marked("(defn f [] 1) (defn f [x] 2) (|f 1)")
    assert definition_place(text, offset) == (None, text.index("f [x]"), text.index("f [x]") + 1)
    text, offset = marked("(def x 1) (let [x 2] |x)")
    assert definition_place(text, offset) == (None, text.index("x 2"), text.index("x 2") + 1)
    assert definition_place("(map)", 2) is None


@pytest.fixture
def modules() -> GivenModules:
    text = '(module shapes (:exports [area]) (defn area "Of a box." [w h] (* w h)))'
    return GivenModules([ModuleText("shapes", Source("shapes.rtfs", text))])


@pytest.mark.parametrize(
    "text",
    [
        "(import shapes) (shapes/ar|ea 1 2)",
        "(import shapes :as s) (s/ar|ea 1 2)",
        "(import shapes :only [area]) (a|rea)",
    ],
)
def test_names_of_modules_lead_there(modules: GivenModules, text: str) -> None:
    found = definition_place(*marked(text), modules)
    assert found is not None
    source, start, end = found
    assert source is not None
    assert (source.name, source.text[start:end]) == ("shapes.rtfs", "area")
    explained = explanation(*marked(text), modules)
    assert explained is not None
    assert (explained.signature, explained.doc) == ("(area w h)", "Of a box.")


@pytest.mark.parametrize(
    "text", ["(import shapes :as s) (shapes/ar|ea)", "(import other) (other/ar|ea)", "(shapes/ar|ea)"]
)
def test_names_that_are_not_imported_lead_nowhere(modules: GivenModules, text: str) -> None:
    assert definition_place(*marked(text), modules) is None


def test_names_of_a_module_in_the_text_lead_there(modules: GivenModules) -> None:
    text, offset = marked("(module m (:exports [x]) (def x 1)) (import m) m/|x")
    assert definition_place(text, offset, modules) == (None, text.index("x 1"), text.index("x 1") + 1)
