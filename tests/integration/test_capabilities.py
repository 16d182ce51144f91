"""Every built-in capability once, for real, in the process provider; refusals beside their permitted twins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import cloister
from cloister.capabilities.catalog import builtin_catalog
from cloister.clock import ManualClock
from cloister.errors import GuestError, LimitExceeded, PathDenied

ALL = sorted(builtin_catalog().capabilities)
Run = Callable[..., Any]
K = cloister.Keyword


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cloister.Runtime]:
    with cloister.Runtime.open(tmp_path_factory.mktemp("home") / "home") as opened:
        yield opened


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path.resolve()


@pytest.fixture
def run(runtime: cloister.Runtime, place: Path) -> Run:
    """Run a plan that may call everything and read and write one directory; `dir` is that directory."""
    work = place / "work"
    work.mkdir()
    context = cloister.RuntimeContext.controlled(capabilities=ALL, write=[str(work)], environment={"GREETING": "hello"})

    def evaluate(plan: str, **inputs: Any) -> Any:
        return runtime.run(plan, context=context, inputs={"dir": str(work), **inputs}).value

    return evaluate


def test_text_file_is_written_read_and_deleted(run: Run, place: Path) -> None:
    assert run('(call :ccos.io.write-file (str dir "/f") "héllo")') == {K("bytes"): 6}
    assert (place / "work" / "f").read_text(encoding="utf-8") == "héllo"
    assert run('(call :ccos.io.read-file {:path (str dir "/f")})') == "héllo"
    assert run('(call :ccos.io.file-exists (str dir "/f"))') is True
    assert run('(call :ccos.io.delete-file (str dir "/f"))') is True
    assert run('(call :ccos.io.file-exists (str dir "/f"))') is False


def test_aliases_do_the_same(run: Run) -> None:
    run('(call :ccos.fs.write (str dir "/f") "x")')
    assert run('(call :ccos.fs.read (str dir "/f"))') == "x"


def test_binary_file_needs_base64(run: Run, place: Path) -> None:
    run('(call :ccos.io.write-file-base64 (str dir "/b") "//4=")')
    assert (place / "work" / "b").read_bytes() == b"\xff\xfe"
    assert run('(call :ccos.io.read-file-base64 (str dir "/b"))') == "//4="
    with pytest.raises(GuestError) as caught:
        run('(call :ccos.io.read-file (str dir "/b"))')
    assert caught.value.code == "guest.encoding"


def test_directories_are_made_listed_and_deleted(run: Run) -> None:
    assert run('(call :ccos.io.mkdir {:path (str dir "/d/e") :recursive true})') is True
    run('(call :ccos.io.write-file (str dir "/d/f") "abc")')
    listed = run('(call :ccos.io.list-dir (str dir "/d"))')
    assert [(entry[K("name")], entry[K("is_dir")], entry[K("size")]) for entry in listed][1] == ("f", False, 3)
    with pytest.raises(GuestError) as caught:
        run('(call :ccos.io.delete-file (str dir "/d"))')
    assert caught.value.details["errno"] == "ENOTEMPTY"
    assert run('(call :ccos.io.delete-file {:path (str dir "/d") :recursive true})') is True


def test_lines_are_written_and_read_through_handles(run: Run) -> None:
    plan = """
      (let [out (call :ccos.io.create-file (str dir "/lines"))
            _ (call :ccos.io.write-line out "one")
            _ (call :ccos.io.write-line out "two")
            _ (call :ccos.io.close-file out)
            in (call :ccos.io.open-file (str dir "/lines"))
            a (call :ccos.io.read-line in)
            b (call :ccos.io.read-line in)
            c (call :ccos.io.read-line in)]
        [a b c])"""
    assert run(plan) == ["one", "two", None]


def test_handle_of_nobody_is_an_error(run: Run) -> None:
    with pytest.raises(GuestError) as caught:
        run("(call :ccos.io.read-line 7)")
    assert caught.value.code == "guest.handle"


def test_missing_file_is_an_io_error_the_plan_can_catch(run: Run) -> None:
    assert run('(try (call :ccos.io.read-file (str dir "/none")) (catch :IoError e (error-kind e)))') == "IoError"


def test_one_granted_output_path_is_enough_to_write_it(runtime: cloister.Runtime, place: Path) -> None:
    def attempt(granted: Path) -> Any:
        context = cloister.RuntimeContext.controlled(capabilities=["ccos.io.write-file"], write=[str(granted)])
        return runtime.run(f'(call :ccos.io.write-file "{place}/report.md" "x")', context=context).value

    with pytest.raises(PathDenied):
        attempt(place / "other.md")
    assert not (place / "report.md").exists()
    attempt(place / "report.md")
    assert (place / "report.md").read_text(encoding="utf-8") == "x"


def test_environment_shows_granted_variables_only(run: Run) -> None:
    assert run('(call :ccos.system.get-env "GREETING")') == "hello"
    with pytest.raises(cloister.CapabilityDenied) as caught:
        run('(call :ccos.system.get-env "CLOISTER_HOME")')
    assert caught.value.hint == "grant it with --env CLOISTER_HOME"


def test_time_comes_from_the_clock(tmp_path: Path) -> None:
    context = cloister.RuntimeContext.controlled(capabilities=ALL)
    with cloister.Runtime.open(tmp_path / "home", clock=ManualClock()) as runtime:
        calls = ("current-time", "sleep-ms 20", "current-timestamp-ms")
        plan = "[" + " ".join(f"(call :ccos.system.{call})" for call in calls) + "]"
        assert runtime.run(plan, context=context).value == [1767225600, None, 1767225600020]


def test_json_arithmetic_and_text(run: Run) -> None:
    assert run('(call :ccos.data.parse-json "{\\"a\\": [1, null]}")') == {"a": [1, None]}
    assert run('(call :ccos.data.serialize-json {"a" [1 2.5]})') == '{"a":[1,2.5]}'
    assert run("(call :ccos.json.parse (call :ccos.json.stringify-pretty [1]))") == [1]
    assert run("(call :ccos.math.add 1 2 3)") == 6
    assert run('(call :ccos.string.concat "a" 1 :k)') == "a1:k"
    assert run("(call :ccos.echo {:a 1})") == {K("a"): 1}


@pytest.mark.parametrize(
    ("language", "code", "expected"),
    [
        ("python", "import json, sys; print(json.dumps({'got': json.load(sys.stdin)}))", {"got": {"n": [1, 2]}}),
        ("shell", "printf 'plain %s' text", "plain text"),
        ("shell", "cat", {"n": [1, 2]}),
        (
            "javascript",
            "const i = JSON.parse(require('fs').readFileSync(0)); console.log(JSON.stringify(i.n.map(x => x * 2)))",
            [2, 4],
        ),
        ("ruby", "require 'json'; puts JSON.parse($stdin.read)['n'].map { |x| x * 2 }.to_json", [2, 4]),
        ("lua", "print((io.read('a'):gsub('1', '7')))", {"n": [7, 2]}),
    ],
)
def test_scripts_take_arguments_and_give_json_or_text(run: Run, language: str, code: str, expected: Any) -> None:
    assert run(f'(call :ccos.sandbox.{language} {{:code code :args {{"n" [1 2]}}}})', code=code) == expected


def test_script_sees_the_paths_it_names_and_no_other(run: Run, place: Path) -> None:
    (place / "work" / "in").write_text("data", encoding="utf-8")
    code = "import sys, json; print(open(json.load(sys.stdin)).read())"
    plan = '(call :ccos.sandbox.python {:code code :args (str dir "/in")NAMED})'
    assert run(plan.replace("NAMED", ' :read [(str dir "/in")]'), code=code) == "data\n"
    with pytest.raises(GuestError) as caught:
        run(plan.replace("NAMED", ""), code=code)
    assert caught.value.code == "guest.script"
    assert "FileNotFoundError" in str(caught.value.to_dict())


def test_script_cannot_name_a_path_outside_the_grants(run: Run) -> None:
    with pytest.raises(PathDenied):
        run('(call :ccos.sandbox.shell {:code "true" :read ["/etc/hostname"]})')


def test_script_has_a_time_limit_of_its_own(run: Run) -> None:
    plan = '(call :ccos.sandbox.shell {:code "sleep TIME; echo 1" :timeout-ms 400})'
    with pytest.raises(LimitExceeded) as caught:
        run(plan.replace("TIME", "60"))
    assert (caught.value.limit, caught.value.allowed) == ("wall_ms", 400)
    assert run(plan.replace("TIME", "0")) == 1


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        ("(call :ccos.io.read-file)", "ArityMismatch"),
        ('(call :ccos.io.read-file "a" "b")', "ArityMismatch"),
        ("(call :ccos.io.read-file 5)", "TypeError"),
        ('(call :ccos.io.write-file {:path "a" :contents "b"})', "InvalidArgument"),
        ('(call :ccos.math.add "a")', "TypeError"),
    ],
)
def test_wrong_shapes_are_refused_and_point_into_the_plan(run: Run, call: str, kind: str) -> None:
    with pytest.raises(GuestError) as caught:
        run(f"(do\n  {call})")
    assert caught.value.kind == kind
    assert caught.value.span is not None
    assert caught.value.span.line == 2
