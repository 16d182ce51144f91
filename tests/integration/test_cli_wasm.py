"""`cloister exec --provider wasm`: commands and functions of WebAssembly, and plans' file operations under it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.security.components import component
from tests.security.webassembly import command
from wasmtime import wat2wasm

import cloister as package

Cloister = Callable[..., Any]

ADD = """(module
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "pair") (param f64) (result f64 i64) (local.get 0) (i64.const -5))
  (func (export "none")))"""
ECHO = command(
    """(i32.store (i32.const 0) (i32.const 2048)) (i32.store (i32.const 4) (i32.const 60000))
    (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.store (i32.const 4) (i32.load (i32.const 8)))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
    (call $exit (i32.const 3))""",
    "fd_read",
    "fd_write",
)

LIBRARY = """(component
  (core module $m (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.set $free (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
      (global.get $free) (global.set $free (i32.add (global.get $free) (local.get 3))))
    (global $free (mut i32) (i32.const 1024))
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "true") (result i32) (i32.const 1))
    (func (export "same") (param i32 i32) (result i32)
      (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1)) (i32.const 0)))
  (core instance $i (instantiate $m))
  (func $add (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add")))
  (export "add" (func $add))
  (func (export "true") (result bool) (canon lift (core func $i "true")))
  (func (export "same") (param "x" (list string)) (result (list string)) (canon lift (core func $i "same")
    (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (instance $ops (export "add" (func $add)))
  (export "local:math/ops@0.1.0" (instance $ops)))"""


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    for name, source in {"add": ADD, "echo": ECHO, "forever": command("(loop $l (br $l))")}.items():
        (tmp_path / f"{name}.wasm").write_bytes(wat2wasm(source))
    return tmp_path


def test_a_command_gets_input_and_gives_output_and_status(cloister: Cloister, modules: Path) -> None:
    done = cloister("exec", "--provider", "wasm", "--stdin", "--", "echo.wasm", stdin="given\n")
    assert (done.status, done.out, done.err) == (3, "given\n", "given\n")
    assert cloister("exec", "--provider", "wasm", "--", "./echo.wasm", stdin="given").out == ""


def test_a_function_is_called_with_numbers(cloister: Cloister, modules: Path) -> None:
    exec_wasm = ("exec", "--provider", "wasm")
    assert cloister(*exec_wasm, "--invoke", "add", "--", "add.wasm", "1", "-3").out == "-2\n"
    assert cloister(*exec_wasm, "--invoke", "pair", "--", "add.wasm", "nan").out == "nan -5\n"
    assert cloister(*exec_wasm, "--invoke", "none", "--", "add.wasm").out == "\n"
    data = cloister(*exec_wasm, "--invoke", "add", "--json", "--", "add.wasm", "1", "2").data
    assert (data["ok"], data["value"], data["exit_status"]) == (True, 3, None)
    assert data["usage"]["fuel_count"] > 0
    wrong = cloister(*exec_wasm, "--invoke", "add", "--", "add.wasm", "1")
    assert (wrong.status, "input.wasm-arguments" in wrong.err) == (2, True)
    missing = cloister(*exec_wasm, "--invoke", "sub", "--", "add.wasm")
    assert (missing.status, "input.wasm-entry" in missing.err) == (2, True)


def test_a_component_is_run_as_a_module_is(cloister: Cloister, modules: Path) -> None:
    body = """(call $read (call $get_stdin) (i64.const 100) (i32.const 0))
      (call $write (call $get_stdout) (i32.load (i32.const 4)) (i32.load (i32.const 8)) (i32.const 16))
      (call $exit_with_code (i32.const 3))"""
    used = ("get_stdin", "read", "get_stdout", "write", "exit_with_code")
    (modules / "component.wasm").write_bytes(wat2wasm(component(body, *used)))
    exec_wasm = ("exec", "--provider", "wasm")
    done = cloister(*exec_wasm, "--stdin", "--", "component.wasm", stdin="given\n")
    assert (done.status, done.out, done.err) == (3, "given\n", "")
    assert cloister(*exec_wasm, "--", "component.wasm").out == ""
    sleeps = component("(call $block (call $subscribe_duration (i64.const -1)))", "block", "subscribe_duration")
    (modules / "sleeps.wasm").write_bytes(wat2wasm(sleeps))
    ended = cloister(*exec_wasm, "--timeout", "1s", "--", "sleeps.wasm")
    assert (ended.status, "limit.wall" in ended.err) == (4, True)
    http = '(component (import "wasi:http/types@0.2.0" (instance (export "f" (func)))))'
    (modules / "http.wasm").write_bytes(wat2wasm(http))
    refused = cloister(*exec_wasm, "--", "http.wasm")
    assert (refused.status, "denied.wasm-import" in refused.err, "help:" in refused.err) == (3, True, True)


def test_a_function_of_a_component_is_called_with_values(cloister: Cloister, modules: Path) -> None:
    (modules / "library.wasm").write_bytes(wat2wasm(LIBRARY))
    call = ("exec", "--provider", "wasm", "--invoke")
    assert cloister(*call, "add", "--", "library.wasm", "2", "3").out == "5\n"
    assert cloister(*call, "local:math/ops@0.1.0#add", "--", "library.wasm", "2", "3").out == "5\n"
    assert cloister(*call, "ops#add", "--json", "--", "library.wasm", "2", "3").data["value"] == 5
    assert cloister(*call, "same", "--", "library.wasm", '["a", "é"]').out == '["a", "é"]\n'
    assert cloister(*call, "same", "--", "library.wasm", "[]").out == "\n"
    assert cloister(*call, "true", "--", "library.wasm").out == "true\n"
    wrong = cloister(*call, "add", "--", "library.wasm", "2", "-3")
    assert (wrong.status, "error[input.wasm-arguments]" in wrong.err, "-3 is no u32" in wrong.err) == (2, True, True)
    missing = cloister(*call, "sub", "--", "library.wasm")
    assert (missing.status, "input.wasm-entry" in missing.err, "ops@0.1.0#add" in missing.err) == (2, True, True)
    command_of_none = cloister("exec", "--provider", "wasm", "--", "library.wasm")
    assert (command_of_none.status, "input.wasm-entry" in command_of_none.err) == (2, True)


def test_what_is_recorded(cloister: Cloister, modules: Path) -> None:
    cloister("exec", "--provider", "wasm", "--invoke", "add", "--", "add.wasm", "1", "2")
    shown = cloister("audit", "show", "--json").out
    events = [json.loads(line) for line in shown.splitlines()] if "\n{" in shown else json.loads(shown)
    text = json.dumps(events)
    assert '"provider": "wasm"' in text
    assert '"isolation": "wasm"' in text
    assert cloister("audit", "verify").status == 0


def test_limits_and_levels(cloister: Cloister, modules: Path) -> None:
    done = cloister("exec", "--provider", "wasm", "--timeout", "200ms", "--", "forever.wasm")
    assert (done.status, "limit.wall" in done.err) == (4, True)
    few = cloister("exec", "--provider", "wasm", "--limit", "steps-count=10", "--", "forever.wasm")
    assert (few.status, "limit.steps" in few.err) == (4, True)
    strong = cloister("exec", "--provider", "wasm", "--isolation", "machine", "--", "echo.wasm")
    assert (strong.status, "denied.isolation" in strong.err) == (3, True)
    assert cloister("exec", "--provider", "wasm", "--isolation", "wasm", "--", "echo.wasm").status == 3


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--provider", "wasm", "--", "ls"), "provider.wasm-only"),
        (("--provider", "wasm", "--", "./missing.wasm"), "provider.exec"),
        (("--provider", "wasm", "--", "add.wasm"), "input.wasm-entry"),
        (("--provider", "wasm", "--lang", "ruby", "script.rb"), "provider.interpreter"),
        (("--provider", "wasm", "--invoke", "add", "--lang", "lua", "--", "add.wasm"), "input.argv"),
        (("--provider", "wasm", "--invoke", "add", "--stdin", "--", "add.wasm"), "input.argv"),
        (("--provider", "wasm", "--seed", "1", "--terminal", "--", "add.wasm"), "input.argv"),
        (("--seed", "1", "--lang", "python", "--", "script.py"), "provider.wasm-only"),
        (("--invoke", "add", "--", "add.wasm", "1", "2"), "provider.wasm-only"),
        (("--seed", "1", "--", "true"), "provider.wasm-only"),
    ],
)
def test_what_cannot_be_done_says_what_can(
    cloister: Cloister, modules: Path, options: tuple[str, ...], code: str
) -> None:
    (modules / "script.rb").write_text("puts 1")
    (modules / "script.py").write_text("print(1)")
    done = cloister("exec", *options)
    assert done.status in {2, 5}
    assert f"error[{code}]" in done.err
    assert "help:" in done.err


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("add.wat", ADD, "wat2wasm FILE.wat -o FILE.wasm"),
        ("./add.wat", ADD, "wat2wasm FILE.wat -o FILE.wasm"),
        ("text.wasm", ADD, "wat2wasm FILE.wat -o FILE.wasm"),
        ("commented.wasm", f";; adds\n{ADD}", "wat2wasm FILE.wat -o FILE.wasm"),
        ("script.py", "print(1)", "--lang python"),
        ("empty.wasm", "", "name a .wasm file"),
    ],
)
def test_what_is_no_module_is_told_apart(cloister: Cloister, modules: Path, name: str, content: str, said: str) -> None:
    (modules / name).write_text(content)
    done = cloister("exec", "--provider", "wasm", "--", name)
    assert (done.status, "error[provider.wasm-only]" in done.err, said in done.err) == (5, True, True)


def test_a_python_script_runs_in_webassembly(cloister: Cloister, modules: Path) -> None:
    (modules / "script.py").write_text("import sys\nprint(sys.platform, *sys.argv[1:])")
    done = cloister(
        "exec", "--provider", "wasm", "--isolation", "wasm", "--lang", "python", "--", "script.py", "a", "b"
    )
    assert (done.status, done.out) == (0, "wasi a b\n")


def test_a_seed_gives_the_same_each_time(cloister: Cloister, modules: Path) -> None:
    source = command(
        "(drop (call $random_get (i32.const 2048) (i32.const 8))) (call $exit (i32.load8_u (i32.const 2048)))",
        "random_get",
    )
    (modules / "draw.wasm").write_bytes(wat2wasm(source))
    drawn = [cloister("exec", "--provider", "wasm", "--seed", seed, "--", "draw.wasm").status for seed in "778"]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_seed_gives_a_script_the_same_each_time_and_is_on_record(cloister: Cloister, modules: Path) -> None:
    (modules / "draw.py").write_text("import random, time\nprint(random.random(), hash('a'), time.time_ns())")
    seeded = ("exec", "--provider", "wasm", "--lang", "python", "--seed")
    drawn = [cloister(*seeded, seed, "--", "draw.py").out for seed in "778"]
    assert drawn[0] == drawn[1] != drawn[2]
    started = [json.loads(cloister("audit", "show", "--json").out)["records"][index]["body"] for index in (0, -4)]
    assert [each["seed"] for each in started] == [7, 8]


def test_the_library_calls_functions_that_the_context_lets_be_read(modules: Path) -> None:
    path = str((modules / "add.wasm").resolve())
    with package.Runtime.open(modules / "home") as runtime:
        granted = package.RuntimeContext.controlled(capabilities=["cloister.exec"], read=[path])
        assert runtime.call_function(path, "add", [40, 2], context=granted).value == 42
        nothing = package.RuntimeContext.controlled(capabilities=["cloister.exec"])
        with pytest.raises(package.CloisterError) as caught:
            runtime.call_function(path, "add", [40, 2], context=nothing)
        assert caught.value.code == "provider.exec"
        with pytest.raises(package.CloisterError) as caught:
            runtime.call_function(path, "add", [40, 2], context=package.RuntimeContext.controlled(read=[path]))
        assert caught.value.code == "denied.capability"


def test_without_wasmtime_it_says_what_to_install(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['wasmtime'] = None; from cloister.isolation.factory import probe_providers;"
        "(found,) = [each for each in probe_providers() if each.provider == 'wasm'];"
        "print(found.available, found.level.label, found.remedy)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout == "False none pip install 'cloister[wasm]'\n"


def test_naming_the_provider_does_not_load_wasmtime() -> None:
    script = (
        "import sys; from cloister.isolation.factory import strength_of; strength_of('wasm');"
        "print('wasmtime' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"
