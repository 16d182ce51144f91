"""Threat: a component takes more than was granted: by what it imports, by its handles, by what it asks for at once."""

from __future__ import annotations

import resource
import threading
import time
from pathlib import Path

import pytest
from tests.security.components import FUNCTIONS, VERSION, component, library
from tests.security.webassembly import WasmBench

from cloister.errors import Cancelled, CloisterError, DeniedError, GuestCrashed, InputError, LimitExceeded
from cloister.isolation.provider import ExternalProgram
from cloister.isolation.wasm.wasi2.handles import HANDLES_MAX
from cloister.isolation.wasm.wasi2.interfaces import INTERFACES
from cloister.limits import MIB, ResourceLimits

HELLO = component(
    "(call $write (call $get_stdout) (i32.const 100) (i32.const 5) (i32.const 0))",
    "write",
    "get_stdout",
    data='(data (i32.const 100) "hello")',
)
QUIET = component("")


def failed(wasm: WasmBench, source: str, kind: type[CloisterError], **limits: int) -> CloisterError:
    with pytest.raises(kind) as caught:
        wasm.command(source, limits=ResourceLimits(**limits))
    assert type(caught.value) is kind
    return caught.value


def test_a_command_prints(wasm: WasmBench) -> None:
    done = wasm.command(HELLO)
    assert (done.stdout, done.stderr, done.exit_status) == (b"hello", b"", 0)
    assert (done.usage.fuel_count or 0) > 0


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        (
            '(import "wasi:http/outgoing-handler@0.2.0" (instance (export "handle" (func))))',
            "wasi:http/outgoing-handler",
        ),
        ('(import "wasi:keyvalue/store@0.2.0" (instance (export "open" (func))))', "wasi:keyvalue/store@0.2.0#open"),
        ('(import "wasi:cli/exit@0.3.0" (instance (export "exit" (func (param "status" (result))))))', "@0.3.0#exit"),
        ('(import "wasi:cli/exit@0.2.0" (instance (export "kill" (func))))', "wasi:cli/exit@0.2.0#kill"),
        ('(import "wasi:cli/exit@0.2.0" (instance (export "thing" (type (sub resource)))))', "#thing"),
        (
            '(import "cloister:host/call" (instance (export "call" (func (param "message" string)))))',
            "cloister:host/call",
        ),
        ('(import "local:a/b@1.0.0" (instance (export "f" (func))))', "local:a/b@1.0.0#f"),
        ('(import "local:a/b@1.0.0" (instance (export "x" (instance (export "f" (func))))))', "instance local:a/b"),
        ('(import "wasi:cli/exit@0.2.0" (instance (export "x" (core module))))', "module wasi:cli/exit@0.2.0#x"),
        ('(import "wasi:sockets/tcp@0.2.0" (instance (export "x" (component))))', "component wasi:sockets/tcp"),
        ('(import "f" (func (param "x" u8)))', "func f"),
        ('(import "r" (type (sub resource)))', "resource r"),
        ('(import "m" (core module))', "module m"),
        ('(import "c" (component))', "component c"),
    ],
)
def test_what_is_not_granted_is_refused_by_name(wasm: WasmBench, wanted: str, named: str) -> None:
    source = QUIET.replace("(component", f"(component {wanted}", 1)
    error = failed(wasm, source, DeniedError)
    assert error.code == "denied.wasm-import"
    assert named in error.message
    assert error.hint
    assert {"module", "name", "kind"} == set(error.details)
    assert wasm.command(QUIET).exit_status == 0


def test_an_interface_of_types_alone_is_nothing_to_grant(wasm: WasmBench) -> None:
    types = '(import "a:b/types@1.0.0" (instance (type $t (record (field "a" u8))) (export "t" (type (eq $t)))))'
    assert wasm.command(QUIET.replace("(component", f"(component {types}", 1)).exit_status == 0


@pytest.mark.parametrize("version", ["0.2.0", "0.2.1", "0.2.9", "0.2.12"])
def test_every_version_that_is_compatible_is_served(wasm: WasmBench, version: str) -> None:
    assert wasm.command(HELLO.replace(f"@{VERSION}", f"@{version}")).stdout == b"hello"


@pytest.mark.parametrize("version", ["0.1.0", "0.3.0", "0.2.0-rc-2023-11-10", "1.0.0"])
def test_no_other_version_is(wasm: WasmBench, version: str) -> None:
    error = failed(wasm, HELLO.replace(f"@{VERSION}", f"@{version}"), DeniedError)
    assert error.code == "denied.wasm-import"
    assert f"@{version}" in error.message


@pytest.mark.parametrize(
    "types",
    [
        '(param "len" u64) (result string)',
        '(param "len" u32) (result (list u8))',
        '(param "len" u64) (result (list u16))',
        '(param "len" u64)',
        '(param "len" u64) (param "more" u8) (result (list u8))',
        f'(param "len" {"(list " * 40}u8{")" * 40}) (result (list u8))',
    ],
)
def test_other_types_than_wasi_gives_are_refused(wasm: WasmBench, types: str) -> None:
    source = '(component (import "wasi:random/random@0.2.0" (instance (export "get-random-bytes" (func {})))) {}'
    error = failed(wasm, source.format(types, QUIET.removeprefix("(component")), InputError)
    assert error.code == "input.wasm"
    assert "wasi:random/random@0.2.0#get-random-bytes" in error.message
    right = '(param "len" u64) (result (list u8))'
    assert wasm.command(source.format(right, QUIET.removeprefix("(component"))).exit_status == 0


def test_the_tests_have_functions_of_every_interface_with_behaviour() -> None:
    known = {name for functions in INTERFACES.values() for name in functions}
    assert {name for _, name, _ in FUNCTIONS.values()} <= known


def test_several_versions_at_once_are_served(wasm: WasmBench) -> None:
    exits = '(import "wasi:cli/exit@0.2.{}" (instance $e{} (export "exit" (func (param "status" (result))))))'
    source = f"""(component {exits.format(0, 0)} {exits.format(7, 7)}
      (core func $a (canon lower (func $e0 "exit"))) (core func $b (canon lower (func $e7 "exit")))
      (core module $m (import "h" "a" (func $a (param i32))) (import "h" "b" (func $b (param i32)))
        (func (export "f") (call $a (i32.const 1))) (func (export "g") (call $b (i32.const 0))))
      (core instance $i (instantiate $m (with "h" (instance (export "a" (func $a)) (export "b" (func $b))))))
      (func (export "f") (canon lift (core func $i "f"))) (func (export "g") (canon lift (core func $i "g"))))"""
    for name, status in (("f", 1), ("g", 0)):
        with pytest.raises(GuestCrashed) as caught:
            wasm.call(source, name)
        assert caught.value.details["exit_status"] == status


SOCKETS = """(component
  (import "wasi:sockets/network@0.2.0" (instance $network
    (export "network" (type $n (sub resource)))
    (type $code' (enum "unknown" "access-denied" "not-supported")) (export "error-code" (type $code (eq $code')))))
  (alias export $network "network" (type $n)) (alias export $network "error-code" (type $code))
  (import "wasi:sockets/instance-network@0.2.0" (instance $instance
    (alias outer 1 $n (type $n')) (export "network" (type $n (eq $n')))
    (export "instance-network" (func (result (own $n))))))
  (import "wasi:sockets/tcp-create-socket@0.2.0" (instance $create
    (alias outer 1 $code (type $code')) (export "error-code" (type $code (eq $code')))
    (export "tcp-socket" (type $t (sub resource)))
    (export "create-tcp-socket" (func (result (result (own $t) (error $code)))))
    (export "strange" (func (result u8)))))
  (core module $room (memory (export "memory") 1)) (core instance $room (instantiate $room))
  (core func $network (canon lower (func $instance "instance-network")))
  (core func $create (canon lower (func $create "create-tcp-socket") (memory (core memory $room "memory"))))
  (core func $strange (canon lower (func $create "strange")))
  (core module $m (import "h" "network" (func $network (result i32))) (import "h" "create" (func $create (param i32)))
    (import "h" "strange" (func $strange (result i32))) (import "h" "memory" (memory 1))
    (func (export "f") (result i32)
      (if (i32.eqz (call $network)) (then unreachable))
      (call $create (i32.const 0))
      (i32.add (i32.mul (i32.load8_u (i32.const 0)) (i32.const 10)) (i32.load8_u (i32.const 4))))
    (func (export "g") (result i32) (call $strange)))
  (core instance $i (instantiate $m (with "h" (instance (export "network" (func $network))
    (export "create" (func $create)) (export "strange" (func $strange)) (export "memory" (memory $room "memory"))))))
  (func (export "f") (result u8) (canon lift (core func $i "f")))
  (func (export "g") (result u8) (canon lift (core func $i "g"))))"""


def test_sockets_load_and_answer_that_access_is_denied(wasm: WasmBench) -> None:
    source = SOCKETS.replace('(memory $room "memory")))))))', '(memory (core memory $room "memory"))))))')
    assert wasm.call(source, "f") == 11  # an error, and access-denied is the second one
    with pytest.raises(GuestCrashed) as caught:
        wasm.call(source, "g")
    assert "there is no network" in caught.value.message


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("(call $block (i32.const 77))", "unknown handle"),
        ("(call $block (i32.const 0))", "unknown handle"),
        ("(call $block (i32.const -1))", "unknown handle"),
        ("(call $block (call $get_stdout))", "wrong type"),
        ("(call $write (call $get_stdin) (i32.const 0) (i32.const 1) (i32.const 0))", "wrong type"),
        ("(call $drop_pollable (call $get_stdout))", "wrong type"),
        ("(local.set $a (call $get_stdout)) (call $drop_output (local.get $a)) (call $drop_output (local.get $a))",
         "unknown handle"),
        ("(local.set $a (call $get_stdout)) (call $drop_output (local.get $a))"
         " (call $write (local.get $a) (i32.const 0) (i32.const 1) (i32.const 0))", "unknown handle"),
        ("(loop $l (drop (call $get_stdout)) (br $l))", f"more than {HANDLES_MAX} handles"),
        ("(loop $l (call $directories (i32.const 0)) (br $l))", "as many files open as it may"),
    ],
)  # fmt: skip
def test_handles_that_are_none(wasm: WasmBench, body: str, named: str) -> None:
    used = ("block", "get_stdout", "get_stdin", "write", "drop_pollable", "drop_output", "directories")
    assert named in failed(wasm, component(body, *used), GuestCrashed).message


def test_handles_that_are_given_back_do_not_count(wasm: WasmBench) -> None:
    turns = f"(local.set $a (i32.const {HANDLES_MAX + 10}))"
    body = "(loop $l (call $drop_output (call $get_stdout)) (local.set $a (i32.sub (local.get $a) (i32.const 1)))"
    done = wasm.command(component(f"{turns} {body} (br_if $l (local.get $a)))", "get_stdout", "drop_output"))
    assert done.exit_status == 0


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("(call $random_bytes (i64.const 0x7fffffffffffffff) (i32.const 0))", "random bytes at once"),
        ("(call $random_bytes (i64.const -1) (i32.const 0))", "random bytes at once"),
        ("(call $write_zeroes (call $get_stdout) (i64.const -1) (i32.const 0))", "zeroes at once"),
        ("(call $write (call $get_stdout) (i32.const 0) (i32.const 0x6000000) (i32.const 0))", "copied"),
        ("(call $write (call $get_stdout) (i32.const 0) (i32.const -1) (i32.const 0))", "out of bounds"),
        ("(call $poll (i32.const 0) (i32.const 0) (i32.const 0))", "0 things at once"),
        ("(call $poll (i32.const 0) (i32.const 0x1000000) (i32.const 0))", ""),
    ],
)
def test_what_is_asked_for_at_once_has_a_bound(wasm: WasmBench, body: str, named: str) -> None:
    used = ("random_bytes", "write_zeroes", "write", "get_stdout", "poll")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert named in failed(wasm, component(body, *used, pages=1600), GuestCrashed).message
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 300 * MIB


def test_what_is_within_those_bounds_is_done(wasm: WasmBench) -> None:
    body = """(call $random_bytes (i64.const 1048576) (i32.const 0))
      (call $write_zeroes (call $get_stdout) (i64.const 65536) (i32.const 0))
      (call $write (call $get_stdout) (i32.const 0) (i32.const 300000) (i32.const 0))"""
    done = wasm.command(component(body, "random_bytes", "write_zeroes", "write", "get_stdout", pages=20))
    assert (done.exit_status, len(done.stdout)) == (0, 365_536)


def test_reading_more_than_there_is(wasm: WasmBench) -> None:
    body = """(local.set $a (call $get_stdin)) (call $read (local.get $a) (i64.const -1) (i32.const 0))
      (call $write (call $get_stdout) (i32.load (i32.const 4)) (i32.load (i32.const 8)) (i32.const 16))
      (call $read (local.get $a) (i64.const 1) (i32.const 32))
      (local.set $b (i32.mul (i32.load8_u (i32.const 32)) (i32.const 10)))
      (call $exit_with_code (i32.add (local.get $b) (i32.load8_u (i32.const 36))))"""
    source = component(body, "get_stdin", "read", "write", "get_stdout", "exit_with_code")
    done = wasm.command(source, stdin=b"given")
    assert (done.stdout, done.exit_status) == (b"given", 11)  # an error, and closed is the second one


def test_a_read_is_a_piece(wasm: WasmBench) -> None:
    body = """(call $read (call $get_stdin) (i64.const -1) (i32.const 0))
      (call $write (call $get_stdout) (i32.load (i32.const 4)) (i32.load (i32.const 8)) (i32.const 16))"""
    source = component(body, "get_stdin", "read", "write", "get_stdout")
    assert len(wasm.command(source, stdin=bytes(200_000)).stdout) == 65_536


def with_types(functions_count: int) -> str:
    """Return a component with many functions of one type of some size."""
    cases = " ".join(f'"{"a" * 100}{number}"' for number in range(100))
    lifted = " ".join(
        f'(func (export "f{number}") (result $e) (canon lift (core func $i "f")))' for number in range(functions_count)
    )
    return f"""(component (core module $m (func (export "f") (result i32) (i32.const 1)))
      (core instance $i (instantiate $m)) (type $t (enum {cases})) (export $e "e" (type $t)) {lifted})"""


def test_types_have_their_bound(wasm: WasmBench) -> None:
    with pytest.raises(InputError) as caught:
        wasm.call(with_types(100), "f0")
    assert caught.value.code == "input.wasm-large"
    assert wasm.call(with_types(10), "f0") == "a" * 100 + "1"


FOREVER = [
    "(loop $l (br $l))",
    "(call $block (call $subscribe_duration (i64.const -1)))",
    "(call $block (call $subscribe_duration (i64.const 60000000000)))",
    "(i32.store (i32.const 0) (call $subscribe_duration (i64.const -1)))"
    " (call $poll (i32.const 0) (i32.const 1) (i32.const 8))",
    "(loop $l (drop (call $random_u64)) (br $l))",
]


@pytest.mark.parametrize("body", FOREVER)
def test_nothing_lasts_longer_than_its_time(wasm: WasmBench, body: str) -> None:
    source = component(body, "block", "subscribe_duration", "poll", "random_u64")
    started = time.monotonic()
    error = failed(wasm, source, LimitExceeded, wall_ms=1_500)
    assert error.details["limit"] == "wall_ms"
    assert time.monotonic() - started < 20


def test_waiting_is_done(wasm: WasmBench) -> None:
    body = """(i32.store (i32.const 0) (call $subscribe_duration (i64.const -1)))
      (i32.store (i32.const 4) (call $subscribe_duration (i64.const 1000000)))
      (call $poll (i32.const 0) (i32.const 2) (i32.const 8))
      (call $exit_with_code (i32.add (i32.load (i32.load (i32.const 8))) (i32.load (i32.const 12))))"""
    assert wasm.command(component(body, "subscribe_duration", "poll", "exit_with_code")).exit_status == 2


def test_starting_counts(wasm: WasmBench) -> None:
    for body, kind in (("(loop $l (br $l))", LimitExceeded), ("unreachable", GuestCrashed)):
        start = f"(core module $s (func $f {body}) (start $f)) (core instance (instantiate $s))"
        failed(wasm, component("", exports=start), kind, wall_ms=1_500)
    fine = "(core module $s (func $f) (start $f)) (core instance (instantiate $s))"
    assert wasm.command(component("", exports=fine)).exit_status == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 0),
        ("(return (i32.const 1))", 1),
        ("(call $exit (i32.const 0))", 0),
        ("(call $exit (i32.const 1))", 1),
        ("(call $exit_with_code (i32.const 7))", 7),
        ("(call $exit_with_code (i32.const 255))", 255),
    ],
)
def test_how_it_ends_is_its_status(wasm: WasmBench, body: str, status: int) -> None:
    assert wasm.command(component(f"{body}", "exit", "exit_with_code")).exit_status == status


def test_ending_instead_of_returning_is_a_crash_of_a_function(wasm: WasmBench) -> None:
    source = """(component (import "wasi:cli/exit@0.2.0" (instance $e (export "exit" (func (param "status" (result))))))
      (core func $exit (canon lower (func $e "exit")))
      (core module $m (import "h" "exit" (func $exit (param i32)))
        (func (export "f") (call $exit (i32.const 0))) (func (export "g")))
      (core instance $i (instantiate $m (with "h" (instance (export "exit" (func $exit))))))
      (func (export "f") (canon lift (core func $i "f"))) (func (export "g") (canon lift (core func $i "g"))))"""
    with pytest.raises(GuestCrashed) as caught:
        wasm.call(source, "f")
    assert "ended itself with status 0" in caught.value.message
    assert wasm.call(source, "g") == []


class Stop(BaseException):
    """What whoever watches may raise."""


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, Stop])
def test_what_an_observer_raises_comes_out_as_it_is(wasm: WasmBench, kind: type[BaseException]) -> None:
    raised = kind("on purpose")

    def observer(_: str, __: bytes) -> None:
        raise raised

    path = wasm.put(HELLO)
    context = wasm.permitted(ExternalProgram(argv=(str(path),)), read=(path,))
    with pytest.raises(kind) as caught:
        wasm.provider.execute(context, on_output=observer)
    assert caught.value is raised
    assert wasm.command(HELLO).stdout == b"hello"


def test_two_at_once_get_their_own_errors(wasm: WasmBench) -> None:
    """The package of wasmtime keeps the last exception in one variable of the process."""
    found: dict[int, list[str]] = {0: [], 1: []}
    bodies = (
        "(call $random_bytes (i64.const -1) (i32.const 0))",
        "(call $poll (i32.const 0) (i32.const 0) (i32.const 0))",
    )
    paths = [wasm.put(component(body, "random_bytes", "poll")) for body in bodies]

    def run(number: int) -> None:
        for _ in range(20):
            path = paths[number]
            context = wasm.permitted(ExternalProgram(argv=(str(path),)), read=(path,))
            try:
                wasm.provider.execute(context)
            except (GuestCrashed, Cancelled) as error:
                found[number].append(error.message)

    threads = [threading.Thread(target=run, args=(number,)) for number in found]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [len(each) for each in found.values()] == [20, 20]
    assert all("random bytes" in each for each in found[0])
    assert all("things at once" in each for each in found[1])


def test_output_has_its_limit(wasm: WasmBench) -> None:
    body = "(loop $l (call $write (call $get_stderr) (i32.const 0) (i32.const 4096) (i32.const 0)) (br $l))"
    error = failed(wasm, component(body, "write", "get_stderr"), LimitExceeded, output_bytes=10_000)
    assert error.code == "limit.output"
    assert wasm.command(HELLO, limits=ResourceLimits(output_bytes=5)).stdout == b"hello"


def test_memory_has_its_limit_however_many_there_are(wasm: WasmBench) -> None:
    grows = "(return (i32.eq (memory.grow (i32.const {})) (i32.const -1)))"
    second = "(core module $n (memory 1)) (core instance (instantiate $n))"
    limits = ResourceLimits(memory_bytes=20 * 65_536)
    assert wasm.command(component(grows.format(18)), limits=limits).exit_status == 0
    assert wasm.command(component(grows.format(19)), limits=limits).exit_status == 1
    assert wasm.command(component(grows.format(8), exports=second), limits=limits).exit_status == 0
    assert wasm.command(component(grows.format(9), exports=second), limits=limits).exit_status == 1
    failed(wasm, component("", pages=21), LimitExceeded, memory_bytes=20 * 65_536)


def test_a_seed_gives_the_same_each_time(wasm: WasmBench, tmp_path: Path) -> None:
    body = """(i64.store (i32.const 0) (call $random_u64)) (i64.store (i32.const 8) (call $now))
      (call $block (call $subscribe_duration (i64.const 3600000000000))) (i64.store (i32.const 16) (call $now))
      (call $wall_now (i32.const 24))
      (call $write (call $get_stdout) (i32.const 0) (i32.const 40) (i32.const 64))"""
    source = component(body, "random_u64", "now", "block", "subscribe_duration", "wall_now", "write", "get_stdout")
    drawn = [wasm.seeded(source, seed) for seed in (7, 7, 8)]
    assert drawn[0] == drawn[1]
    assert drawn[0][:8] != drawn[2][:8]
    assert int.from_bytes(drawn[0][16:24], "little") > 3_600_000_000_000
    assert int.from_bytes(drawn[0][24:32], "little") == 946_684_800 + 3_600  # the year 2000, and the hour of waiting


def test_words_and_variables(wasm: WasmBench) -> None:
    shown = """(call ${} (i32.const 0)) (local.set $a (i32.load (i32.const 0)))
      (loop $l (call $write (call $get_stdout) (i32.load (local.get $a)) (i32.load offset=4 (local.get $a))
        (i32.const 16)) (local.set $a (i32.add (local.get $a) (i32.const 8)))
        (local.set $b (i32.add (local.get $b) (i32.const 1)))
        (br_if $l (i32.lt_u (local.get $b) (i32.mul (i32.const {}) (i32.load (i32.const 4))))))"""
    variables = component(shown.format("get_environment", 2), "get_environment", "write", "get_stdout")
    assert wasm.command(variables, environment={"A": "é", "B": ""}).stdout.decode() == "AéB"
    words = component(shown.format("get_arguments", 1), "get_arguments", "write", "get_stdout")
    assert wasm.command(words, "one", "zwölf").stdout.decode().endswith(".wasmonezwölf")
    with pytest.raises(InputError) as caught:
        wasm.command(words, "\udc80")
    assert caught.value.code == "input.argv"


def test_a_library_is_no_command_and_a_command_no_library(wasm: WasmBench) -> None:
    source = library('(func (export "f") (result i32) (i32.const 7))', "f (result u8)")
    assert failed(wasm, source, InputError).code == "input.wasm-entry"
    assert wasm.call(source, "f") == 7
    assert wasm.call(HELLO, "wasi:cli/run#run") == {"ok": None}
    with pytest.raises(InputError):
        wasm.call(HELLO, "run")
