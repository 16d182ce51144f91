"""`cloister check` over many plans."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

COMMAND = str(Path(sys.executable).with_name("cloister"))
Cloister = Callable[..., Any]


@pytest.fixture
def plans(tmp_path: Path) -> Path:
    """Return a directory with good plans, bad ones, and files that are no plans."""
    root = tmp_path / "plans"
    for name, data in {
        "good.rtfs": b"(+ 1 2)",
        "deep/er/two.rtfs": b"(foo)\n(bar baz)",
        "deep/unclosed.rtfs": b"(+ 1",
        "bytes.rtfs": b"\xff\xfe",
        "calls.rtfs": b'(call :ccos.io.read-fil "x")\n(call :ccos.io.read-file 1 2)',
        ".hidden/bad.rtfs": b"(",
        "notes.txt": b"(",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def test_all_errors_of_all_plans_of_a_directory_are_shown(cloister: Cloister, plans: Path) -> None:
    done = cloister("check", plans)
    assert done.status == 2
    assert done.out.count(": ok (") == 1
    for name in ("foo", "bar", "baz"):
        assert f'unknown name "{name}"' in done.err
    for code in ("read.unclosed", "plan.encoding", "denied.unknown-capability", "guest.arity"):
        assert f"error[{code}]" in done.err
    assert "hidden" not in done.err
    assert done.err.endswith("checked 5 plans: 7 errors in 4 plans\n")


def test_json_has_each_error_with_its_range(cloister: Cloister, plans: Path) -> None:
    done = cloister("check", "--json", plans)
    data = done.data
    assert (done.status, data["ok"], data["plans"], len(data["errors"])) == (2, False, 5, 7)
    two = str(plans / "deep" / "er" / "two.rtfs")
    found = [error for error in data["errors"] if error["plan"] == two]
    places = [[error["span"][part] for part in ("line", "column", "end_line", "end_column")] for error in found]
    assert places == [[1, 2, 1, 5], [2, 2, 2, 5], [2, 6, 2, 9]]
    assert all("more" not in error.get("details", {}) for error in data["errors"])
    states = {Path(each["plan"]).name: (each["ok"], each["errors"]) for each in data["checked"]}
    assert states["good.rtfs"] == (True, 0)
    assert states["two.rtfs"] == (False, 3)


def test_good_plans_are_counted(cloister: Cloister, plans: Path) -> None:
    done = cloister("check", plans / "good.rtfs", plans / "good.rtfs")
    assert (done.status, done.err) == (0, "")
    other = plans / "other.rtfs"
    other.write_text("1", encoding="utf-8")
    done = cloister("check", plans / "good.rtfs", other)
    assert (done.status, done.err) == (0, "checked 2 plans: no errors\n")


def test_standard_input_is_a_plan(cloister: Cloister, plans: Path) -> None:
    done = cloister("check", "-", plans / "good.rtfs", stdin="(foo)")
    assert done.status == 2
    assert "--> <stdin>:1:2" in done.err
    assert "good.rtfs: ok" in done.out
    assert cloister("check", "-", stdin="(+ 1 2)").out.startswith("<stdin>: ok (")


def test_what_cannot_be_read_is_an_error_of_its_own(cloister: Cloister, plans: Path, tmp_path: Path) -> None:
    huge, pipe, empty = tmp_path / "huge.rtfs", tmp_path / "pipe.rtfs", tmp_path / "empty"
    with huge.open("wb") as file:
        file.truncate(2**33)
    os.mkfifo(pipe)
    empty.mkdir()
    done = cloister("check", huge, pipe, empty, tmp_path / "missing", plans / "good.rtfs")
    assert done.status == 2
    for code in ("plan.size", "plan.unreadable", "plan.none"):
        assert f"error[{code}]" in done.err
    assert "good.rtfs: ok" in done.out
    assert done.err.endswith("checked 5 plans: 4 errors in 4 plans\n")


def test_links_to_directories_are_not_followed(cloister: Cloister, plans: Path) -> None:
    (plans / "again").symlink_to(plans)
    assert cloister("check", "--json", plans).data["plans"] == 5


def test_annotations_for_github(cloister: Cloister, tmp_path: Path) -> None:
    plan = tmp_path / "a,b:c%.rtfs"
    plan.write_text("\n(qqq)", encoding="utf-8")
    done = cloister("check", "--format", "github", plan)
    assert done.status == 2
    line = done.out.splitlines()[0]
    assert line.startswith("::error file=")
    assert "a%2Cb%3Ac%25.rtfs,line=2,endLine=2,col=2,endColumn=5,title=compile.unknown-name::" in line
    assert 'unknown name "qqq"%0Ahelp: ' in line


def test_nothing_is_executed(cloister: Cloister, tmp_path: Path, home: Path) -> None:
    target = tmp_path / "target"
    plan = tmp_path / "plan.rtfs"
    plan.write_text(f'(loop [] (call :ccos.io.write-file "{target}" "x") (recur))', encoding="utf-8")
    assert cloister("check", plan).status == 0
    assert not target.exists()
    assert not home.exists()


def test_many_plans_are_checked_by_one_process(cloister: Cloister, tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"{number}.rtfs").write_text(f"(defn f [x] (* {number} x))\n(f 2)\n", encoding="utf-8")
    done = cloister("check", tmp_path)
    assert (done.status, done.err) == (0, "checked 200 plans: no errors\n")
    assert done.out.count(": ok (") == 200


def test_closed_standard_input_is_told(home: Path) -> None:
    done = subprocess.run(
        f"{COMMAND} check - <&-", shell=True, capture_output=True, text=True, check=False,
        env=os.environ | {"CLOISTER_HOME": str(home)},
    )  # fmt: skip
    assert done.returncode == 2
    assert "input.stdin" in done.stderr


@pytest.fixture
def doubtful(tmp_path: Path) -> Path:
    """Return a plan in which a function that is never called could not succeed."""
    plan = tmp_path / "doubtful.rtfs"
    plan.write_text('(defn f [x] (+ x "a"))\n1\n', encoding="utf-8")
    return plan


def test_what_may_go_wrong_is_a_warning(cloister: Cloister, doubtful: Path) -> None:
    done = cloister("check", doubtful)
    assert done.status == 0
    assert done.out.startswith(f"{doubtful}: ok (")
    assert 'warning[compile.type]: + takes :number, and this is "a"' in done.err
    assert f"--> {doubtful}:1:18" in done.err
    assert cloister("eval", doubtful.read_text(encoding="utf-8")).out == "1\n"
    doubtful.write_text("(defn f [x] (+ x 1))\n1\n", encoding="utf-8")
    assert cloister("check", doubtful).err == ""


def test_warnings_are_told_apart_in_every_format(cloister: Cloister, doubtful: Path) -> None:
    data = cloister("check", "--json", doubtful).data
    assert (data["ok"], data["errors"], [each["code"] for each in data["warnings"]]) == (True, [], ["compile.type"])
    assert cloister("check", "--format", "github", doubtful).out.splitlines()[-1].startswith("::warning file=")
    (doubtful.parent / "good.rtfs").write_text("1", encoding="utf-8")
    assert cloister("check", doubtful.parent).err.endswith("checked 2 plans: no errors, 1 warning\n")
