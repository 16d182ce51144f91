"""What a guest attempts to show that it cannot.

Owns the attempts and what must come of each; they are made in guests like any other, through the same code, with an
engine of their own and nothing on disk. An attempt whose permitted twin does not work proves nothing: a module that
sees the refusal itself tries the twin first, a granted variable is counted, and granted files are read and written
beside those that are not.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloister.authority.level import IsolationLevel
from cloister.clock import Clock
from cloister.errors import CloisterError, quoted
from cloister.isolation.provider import (
    Evidence,
    ExecutionResult,
    Facility,
    GuestOperation,
    Mount,
    MountMode,
    ProbeReport,
)
from cloister.isolation.wasm.binding import binding
from cloister.isolation.wasm.components.programs import run_component
from cloister.isolation.wasm.engine import Engine, is_component
from cloister.isolation.wasm.modules import Modules
from cloister.isolation.wasm.operations import run_operation
from cloister.isolation.wasm.programs import run_module
from cloister.isolation.wasm.room import Given, Room, Workshop, in_room
from cloister.limits import MIB, ResourceLimits

SMALL: Final = ResourceLimits(
    wall_ms=5_000, cpu_ms=5_000, memory_bytes=4 * MIB, steps_count=1_000_000, output_bytes=100_000
)
_SHORT: Final = ResourceLimits(wall_ms=50, memory_bytes=4 * MIB)
_COMPILED_APART: Final = ResourceLimits(wall_ms=60_000, memory_bytes=4 * MIB)
"""For components: that another process starts is part of it."""
GRANTED: Final = {"GRANTED": "1"}
"""The variables that guests have which attempt something: they must find these, and no others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Something that a guest tries.

    Attributes:
        mechanism: What it is about.
        attempted: What, in words.
        source: A command as text, module or component; it leaves with status 0 when it was refused as it should be.
        expected: What comes of it: the code of an error, or `refused` where the module sees the refusal itself.
        limits: Those it has.
    """

    mechanism: str
    attempted: str
    source: str
    expected: str = "refused"
    limits: ResourceLimits = SMALL


_EXIT: Final = '(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))'
_LEAVE_UNLESS: Final = "(if (i32.eqz {}) (then (call $exit (i32.const 1))))"

ATTEMPTS: Final = (
    Attempt(
        mechanism="linear memory",
        attempted="read beyond the end of its memory",
        source='(module (memory 1) (func (export "_start") (drop (i32.load (i32.const 65532)))'
        " (drop (i32.load (i32.const 65533)))))",
        expected="provider.crashed",
    ),
    Attempt(
        mechanism="memory limit",
        attempted="grow its memory beyond the limit",
        source=f'(module {_EXIT} (memory (export "memory") 1) (func (export "_start")'
        f" {_LEAVE_UNLESS.format('(i32.eq (i32.const 1) (memory.grow (i32.const 62)))')}"
        f" {_LEAVE_UNLESS.format('(i32.eq (i32.const -1) (memory.grow (i32.const 2)))')}))",
    ),
    Attempt(
        mechanism="memory limit",
        attempted="begin with more memory than the limit",
        source='(module (memory 65) (func (export "_start")))',
        expected="limit.memory",
    ),
    Attempt(
        mechanism="table limit",
        attempted="grow a table without end",
        source=f'(module {_EXIT} (memory (export "memory") 1) (table $t 0 funcref) (func (export "_start")'
        f" {_LEAVE_UNLESS.format('(i32.eqz (table.grow $t (ref.null func) (i32.const 10)))')}"
        f" {_LEAVE_UNLESS.format('(i32.eq (i32.const -1) (table.grow $t (ref.null func) (i32.const 0x7fffffff)))')}))",
    ),
    Attempt(
        mechanism="deadline",
        attempted="run for ever in the function that starts it",
        source='(module (func $f (loop $l (br $l))) (start $f) (func (export "_start")))',
        expected="limit.wall",
        limits=_SHORT,
    ),
    Attempt(
        mechanism="fuel",
        attempted="run more instructions than the limit",
        source='(module (func (export "_start") (loop $l (br $l))))',
        expected="limit.steps",
        limits=ResourceLimits(steps_count=1_000),
    ),
    Attempt(
        mechanism="stack limit",
        attempted="call itself without end",
        source='(module (func $f (export "_start") (call $f) (call $f)))',
        expected="limit.depth",
    ),
    Attempt(
        mechanism="imports",
        attempted="import a function that nobody granted",
        source='(module (import "env" "system" (func $f (param i32) (result i32))) (func (export "_start")))',
        expected="denied.wasm-import",
    ),
    Attempt(
        mechanism="imports",
        attempted="call a granted function with a place outside its memory",
        source='(module (import "wasi_snapshot_preview1" "random_get" (func $f (param i32 i32) (result i32)))'
        ' (memory (export "memory") 1) (func (export "_start") (drop (call $f (i32.const 0) (i32.const 65536)))'
        " (drop (call $f (i32.const 1) (i32.const 65536)))))",
        expected="provider.crashed",
    ),
    Attempt(
        mechanism="environment",
        attempted="find a variable that nobody granted",
        source=f'(module {_EXIT} (import "wasi_snapshot_preview1" "environ_sizes_get" (func $f (param i32 i32)'
        ' (result i32))) (memory (export "memory") 1) (func (export "_start")'
        f" {_LEAVE_UNLESS.format('(i32.eqz (call $f (i32.const 0) (i32.const 4)))')}"
        f" {_LEAVE_UNLESS.format(f'(i32.eq (i32.const {len(GRANTED)}) (i32.load (i32.const 0)))')}))",
    ),
    Attempt(
        mechanism="output limit",
        attempted="print without end",
        source='(module (import "wasi_snapshot_preview1" "fd_write" (func $f (param i32 i32 i32 i32) (result i32)))'
        ' (memory (export "memory") 1) (data (i32.const 4) "\\10\\27") (func (export "_start")'
        " (loop $l (drop (call $f (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) (br $l))))",
        expected="limit.output",
    ),
    Attempt(
        mechanism="waiting",
        attempted="sleep longer than its time",
        source='(module (import "wasi_snapshot_preview1" "poll_oneoff" (func $f (param i32 i32 i32 i32) (result i32)))'
        ' (memory (export "memory") 1) (data (i32.const 16) "\\01") (func (export "_start")'
        " (i64.store (i32.const 24) (i64.const 60000000000))"
        " (drop (call $f (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))",
        expected="limit.wall",
        limits=_SHORT,
    ),
    Attempt(
        mechanism="components",
        attempted="import an interface that nobody granted",
        source='(component (import "wasi:http/types@0.2.0" (instance (export "f" (func)))))',
        expected="denied.wasm-import",
        limits=_COMPILED_APART,
    ),
    Attempt(
        mechanism="components",
        attempted="wait for what it has no handle of",
        source="""(component
          (import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type $p (sub resource)))
            (export "[method]pollable.block" (func (param "self" (borrow $p))))))
          (alias export $poll "pollable" (type $p))
          (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
            (alias outer 1 $p (type $p')) (export "pollable" (type $p (eq $p')))
            (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
          (core func $block (canon lower (func $poll "[method]pollable.block")))
          (core func $after (canon lower (func $clock "subscribe-duration")))
          (core module $m (import "h" "block" (func $block (param i32)))
            (import "h" "after" (func $after (param i64) (result i32)))
            (func (export "run") (result i32) (call $block (call $after (i64.const 1))) (call $block (i32.const 99))
              (i32.const 0)))
          (core instance $i (instantiate $m
            (with "h" (instance (export "block" (func $block)) (export "after" (func $after))))))
          (func $run (result (result)) (canon lift (core func $i "run")))
          (instance $command (export "run" (func $run))) (export "wasi:cli/run@0.2.0" (instance $command)))""",
        expected="provider.crashed",
        limits=_COMPILED_APART,
    ),
)
"""What needs no files."""
READS: Final = {
    "read a file that nobody granted": "{place}/secret",
    "leave a granted directory by its parent": "{place}/granted/../secret",
    "leave a granted directory by a link": "{place}/granted/link",
    "leave a granted directory by an absolute link": "{place}/granted/absolute",
    "read /etc/passwd": "/etc/passwd",
}
"""Paths that are read although nobody granted them, by what that attempts."""
FILES: Final = "files"
WRITE: Final = "write where only reading was granted"


def report(provider: str, level: IsolationLevel, version: str, clock: Clock) -> ProbeReport:
    """Make all attempts, and return what came of them.

    Args:
        provider: The provider's name.
        level: What it declares when every attempt was refused.
        version: Of wasmtime.
        clock: Time and randomness.
    """
    with closing(Engine()) as engine, tempfile.TemporaryDirectory(prefix="cloister-wasm-probe-") as place:
        workshop = Workshop(engine=engine, modules=Modules(engine, None), clock=clock)
        evidence = (
            *(_made(workshop, attempt) for attempt in ATTEMPTS),
            *_with_files(workshop, Path(os.path.realpath(place))),
        )
    broken = [each for each in evidence if not each.holds]
    return ProbeReport(
        provider=provider,
        available=not broken,
        level=IsolationLevel.NONE if broken else level,
        reason=f"{len(broken)} of {len(evidence)} attempts were not refused as they must be" if broken else None,
        evidence=evidence,
        facilities=(Facility(name="wasmtime", state=version),),
    )


def _made(workshop: Workshop, attempt: Attempt) -> Evidence:
    wasm = bytes(binding().api.wat2wasm(attempt.source))

    def act(room: Room) -> ExecutionResult:
        run = run_component if is_component(wasm) else run_module
        return run(workshop, room, wasm, ("attempt",), b"")

    given = Given(limits=attempt.limits, environment=GRANTED)
    observed = _observed(lambda: in_room(workshop, given, act))
    return Evidence(
        mechanism=attempt.mechanism,
        attempted=attempt.attempted,
        observed=observed,
        holds=observed == attempt.expected,
    )


def _observed(act: Callable[[], ExecutionResult]) -> str:
    """Return what came of an attempt, in a word."""
    try:
        result = act()
    except CloisterError as error:
        return str(error.details.get("errno", error.code))
    if result.exit_status is None:
        return f"value {quoted(repr(result.value), 40)}"
    return "refused" if result.exit_status == 0 else f"it was not refused (status {result.exit_status})"


def _with_files(workshop: Workshop, place: Path) -> Iterator[Evidence]:
    """Attempt to leave a granted directory, and to change it."""
    granted, writable = place / "granted", place / "writable"
    _lay_out(place, granted, writable)
    mounts = (
        Mount(source=str(granted), target=str(granted)),
        Mount(source=str(writable), target=str(writable), mode=MountMode.READ_WRITE),
    )
    given = Given(limits=SMALL, mounts=mounts)

    def tried(name: str, path: str, content: str | None = None) -> str:
        arguments = {"path": path} if content is None else {"path": path, "content": content}
        operation = GuestOperation(name=name, arguments=arguments)
        return _observed(lambda: in_room(workshop, given, lambda room: run_operation(workshop, room, operation)))

    reads = tried("read_file", f"{granted}/file") == "value 'granted'"
    for attempted, path in READS.items():
        observed = tried("read_file", path.format(place=place))
        yield Evidence(mechanism=FILES, attempted=attempted, observed=observed, holds=reads and observed == "ENOENT")
    tried("write_file", f"{writable}/new", "x")
    writes = (writable / "new").exists()
    observed = tried("write_file", f"{granted}/new", "x")
    holds = writes and observed == "EROFS" and not (granted / "new").exists()
    yield Evidence(mechanism=FILES, attempted=WRITE, observed=observed, holds=holds)


def _lay_out(place: Path, granted: Path, writable: Path) -> None:
    """Make the directories, a file in one, a secret beside it, and links to that."""
    granted.mkdir()
    writable.mkdir()
    (granted / "file").write_text("granted", encoding="utf-8")
    secret = place / "secret"
    secret.write_text("secret", encoding="utf-8")
    (granted / "link").symlink_to("../secret")
    (granted / "absolute").symlink_to(secret)
