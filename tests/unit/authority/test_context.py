from __future__ import annotations

import json
from pathlib import PurePosixPath

import pytest

from cloister.authority.context import RuntimeContext, SecurityLevel
from cloister.authority.level import IsolationLevel
from cloister.canonical import encode
from cloister.errors import ConfigError
from cloister.limits import ResourceLimits


def test_the_default_grants_nothing() -> None:
    assert RuntimeContext() == RuntimeContext.pure()
    assert RuntimeContext.controlled().capabilities == frozenset()
    assert RuntimeContext.controlled().readable_paths == ()


def test_controlled_keeps_what_is_listed() -> None:
    context = RuntimeContext.controlled(
        capabilities=["b.c", "a.b"],
        read=["/srv/data/", "/srv/data/x"],
        write=["/out"],
        environment={"B": "2\udcff", "A": "1"},
    )
    assert context.capabilities == {"a.b", "b.c"}
    assert context.read_paths == ("/srv/data",)
    assert context.readable_paths == ("/srv/data", "/out")
    assert context.environment == (("A", "1"), ("B", "2\udcff"))


def test_a_relative_path_is_refused_and_its_absolute_twin_is_not() -> None:
    with pytest.raises(ConfigError) as caught:
        RuntimeContext.controlled(read=["data"])
    assert caught.value.code == "config.path"
    assert "relative" in caught.value.message
    assert RuntimeContext.controlled(read=["/data"]).read_paths == ("/data",)


@pytest.mark.parametrize("option", ["read", "write", "capabilities"])
def test_a_single_text_is_not_a_list_of_grants(option: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RuntimeContext.controlled(**{option: "/data"})  # type: ignore[arg-type]
    assert caught.value.code == "config.context"


@pytest.mark.parametrize("capability_id", ["", "a b", "ccos.io.read-file\n", "a" * 300])
def test_nonsense_is_no_capability_id(capability_id: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RuntimeContext.controlled(capabilities=[capability_id])
    assert caught.value.code == "config.capability"


@pytest.mark.parametrize("environment", [{"": "x"}, {"A=B": "x"}, {"A B": "x"}, {"A": "x\0"}, {"A": "\ud800"}])
def test_misshapen_variables_are_refused(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        RuntimeContext.controlled(environment=environment)
    assert caught.value.code == "config.environment"


def test_a_pure_context_cannot_hold_grants() -> None:
    with pytest.raises(ConfigError) as caught:
        RuntimeContext(level=SecurityLevel.PURE, capabilities=frozenset({"a"}))
    assert caught.value.code == "config.context"


def test_unsafe_everything_is_spelled_out_and_takes_no_single_grants() -> None:
    assert RuntimeContext.unsafe_everything().to_dict()["level"] == "UnsafeEverything"
    with pytest.raises(ConfigError):
        RuntimeContext(level=SecurityLevel.UNSAFE_EVERYTHING, read_paths=("/a",), allow_computed=True)


def test_plain_form_is_canonical_data_without_values_of_variables() -> None:
    context = RuntimeContext.controlled(
        capabilities=["a"], read=["/r"], write=["/w"], environment={"TOKEN": "hunter2"}, allow_computed=True
    )
    plain = context.to_dict()
    assert json.loads(encode(plain)) == plain
    assert plain["environment"] == ["TOKEN"]
    assert "hunter2" not in json.dumps(plain)
    assert "hunter2" not in repr(context)


def test_narrow_intersects_everything() -> None:
    context = RuntimeContext.controlled(
        capabilities=["a", "b"], read=["/r"], write=["/w"], environment={"A": "1", "B": "2"}, allow_computed=True
    )
    small = context.narrow(
        capabilities=["b", "c"],
        read=["/r/x", "/w/y", "/etc"],
        write=["/w/z", "/r"],
        environment=["B", "C"],
        limits=ResourceLimits(wall_ms=5, memory_bytes=2**40),
        minimum_isolation=IsolationLevel.PROCESS,
        allow_computed=False,
    )
    assert small.capabilities == {"b"}
    assert small.read_paths == ("/r/x", "/w/y")
    assert small.write_paths == ("/w/z",)
    assert small.environment == (("B", "2"),)
    assert small.limits == ResourceLimits(wall_ms=5)
    assert small.minimum_isolation is IsolationLevel.PROCESS
    assert not small.allow_computed


def test_narrow_without_arguments_changes_nothing() -> None:
    context = RuntimeContext.controlled(capabilities=["a"], read=["/r"], minimum_isolation=IsolationLevel.WASM)
    assert context.narrow() == context
    assert context.narrow(minimum_isolation=IsolationLevel.NONE) == context


def test_narrow_cannot_turn_computed_ids_on() -> None:
    assert not RuntimeContext.controlled().narrow(allow_computed=True).allow_computed


def test_narrowing_pure_stays_pure() -> None:
    assert RuntimeContext.pure().narrow(capabilities=["a"], read=["/"]) == RuntimeContext.pure()


def test_narrowing_unsafe_everything_needs_the_capabilities() -> None:
    everything = RuntimeContext.unsafe_everything(environment={"A": "1"})
    with pytest.raises(ConfigError) as caught:
        everything.narrow(read=["/r"])
    assert caught.value.code == "config.context"
    small = everything.narrow(capabilities=["a"], read=["/r"], write=[])
    assert (small.level, small.capabilities) == (SecurityLevel.CONTROLLED, {"a"})
    assert (small.read_paths, small.write_paths) == (("/r",), ())
    assert everything.narrow(limits=ResourceLimits(wall_ms=1)).is_unsafe


def test_paths_may_be_path_objects_in_a_list() -> None:
    context = RuntimeContext.controlled(read=[PurePosixPath("/srv/data")], write=["/srv/out"])
    assert (context.read_paths, context.write_paths) == (("/srv/data",), ("/srv/out",))
    with pytest.raises(ConfigError) as caught:
        RuntimeContext.controlled(read=PurePosixPath("/srv/data"))  # type: ignore[arg-type]
    assert caught.value.code == "config.context"
