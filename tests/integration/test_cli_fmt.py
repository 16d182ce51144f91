"""`cloister fmt`: which files change, what is said, and the exit status."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cloister = Callable[..., Any]
UGLY = "(f   a)"
NICE = "(f a)\n"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    def written(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return written


def test_files_are_formatted_in_place(cloister: Cloister, write: Any) -> None:
    ugly, nice = write("ugly.rtfs", UGLY), write("nice.rtfs", NICE)
    done = cloister("fmt", ugly, nice)
    assert (done.status, done.out, done.err) == (0, f"{ugly}: formatted\n", "")
    assert ugly.read_text(encoding="utf-8") == nice.read_text(encoding="utf-8") == NICE
    assert cloister("fmt", ugly, nice).out == ""


def test_a_directory_stands_for_its_plans(cloister: Cloister, write: Any) -> None:
    files = [write("below/b.rtfs", UGLY), write("a.rtfs", UGLY)]
    others = [write("note.txt", UGLY), write(".hidden/c.rtfs", UGLY)]
    assert cloister("fmt", files[1].parent).status == 0
    assert {file.read_text(encoding="utf-8") for file in files} == {NICE}
    assert {file.read_text(encoding="utf-8") for file in others} == {UGLY}


def test_check_writes_nothing_and_exits_with_1(cloister: Cloister, write: Any) -> None:
    ugly, nice = write("ugly.rtfs", UGLY), write("nice.rtfs", NICE)
    done = cloister("fmt", "--check", ugly, nice)
    assert (done.status, done.out) == (1, f"{ugly}: would be formatted\n")
    assert done.err == "1 file would be formatted\n"
    assert ugly.read_text(encoding="utf-8") == UGLY
    assert cloister("fmt", "--check", nice).status == 0


def test_diff_shows_the_change_and_writes_nothing(cloister: Cloister, write: Any) -> None:
    ugly = write("ugly.rtfs", UGLY)
    done = cloister("fmt", "--diff", ugly)
    assert done.status == 0
    assert "\n-(f   a)\n+(f a)\n" in done.out
    assert ugly.read_text(encoding="utf-8") == UGLY
    assert cloister("fmt", "--diff", "--check", ugly).status == 1


def test_standard_input_is_formatted_to_standard_output(cloister: Cloister) -> None:
    done = cloister("fmt", "-", stdin=UGLY)
    assert (done.status, done.out, done.err) == (0, NICE, "")
    assert cloister("fmt", "--check", "-", stdin=UGLY).out == "<stdin>: would be formatted\n"
    assert cloister("fmt", "--check", "-", stdin=NICE).status == 0


def test_a_file_that_does_not_read_stays_and_the_others_are_formatted(cloister: Cloister, write: Any) -> None:
    broken, ugly = write("broken.rtfs", "(f  a"), write("ugly.rtfs", UGLY)
    done = cloister("fmt", broken, ugly)
    assert done.status == 2
    assert f"{broken}:1:1" in done.err
    assert broken.read_text(encoding="utf-8") == "(f  a"
    assert ugly.read_text(encoding="utf-8") == NICE


def test_a_file_that_is_no_text_is_refused(cloister: Cloister, tmp_path: Path) -> None:
    path = tmp_path / "bytes.rtfs"
    path.write_bytes(b"(f \xff)")
    done = cloister("fmt", path)
    assert done.status == 2
    assert "error[plan.encoding]" in done.err
    assert path.read_bytes() == b"(f \xff)"


def test_permissions_and_links_stay(cloister: Cloister, write: Any, tmp_path: Path) -> None:
    ugly = write("ugly.rtfs", UGLY)
    ugly.chmod(0o640)
    link = tmp_path / "link.rtfs"
    link.symlink_to(ugly)
    assert cloister("fmt", link).status == 0
    assert link.is_symlink()
    assert ugly.read_text(encoding="utf-8") == NICE
    assert stat.S_IMODE(ugly.stat().st_mode) == 0o640
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_difference_acts_on_no_terminal(cloister: Cloister, write: Any) -> None:
    done = cloister("fmt", "--diff", write("ugly.rtfs", '(f   "\x1b[31m")'))
    assert "\x1b" not in done.out
    assert "\N{REPLACEMENT CHARACTER}[31m" in done.out
