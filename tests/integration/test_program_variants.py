"""`Runtime.run_program`: everything that can be run, where it runs, and where it is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wasmtime

import cloister
from cloister.audit.event import EventType
from cloister.errors import (
    CapabilityDenied,
    ConfigError,
    GuestError,
    InputError,
    IsolationUnavailable,
    LimitExceeded,
    ProviderUnavailable,
)
from cloister.lang import core
from cloister.lang.forms import ListForm, LiteralForm, SymbolForm
from cloister.lang.program import compile_program
from cloister.lang.reader import read
from cloister.lang.source import Source
from cloister.lang.wasm_engine.artefact.artefact import make_artefact

HELLO = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\08\\00\\00\\00\\06\\00\\00\\00hello\\n")
  (func (export "_start")
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))))"""

NOTHING = cloister.RuntimeContext.pure()
ADD = cloister.RuntimeContext.controlled(capabilities=["ccos.math.add"])
EXEC = cloister.RuntimeContext.controlled(capabilities=["cloister.exec"])
NATIVE = cloister.RuntimeContext.controlled(capabilities=["cloister.UnsafeNative"])
TEXT = "(defn twice [x] (* 2 x)) `(twice ~(call :ccos.math.add 1 (twice 2)))"
ANSWER = "(twice 5)"
SANDBOXES = ("process", "mock")
"""Where plans are compiled from their text."""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cloister.Runtime]:
    with cloister.Runtime.open(tmp_path_factory.mktemp("home") / "home") as opened:
        yield opened


def source(text: str = TEXT) -> cloister.RtfsSource:
    return cloister.RtfsSource(text=text, name="given.rtfs")


def forms(text: str = TEXT) -> cloister.RtfsAst:
    return cloister.RtfsAst(tree=tuple(read(Source("given.rtfs", text))))


def bytecode(text: str = TEXT, *, is_stripped: bool = False) -> cloister.RtfsBytecode:
    return cloister.RtfsBytecode(data=make_artefact(compile_program(text, "given.rtfs"), is_stripped=is_stripped))


def tree(text: str = TEXT) -> cloister.RtfsAst:
    return cloister.RtfsAst(tree=compile_program(text).core)


# Plans


@pytest.mark.parametrize("provider", [*SANDBOXES, "wasm"])
@pytest.mark.parametrize("variant", [source, forms, bytecode])
def test_plans_with_text_run_in_every_sandbox(runtime: cloister.Runtime, variant: Any, provider: str) -> None:
    for run in (runtime.run_program, runtime.run):
        result = run(variant(), context=ADD, provider=provider)
        assert isinstance(result, cloister.RunResult)
        assert result.value_text == ANSWER
        assert [call.capability_id for call in result.calls] == ["ccos.math.add"]


@pytest.mark.parametrize("variant", [source, forms, bytecode, tree])
def test_whatever_a_plan_comes_as_it_needs_its_grants(runtime: cloister.Runtime, variant: Any) -> None:
    with pytest.raises(CapabilityDenied, match=r"ccos\.math\.add"):
        runtime.run_program(variant(), context=NOTHING)


@pytest.mark.parametrize("provider", SANDBOXES)
def test_a_compiled_plan_without_text_runs_where_core_is_run_only(runtime: cloister.Runtime, provider: str) -> None:
    for variant in (bytecode(is_stripped=True), tree()):
        with pytest.raises(ProviderUnavailable) as caught:
            runtime.run_program(variant, context=ADD, provider=provider)
        assert caught.value.code == "provider.wasm-only"
        assert f"the provider {provider} compiles plans from their text" in caught.value.message
        assert "--provider wasm" in str(caught.value.hint)
        result = runtime.run_program(variant, context=ADD, provider="wasm")
        assert isinstance(result, cloister.RunResult)
        assert result.value_text == ANSWER


def test_inputs_reach_plans_of_every_kind(runtime: cloister.Runtime) -> None:
    compiled = cloister.RtfsBytecode(data=make_artefact(compile_program("[x]", "x.rtfs", ["x"])))
    stripped = cloister.RtfsBytecode(data=make_artefact(compile_program("[x]", "x.rtfs", ["x"]), is_stripped=True))
    resolved = cloister.RtfsAst(tree=compile_program("[x]", "x.rtfs", ["x"]).core)
    for provider, variants in (
        ("process", (source("[x]"), forms("[x]"), compiled)),
        ("wasm", (source("[x]"), forms("[x]"), compiled, stripped, resolved)),
    ):
        for variant in variants:
            result = runtime.run_program(variant, context=NOTHING, inputs={"x": 7}, provider=provider)
            assert isinstance(result, cloister.RunResult)
            assert result.value == [7]


def test_a_plan_has_the_same_digest_as_text_and_compiled(runtime: cloister.Runtime) -> None:
    results = [runtime.run(variant, context=ADD) for variant in (source(), bytecode())]
    assert results[0].plan_sha256 == results[1].plan_sha256


def test_forms_made_by_hand_run(runtime: cloister.Runtime) -> None:
    sums = ListForm((SymbolForm("+", 0, 0), LiteralForm(1, 0, 0), LiteralForm(2, 0, 0)), 0, 0)
    assert runtime.run(cloister.RtfsAst(tree=(sums,)), context=NOTHING).value == 3


def test_trees_that_are_none_are_refused(runtime: cloister.Runtime) -> None:
    for wrong in ("(+ 1 2)", ("(+ 1 2)",), [1], 7):
        with pytest.raises(InputError) as caught:
            runtime.run(cloister.RtfsAst(tree=wrong), context=NOTHING)  # type: ignore[arg-type]
        assert caught.value.code == "input.plan"


def test_core_that_no_resolver_gives_is_refused(runtime: cloister.Runtime) -> None:
    free = core.Local(core.Variable(0, "x", 0), False, 0, 1)
    held = core.Const(object(), 0, 1)
    for wrong in (free, held):
        with pytest.raises(InputError) as caught:
            runtime.run(cloister.RtfsAst(tree=wrong), context=NOTHING)
        assert caught.value.code == "input.artefact"
    assert runtime.run(cloister.RtfsAst(tree=core.Const(1, 0, 1)), context=NOTHING, provider="wasm").value == 1


def test_bytes_that_are_no_compiled_plan_are_refused(runtime: cloister.Runtime) -> None:
    with pytest.raises(InputError) as caught:
        runtime.run(cloister.RtfsBytecode(data=b"(+ 1 2)"), context=NOTHING)
    assert caught.value.code == "input.artefact"


# Native functions


@pytest.mark.parametrize(("inputs", "value"), [({}, 42), ({"x": 1}, 2)], ids=["of the context", "given"])
def test_parameters_of_the_context_are_inputs_as_in_run(
    runtime: cloister.Runtime, inputs: dict[str, Any], value: int
) -> None:
    context = cloister.RuntimeContext.controlled(parameters={"x": 41})
    assert runtime.run("(+ x 1)", context=context, inputs=inputs).value == value
    result = runtime.run_program(source("(+ x 1)"), context=context, inputs=inputs, provider="process")
    assert result.value == value


def test_a_native_function_runs_in_this_process_when_that_is_granted(runtime: cloister.Runtime) -> None:
    def area(width: int, sides: dict[Any, Any]) -> dict[str, int]:
        return {"area": width * sides["height"]}

    native = cloister.NativeFunction(function=area, name="area", arguments=(3, {"height": 4}))
    result = runtime.run_program(native, context=NATIVE, provider="none")
    assert result.value == {"area": 12}
    records = list(runtime.records(result.run_id))
    assert [record.event.event_type for record in records] == [
        EventType.RUN_STARTED, EventType.CALL_INTENT, EventType.CALL_OUTCOME, EventType.RUN_COMPLETED,
    ]  # fmt: skip
    assert records[0].event.body["isolation"] == "none"
    assert records[0].event.body["native"] == "area"
    assert records[1].event.capability_id == "cloister.UnsafeNative"
    assert "execute.UnsafeNative" in records[1].event.body["permissions"]


def test_a_native_function_needs_a_grant_that_says_unsafe(runtime: cloister.Runtime) -> None:
    called: list[int] = []
    native = cloister.NativeFunction(function=lambda: called.append(1), name="f")
    for context in (NOTHING, EXEC, ADD):
        with pytest.raises(CapabilityDenied, match=r"cloister\.UnsafeNative") as caught:
            runtime.run_program(native, context=context, provider="none")
        assert "cloister.UnsafeNative" in str(caught.value.hint)
    assert called == []
    runtime.run_program(native, context=NATIVE, provider="none")
    runtime.run_program(native, context=cloister.RuntimeContext.unsafe_everything(), provider="none")
    assert called == [1, 1]


def test_a_native_function_is_refused_where_isolation_is_demanded(runtime: cloister.Runtime) -> None:
    called: list[int] = []
    native = cloister.NativeFunction(function=lambda: called.append(1), name="f")
    demanding = NATIVE.narrow(minimum_isolation=cloister.IsolationLevel.PROCESS)
    with pytest.raises(IsolationUnavailable, match="runs in this process, at level none; the context requires process"):
        runtime.run_program(native, context=demanding, provider="none")
    assert called == []
    runtime.run_program(native, context=NATIVE, provider="none")
    assert called == [1]


@pytest.mark.parametrize("provider", [*SANDBOXES, "wasm"])
def test_a_native_function_runs_in_no_sandbox(runtime: cloister.Runtime, provider: str) -> None:
    native = cloister.NativeFunction(function=lambda: 1, name="f")
    with pytest.raises(ProviderUnavailable) as caught:
        runtime.run_program(native, context=NATIVE, provider=provider)
    assert caught.value.code == "provider.native"
    assert 'provider="none"' in str(caught.value.hint)


def test_nothing_but_native_functions_runs_without_a_sandbox(runtime: cloister.Runtime) -> None:
    for variant in (source(), cloister.ExternalProgram(argv=("true",)), cloister.ScriptProgram(text="echo")):
        with pytest.raises(ConfigError):
            runtime.run_program(variant, context=EXEC, provider="none")


def test_a_native_function_that_fails_is_recorded_and_told(runtime: cloister.Runtime) -> None:
    def fails() -> None:
        raise ValueError("no \x1b[31mgood")

    with pytest.raises(GuestError, match=r'"fails" failed: ValueError: no .*good') as caught:
        runtime.run_program(cloister.NativeFunction(function=fails, name="fails"), context=NATIVE, provider="none")
    assert caught.value.code == "guest.native"
    assert isinstance(caught.value.__cause__, ValueError)
    assert "\x1b" not in caught.value.message
    last = list(runtime.records())[-1].event
    assert last.event_type is EventType.RUN_FAILED
    assert last.body["error"]["code"] == "guest.native"


def test_what_a_native_function_takes_and_gives_is_data_within_limits(runtime: cloister.Runtime) -> None:
    def given(function: Any, *arguments: Any, context: cloister.RuntimeContext = NATIVE) -> Any:
        native = cloister.NativeFunction(function=function, name="f", arguments=arguments)
        return runtime.run_program(native, context=context, provider="none").value

    assert given(lambda value: value, {"a": [1, 2.5, None]}) == {"a": [1, 2.5, None]}
    with pytest.raises(InputError):
        given(lambda value: value, object())
    with pytest.raises(InputError):
        given(object)
    small = cloister.RuntimeContext.controlled(
        capabilities=["cloister.UnsafeNative"], limits=cloister.ResourceLimits(value_bytes=100)
    )
    assert given(lambda: "x" * 50, context=small) == "x" * 50
    with pytest.raises(LimitExceeded):
        given(lambda: "x" * 500, context=small)


# Commands, scripts, binaries


def test_a_command_runs_in_a_sandbox(runtime: cloister.Runtime) -> None:
    program = cloister.ExternalProgram(argv=("cat", "-"), stdin=b"input")
    result = runtime.run_program(program, context=EXEC)
    assert isinstance(result, cloister.ExecutionResult)
    assert (result.stdout, result.exit_status) == (b"input", 0)
    with pytest.raises(CapabilityDenied, match=r"cloister\.exec"):
        runtime.run_program(program, context=NATIVE)


def test_a_script_runs_in_a_sandbox(runtime: cloister.Runtime) -> None:
    program = cloister.ScriptProgram(
        text="import json, sys; print(json.dumps([sys.argv[1:], json.load(sys.stdin)]))",
        language="python",
        argv=("a",),
        arguments={"n": 1},
    )
    result = runtime.run_program(program, context=EXEC)
    assert isinstance(result, cloister.ScriptResult)
    assert result.value == [["a"], {"n": 1}]
    with pytest.raises(CapabilityDenied, match=r"cloister\.exec"):
        runtime.run_program(program, context=NOTHING)


def test_a_binary_runs_in_a_sandbox_and_sees_nothing_of_the_host(runtime: cloister.Runtime) -> None:
    program = cloister.Binary(data=Path("/bin/cat").read_bytes(), argv=("-", "/etc/shadow"), stdin=b"input")
    result = runtime.run_program(program, context=EXEC)
    assert isinstance(result, cloister.ExecutionResult)
    assert result.stdout == b"input"
    assert result.exit_status == 1
    assert b"/etc/shadow" in result.stderr
    with pytest.raises(CapabilityDenied, match=r"cloister\.exec"):
        runtime.run_program(program, context=NATIVE)


def test_the_file_of_a_binary_is_gone_afterwards_and_cannot_be_written(runtime: cloister.Runtime) -> None:
    program = cloister.Binary(data=b'#!/bin/sh\necho "$0"; echo more >> "$0" || echo refused\n')
    result = runtime.run_program(program, context=EXEC)
    assert isinstance(result, cloister.ExecutionResult)
    path, refused = result.stdout.decode().splitlines()
    assert refused == "refused"
    assert not Path(path).exists()
    assert not Path(path).parent.exists()


def test_a_binary_of_webassembly_runs_where_webassembly_is_run_only(runtime: cloister.Runtime) -> None:
    program = cloister.Binary(data=bytes(wasmtime.wat2wasm(HELLO)))
    with pytest.raises(ProviderUnavailable) as caught:
        runtime.run_program(program, context=EXEC)
    assert caught.value.code == "provider.wasm-only"
    assert "--provider wasm" in str(caught.value.hint)
    result = runtime.run_program(program, context=EXEC, provider="wasm")
    assert isinstance(result, cloister.ExecutionResult)
    assert (result.stdout, result.exit_status) == (b"hello\n", 0)


def test_a_binary_of_this_machine_is_refused_where_only_webassembly_is_run(runtime: cloister.Runtime) -> None:
    program = cloister.Binary(data=Path("/bin/true").read_bytes())
    with pytest.raises(ProviderUnavailable) as caught:
        runtime.run_program(program, context=EXEC, provider="wasm")
    assert caught.value.code == "provider.wasm-only"
    assert runtime.run_program(program, context=EXEC).exit_status == 0


def test_an_empty_binary_is_refused(runtime: cloister.Runtime) -> None:
    with pytest.raises(InputError) as caught:
        runtime.run_program(cloister.Binary(data=b""), context=EXEC)
    assert caught.value.code == "input.binary"


def test_executables_are_refused_where_nothing_is_executed(runtime: cloister.Runtime) -> None:
    for variant in (
        cloister.ExternalProgram(argv=("true",)),
        cloister.ScriptProgram(text="true", language="shell"),
        cloister.Binary(data=b"#!/bin/sh\n"),
    ):
        with pytest.raises(ProviderUnavailable) as caught:
            runtime.run_program(variant, context=EXEC, provider="mock")
        assert caught.value.code == "provider.unscripted"
