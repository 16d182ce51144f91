from __future__ import annotations

from typing import Any

import pytest

from cloister.authority.capability import Access, AccessKind, Parameter, ParameterType
from cloister.errors import ConfigError, GuestError
from cloister.lang.values import Keyword, List, Map

from .specs import ADD, GET_ENV, PATH, SCRIPT, WRITE_FILE, spec

ANY = Parameter(name="value", type=ParameterType.ANY)
OTHER = Parameter(name="other", type=ParameterType.ANY)
ECHO = spec("t.echo", parameters=(ANY,))
PAIR = spec("t.pair", parameters=(ANY, OTHER))


def test_arguments_bind_in_order() -> None:
    assert WRITE_FILE.bind(("/a", "text")) == {"path": "/a", "content": "text"}


@pytest.mark.parametrize("key", [Keyword, str])
def test_one_map_binds_by_name(key: Any) -> None:
    assert WRITE_FILE.bind((Map({key("content"): "t", key("path"): "/a"}),)) == {"path": "/a", "content": "t"}


def test_absent_and_nil_optional_parameters_are_missing() -> None:
    assert SCRIPT.bind(("code",)) == {"code": "code"}
    assert SCRIPT.bind(("code", None, ("/a",))) == {"code": "code", "write": ("/a",)}


def test_variadic_collects_the_rest() -> None:
    assert ADD.bind((1, 2.5)) == {"numbers": (1, 2.5)}
    assert ADD.bind(()) == {"numbers": ()}


def test_data_does_not_become_arguments_by_its_shape() -> None:
    data = Map({Keyword("value"): 1})
    assert ECHO.bind((data,)) == {"value": data}
    assert PAIR.bind((Map({Keyword("value"): 1, Keyword("other"): 2}),)) == {"value": 1, "other": 2}
    with pytest.raises(GuestError):
        PAIR.bind((data,))


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ((), "ArityMismatch", ("ccos.io.write-file", "path", "nothing")),
        (("/a",), "ArityMismatch", ("content",)),
        (("/a", "b", "c"), "ArityMismatch", ("2", "3")),
        ((1, "b"), "TypeError", ("path", "text", "integer")),
        ((None, "b"), "TypeError", ("path", "nil")),
        ((Map({"path": "/a", "contents": "b"}),), "InvalidArgument", ("contents", "content")),
        ((Map({"path": "/a", Keyword("path"): "/b", "content": "c"}),), "InvalidArgument", ("twice",)),
        ((Map({"path": "/a", 1: "b"}),), "InvalidArgument", ("1",)),
    ],
)
def test_a_wrong_shape_names_what_was_expected(arguments: tuple[Any, ...], kind: str, words: tuple[str, ...]) -> None:
    with pytest.raises(GuestError) as caught:
        WRITE_FILE.bind(arguments)
    assert caught.value.kind == kind
    assert all(word in caught.value.message for word in words)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("parameter_type", "fits", "does_not"),
    [
        ("text", "a", 1),
        ("integer", 1, True),
        ("integer", 1, 1.0),
        ("number", 1.5, True),
        ("number", 1, "1"),
        ("boolean", False, 0),
        ("map", Map(), ()),
        ("vector", (), "ab"),
        ("vector", List((1,)), Map()),
    ],
)
def test_types_are_exact(parameter_type: str, fits: Any, does_not: Any) -> None:
    one = spec("t.one", parameters=(Parameter(name="x", type=ParameterType(parameter_type)), OTHER))
    assert one.bind((fits, 0)) == {"x": fits, "other": 0}
    with pytest.raises(GuestError) as caught:
        one.bind((does_not, 0))
    assert caught.value.kind == "TypeError"


def test_variadic_items_are_checked() -> None:
    with pytest.raises(GuestError) as caught:
        ADD.bind((1, "2"))
    assert caught.value.message == "Type error in ccos.math.add: expected number for numbers, got string"


def test_permissions_bring_what_they_imply() -> None:
    assert WRITE_FILE.permissions == {"ccos.io.write-file", "ccos.io.file-access", "execute.operation"}
    assert GET_ENV.permissions == {"ccos.system.get-env", "ccos.system.environment", "execute.operation"}
    assert ADD.permissions == {"ccos.math.add"}


def test_effects_are_normalised() -> None:
    assert spec(effects=frozenset({" 'FS' ", "clock"})).effects == {":filesystem", ":system"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"effects": frozenset()}, "config.capability"),
        ({"effects": frozenset({":harmless"})}, "config.effect"),
        ({"permission": "ccos.everything"}, "config.capability"),
        ({"parameters": (PATH, PATH)}, "config.capability"),
        ({"parameters": (Parameter(name="a", type=ParameterType.ANY, required=False), PATH)}, "config.capability"),
        ({"variadic": True}, "config.capability"),
        ({"access": (Access(parameter="path", kind=AccessKind.READ),)}, "config.capability"),
        (
            {"parameters": (PATH,), "access": (Access(parameter="path", kind=AccessKind.READ),)},
            "config.capability",
        ),
        (
            {
                "parameters": (ANY,),
                "access": (Access(parameter="value", kind=AccessKind.READ),),
                "permission": "ccos.io.file-access",
            },
            "config.capability",
        ),
    ],
)
def test_a_specification_that_contradicts_itself_is_refused(changes: dict[str, Any], code: str) -> None:
    assert spec().effects == {":compute"}
    with pytest.raises(ConfigError) as caught:
        spec(**changes)
    assert caught.value.code == code


def test_the_method_of_a_url_comes_from_a_parameter_that_is_there() -> None:
    url = Parameter(name="url", type=ParameterType.TEXT)
    fields: dict[str, Any] = {"parameters": (url,), "permission": "ccos.network.outbound"}
    access = Access(parameter="url", kind=AccessKind.NETWORK, method_parameter="verb")
    with pytest.raises(ConfigError) as caught:
        spec(access=(access,), **fields)
    assert caught.value.code == "config.capability"
    verb = Parameter(name="verb", type=ParameterType.TEXT)
    assert spec(access=(access,), **fields | {"parameters": (url, verb)}).access == (access,)
