"""What a plan and its scripts may get wrong, each with its typed error and its permitted twin.

Every case runs through the public interface with the default provider. Afterwards nothing may be left: no process, no
half-written file, no directory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import cloister
from cloister.errors import (
    CapabilityDenied,
    GuestError,
    LimitExceeded,
    PathDenied,
    PlanError,
    ReadError,
)

MIB = 2**20
LIMITS = cloister.ResourceLimits(
    wall_ms=15_000,
    memory_bytes=128 * MIB,
    processes_count=16,
    disk_bytes=8 * MIB,
    output_bytes=MIB,
    value_bytes=2 * MIB,
)
IO = ("ccos.io.read-file", "ccos.io.write-file", "ccos.sandbox.python", "ccos.sandbox.shell")
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cloister.Runtime]:
    with cloister.Runtime.open(tmp_path_factory.mktemp("home") / "home") as opened:
        yield opened


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a granted tree, a twin whose name starts alike, and a secret beside them."""
    root = tmp_path.resolve()
    for name in ("data", "data-twin"):
        (root / name).mkdir()
        (root / name / "file").write_text(name, encoding="utf-8")
    (root / "secret").write_text("secret", encoding="utf-8")
    (root / "data" / "out").symlink_to(root / "secret")
    (root / "data" / "in").symlink_to(root / "data" / "file")
    return root


@pytest.fixture
def run(runtime: cloister.Runtime, place: Path) -> Run:
    def evaluate(plan: Any, *, allow: tuple[str, ...] = IO, write: bool = False, **inputs: Any) -> Any:
        grant = [str(place / "data")]
        context = cloister.RuntimeContext.controlled(
            capabilities=allow, read=[] if write else grant, write=grant if write else [], limits=LIMITS
        )
        return runtime.run(plan, context=context, inputs={"place": str(place), **inputs}).value

    return evaluate


def place_of(error: cloister.CloisterError) -> tuple[int, int] | None:
    return error.span and (error.span.line, error.span.column)


@pytest.mark.parametrize(
    ("bad", "code", "column", "good"),
    [
        ("(+ 1 2", "read.unclosed", 1, "(+ 1 2)"),
        ("(+ 1 2))", "read.unexpected-close", 8, "(+ 1 2)"),
        ("[1 2)", "read.mismatched", 5, "[1 2]"),
        ('"a\\q"', "read.escape", 3, '"a\\n"'),
        ("{:a}", "read.map-odd", 2, "{:a 1}"),
        ("99999999999999999999", "read.number", 1, "9223372036854775807"),
    ],
)
def test_malformed_plan(run: Run, bad: str, code: str, column: int, good: str) -> None:
    with pytest.raises(ReadError) as caught:
        run(bad)
    assert caught.value.code == code
    assert caught.value.span is not None
    assert (caught.value.span.line, caught.value.span.column) == (1, column)
    run(good)


LARGE = 2**20 - 100
TEXTS = {
    "a megabyte of parentheses": ("(" * LARGE, "read.depth", "(do " * 150 + "1" + ")" * 150),
    "a megabyte of quotes": ("'" * LARGE, "read.depth", "'" * 150 + "x"),
    "ten megabytes of parentheses": ("(" * 10_000_000, "read.size", "(+ 1 2)"),
    "a megabyte of closers": (")" * LARGE, "read.unexpected-close", "(+ 1 2)"),
    "a megabyte of delimiters that do not match": ("([)" * (LARGE // 3), "read.mismatched", "[()]"),
    "a megabyte of words that are none": ("1a " * (LARGE // 3), "read.number", "1"),
    "an integer of a million digits": ("9" * 1_000_000, "read.number", "0" * 1_000_000 + "9"),
    "an exponent of a million digits": ("1.0e" + "9" * 1_000_000, "read.number", "1.0e-" + "9" * 1_000_000),
    "a word of a million foreign letters": ("é" * 1_000_000, "read.character", ":" + "e" * 10_000),
    "a string of a megabyte": ('"' + "x" * LARGE, "read.unclosed", f'(count "{"x" * LARGE}")'),
    "a string of escapes": ('"' + r"\n" * (LARGE // 2), "read.unclosed", '(count "' + r"\n" * (LARGE // 2) + '")'),
    "a string that ends in an escape": ('"' + "\\" * (LARGE + 1), "read.unclosed", '(count "' + "\\" * LARGE + '")'),
    "comments inside one another": ("#| " * (LARGE // 3), "read.unclosed", "#| " * (LARGE // 3) + "|# 1"),
    "half a million forms": ("1 " * (LARGE // 2), "read.size", "[" + "1 " * 100_000 + "]"),
    "half a surrogate pair": ('"\ud800"', "read.character", '"\U0001f600"'),
    "control characters": ("\0\x01\x1b[31m", "read.character", '"\0\x01\x1b[31m"'),
}


@pytest.mark.parametrize("name", TEXTS)
def test_hostile_text(run: Run, name: str) -> None:
    bad, code, good = TEXTS[name]
    with pytest.raises(ReadError) as caught:
        run(bad)
    assert caught.value.code == code
    assert caught.value.span is not None
    assert len(caught.value.render()) < 2_000
    assert caught.value.message.isprintable()
    run(good)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b'(str "\xff\xfe")', "plan.encoding"),
        (b"\x80" * 1_000, "plan.encoding"),
        (b"(" * 10_000_000, "plan.size"),
    ],
)
def test_plan_file_of_any_bytes(run: Run, place: Path, data: bytes, code: str) -> None:
    (place / "bytes.rtfs").write_bytes(data)
    with pytest.raises(PlanError) as caught:
        run(place / "bytes.rtfs")
    assert caught.value.code == code
    (place / "bytes.rtfs").write_bytes('\ufeff(str "é")\r\n'.encode())
    assert run(place / "bytes.rtfs") == "é"


def test_unreadable_plan(run: Run, place: Path) -> None:
    with pytest.raises(PlanError) as caught:
        run(place / "none.rtfs")
    assert caught.value.code == "plan.unreadable"
    assert caught.value.hint == "name a file with RTFS text, or a compiled plan"
    (place / "some.rtfs").write_text("(+ 1 2)", encoding="utf-8")
    assert run(place / "some.rtfs") == 3


def test_unknown_capability(run: Run) -> None:
    with pytest.raises(CapabilityDenied) as caught:
        run('(call :ccos.io.reed-file "x")')
    assert caught.value.code == "denied.unknown-capability"
    assert caught.value.hint == "did you mean ccos.io.read-file?"
    assert caught.value.span is not None
    assert run('(call :ccos.io.read-file (str place "/data/file"))') == "data"


def test_wrong_argument_shape(run: Run) -> None:
    with pytest.raises(GuestError) as caught:
        run("(call :ccos.io.read-file [1])")
    assert (caught.value.code, caught.value.kind) == ("guest.type", "TypeError")
    assert caught.value.span is not None


@pytest.mark.parametrize("tried", ["/data/../secret", "/secret", "/data/out", "/data-twin/file", "/data/./../secret"])
@pytest.mark.parametrize("literal", [True, False])
def test_path_outside_the_grant(run: Run, place: Path, tried: str, literal: bool) -> None:
    argument = f'"{place}{tried}"' if literal else f'(str place "{tried}")'
    with pytest.raises(PathDenied) as caught:
        run(f"(call :ccos.io.read-file {argument})")
    assert caught.value.code == "denied.path"
    assert caught.value.hint is not None
    assert "--read " in caught.value.hint
    assert place_of(caught.value) == (1, 1)
    for inside in ("/data/file", "/data/in", "/data/../data/./file"):
        assert run(f'(call :ccos.io.read-file (str place "{inside}"))') == "data"


def test_relative_path_is_taken_from_where_the_run_started(
    runtime: cloister.Runtime, place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(place / "data")
    context = cloister.RuntimeContext.controlled(capabilities=IO, read=[str(place / "data")])
    with cloister.Runtime.open(tmp_path / "home") as started_here:
        assert started_here.run('(call :ccos.io.read-file "file")', context=context).value == "data"
        with pytest.raises(PathDenied):
            started_here.run('(call :ccos.io.read-file "../secret")', context=context)


def test_path_that_is_not_there(run: Run) -> None:
    with pytest.raises(GuestError) as caught:
        run('(do 1\n  (call :ccos.io.read-file (str place "/data/none")))')
    assert place_of(caught.value) == (2, 3)
    assert caught.value.trace
    assert (caught.value.code, caught.value.kind) == ("guest.io", "IoError")
    assert caught.value.details["errno"] == "ENOENT"


def test_writing_where_only_reading_is_granted(run: Run, place: Path) -> None:
    plan = '(call :ccos.io.write-file (str place "/data/new") "x")'
    with pytest.raises(PathDenied) as caught:
        run(plan)
    assert "for reading only" in caught.value.message
    assert not (place / "data" / "new").exists()
    run(plan, write=True)
    assert (place / "data" / "new").read_text(encoding="utf-8") == "x"


def test_file_too_large_to_read(run: Run, place: Path) -> None:
    (place / "data" / "large").write_bytes(b"x" * (3 * MIB))
    (place / "data" / "small").write_bytes(b"x" * MIB)
    with pytest.raises(LimitExceeded) as caught:
        run('(call :ccos.io.read-file (str place "/data/large"))')
    assert (caught.value.limit, caught.value.allowed) == ("value_bytes", 2 * MIB)
    assert run('(count (call :ccos.io.read-file (str place "/data/small")))') == MIB


PYTHON_BOMBS = {
    "forks": (
        "import os, time\nfor _ in range(COUNT):\n    if os.fork() == 0: time.sleep(60)\nprint(1)",
        ("COUNT", "1000", "0"),
        "processes_count",
    ),
    "sleeps": ("import time; time.sleep(COUNT); print(1)", ("COUNT", "600", "0"), "wall_ms"),
    "fills memory": (
        "held = []\nfor _ in range(COUNT): held.append(bytearray(b'x') * 2**20)\nprint(1)",
        ("COUNT", "4000", "10"),
        "memory_bytes",
    ),
    "fills the disk": (
        "open('/tmp/f', 'wb').write(b'x' * (COUNT * 2**20)); print(1)",
        ("COUNT", "32", "1"),
        "disk_bytes",
    ),
    "floods its output": (
        "import sys\nfor _ in range(COUNT): sys.stdout.write(' ' * 2**16)\nprint(1)",
        ("COUNT", "100000", "1"),
        "output_bytes",
    ),
}


@pytest.mark.parametrize("bomb", PYTHON_BOMBS)
def test_script_that(run: Run, bomb: str) -> None:
    code, (word, many, few), limit = PYTHON_BOMBS[bomb]
    plan = "(call :ccos.sandbox.python {:code code :timeout-ms TIME})"
    short = plan.replace("TIME", "1500" if bomb == "sleeps" else "14000")
    with pytest.raises(LimitExceeded) as caught:
        run(f"(try {short} (catch e :caught))", code=code.replace(word, many))
    assert caught.value.limit == limit
    assert caught.value.hint
    assert place_of(caught.value) == (1, 6)
    assert run(plan.replace("TIME", "14000"), code=code.replace(word, few)) == 1


def test_script_that_prints_binary(run: Run) -> None:
    code = "import sys; sys.stdout.buffer.write(bytes(VALUES))"
    with pytest.raises(GuestError) as caught:
        run("(call :ccos.sandbox.python code)", code=code.replace("VALUES", "[255, 254, 0]"))
    assert caught.value.code == "guest.output"
    assert caught.value.hint
    assert place_of(caught.value) == (1, 1)
    assert run("(call :ccos.sandbox.python code)", code=code.replace("VALUES", "[104, 105]")) == "hi"


def test_failed_write_leaves_what_was_there(run: Run, place: Path) -> None:
    target = place / "data" / "kept"
    target.write_text("before", encoding="utf-8")
    plan = '(call :ccos.io.write-file (str place "/data/kept/below") "x")'
    with pytest.raises(GuestError):
        run(plan, write=True)
    assert target.read_text(encoding="utf-8") == "before"
    assert sorted(path.name for path in (place / "data").iterdir()) == ["file", "in", "kept", "out"]
    run('(call :ccos.io.write-file (str place "/data/kept") "after")', write=True)
    assert target.read_text(encoding="utf-8") == "after"
    assert sorted(path.name for path in (place / "data").iterdir()) == ["file", "in", "kept", "out"]
