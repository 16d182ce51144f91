"""For each built-in capability: arguments by position and by name are the same call, and its result is checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import cloister
from cloister.capabilities.capability import Capability
from cloister.capabilities.catalog import builtin_catalog
from cloister.errors import GuestError
from cloister.lang.printer import to_text
from cloister.lang.values import Keyword, Map, Value

CATALOG = builtin_catalog()
IDS = sorted(CATALOG.capabilities)

ARGUMENTS: dict[str, tuple[Value, ...]] = {
    "ccos.context.set": ("name", 1),
    "ccos.context.snapshot": (),
    "ccos.data.parse-json": ("[1]",),
    "ccos.data.serialize-json": ((1,),),
    "ccos.data.serialize-json-pretty": ((1,),),
    "ccos.echo": (1,),
    "ccos.io.close-file": (1,),
    "ccos.io.create-file": ("/f",),
    "ccos.io.delete-file": ("/f", True),
    "ccos.io.file-exists": ("/f",),
    "ccos.io.list-dir": ("/f",),
    "ccos.io.log": ("a", 1),
    "ccos.io.mkdir": ("/f", True),
    "ccos.io.open-file": ("/f",),
    "ccos.io.print": ("a", 1),
    "ccos.io.println": ("a", 1),
    "ccos.io.read-file": ("/f",),
    "ccos.io.read-file-base64": ("/f",),
    "ccos.io.read-line": (1,),
    "ccos.io.write-file": ("/f", "text"),
    "ccos.io.write-file-base64": ("/f", "AA=="),
    "ccos.io.write-line": (1, "text"),
    "ccos.math.add": (1, 2),
    "ccos.sandbox.javascript": ("1", None, (), ("/f",), 5, 64),
    "ccos.sandbox.lua": ("1", None, (), ("/f",), 5, 64),
    "ccos.sandbox.python": ("1", None, (), ("/f",), 5, 64),
    "ccos.sandbox.ruby": ("1", None, (), ("/f",), 5, 64),
    "ccos.sandbox.shell": ("1", None, (), ("/f",), 5, 64),
    "ccos.string.concat": ("a", 1),
    "ccos.system.current-time": (),
    "ccos.system.current-timestamp-ms": (),
    "ccos.system.get-env": ("NAME",),
    "ccos.system.sleep-ms": (1,),
}
"""A full call of each by position."""

BY_POSITION_ONLY = {"ccos.data.serialize-json", "ccos.data.serialize-json-pretty", "ccos.echo"}
"""Their one parameter takes a map itself, so that a map is the value and never the names."""
PROMISE_NOTHING = {
    "ccos.data.parse-json", "ccos.echo", "ccos.sandbox.javascript", "ccos.sandbox.lua", "ccos.sandbox.python",
    "ccos.sandbox.ruby", "ccos.sandbox.shell",
}  # fmt: skip
"""What they give is up to the data or the script: their result is `:any`."""
WRONG: dict[str, Value] = {
    ":int": "text",
    ":map": "text",
    ":nil": 1,
    ":number": "text",
    ":string": 1,
    ":string?": 1,
    ":bool": "text",
    "[:val true]": False,
    "[:map [:bytes :int]]": Map(),
}
"""A value that is not of the type, by the type; a list of directory entries is told by what is not in it."""


def test_every_builtin_is_in_the_table() -> None:
    assert sorted(ARGUMENTS) == IDS


@pytest.mark.parametrize("capability_id", IDS)
def test_arguments_by_position_and_by_name_are_the_same_call(capability_id: str) -> None:
    spec = CATALOG.capabilities[capability_id].spec
    arguments = ARGUMENTS[capability_id]
    bound = spec.bind(arguments)
    if spec.variadic:
        assert bound == {spec.parameters[0].name: arguments}
        return
    names = [parameter.name for parameter in spec.parameters]
    assert bound == {name: value for name, value in zip(names, arguments, strict=True) if value is not None}
    for key in (Keyword, str):
        named = Map((key(name), value) for name, value in zip(names, arguments, strict=True))
        if names and capability_id not in BY_POSITION_ONLY:
            assert spec.bind([named]) == bound
        elif names:
            assert spec.bind([named]) == {names[0]: named}


@pytest.mark.parametrize("capability_id", [each for each in IDS if not CATALOG.capabilities[each].spec.variadic])
def test_what_does_not_fit_is_an_error_that_tells_how_it_is_called(capability_id: str) -> None:
    spec = CATALOG.capabilities[capability_id].spec
    too_many, unknown_name = [*ARGUMENTS[capability_id], 1], [Map({Keyword("no-such"): 1})]
    for wrong in (too_many,) if capability_id in BY_POSITION_ONLY else (too_many, unknown_name):
        with pytest.raises(GuestError) as caught:
            spec.bind(wrong)
        assert caught.value.hint == f"call it as {spec.usage()}"


Run = Callable[[str, Value], Any]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Call a capability by position when what it gives is decided here."""
    given: list[Value] = []
    everything = {
        name: Capability(spec=each.spec, run=lambda _: given[-1]) for name, each in CATALOG.capabilities.items()
    }
    catalog = replace(CATALOG, capabilities=everything)
    context = cloister.RuntimeContext.controlled(
        capabilities=IDS, write=[str(Path("/f"))], environment={"NAME": "value"}
    )
    home = tmp_path_factory.mktemp("home") / "home"
    with cloister.Runtime.open(home, catalog=catalog) as runtime:

        def call(capability_id: str, result: Value) -> Any:
            given.append(result)
            words = " ".join(map(to_text, ARGUMENTS[capability_id]))
            return runtime.run(f"(call :{capability_id} {words})", context=context, provider="mock").value

        yield call


@pytest.mark.parametrize("capability_id", [each for each in IDS if each not in PROMISE_NOTHING])
def test_a_result_of_another_type_never_reaches_the_plan(run: Run, capability_id: str) -> None:
    spec = CATALOG.capabilities[capability_id].spec
    with pytest.raises(GuestError) as caught:
        run(capability_id, WRONG.get(spec.result, (Map({Keyword("name"): 1}),)))
    assert (caught.value.code, caught.value.kind) == ("guest.result", "TypeValidationError")
    assert f"the result of {capability_id}" in caught.value.message


def test_a_result_of_the_promised_type_does(run: Run) -> None:
    assert run("ccos.system.current-time", 5) == 5
    assert run("ccos.io.read-line", None) is None
    assert [CATALOG.capabilities[each].spec.result for each in PROMISE_NOTHING] == [":any"] * len(PROMISE_NOTHING)
