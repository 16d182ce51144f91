"""Modules from files: only regular ones, only below the directories that were named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cloister.errors import CloisterError, PlanError
from cloister.lang.modules import Missing
from cloister.lang.source import Source
from cloister.plan.loading import load_plan
from cloister.plan.module_files import ModuleFiles
from cloister.plan.texts import PLAN_BYTES_MAX


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def refusal(loader: ModuleFiles, name: str) -> PlanError:
    with pytest.raises(PlanError) as caught:
        loader.find(name)
    return caught.value


def test_dots_are_directories(tmp_path: Path) -> None:
    path = write(tmp_path / "a/b/c.rtfs", "(module a.b.c)")
    assert ModuleFiles([tmp_path]).find("a.b.c") == Source(str(path), "(module a.b.c)")


def test_directories_are_tried_in_order(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    write(first / "x.rtfs", "1")
    write(second / "x.rtfs", "2")
    write(second / "y/z.rtfs", "3")
    loader = ModuleFiles([tmp_path / "missing", first, second])
    assert loader.find("x") == Source(str(first / "x.rtfs"), "1")
    assert loader.find("y.z") == Source(str(second / "y/z.rtfs"), "3")


def test_a_file_where_a_directory_would_be_says_nothing(tmp_path: Path) -> None:
    write(tmp_path / "1/y", "")
    write(tmp_path / "2/y/z.rtfs", "3")
    assert isinstance(ModuleFiles([tmp_path / "1", tmp_path / "2"]).find("y.z"), Source)


def test_a_missing_module_says_where_it_was_looked_for_and_what_is_there(tmp_path: Path) -> None:
    write(tmp_path / "a/tools.rtfs", "")
    found = ModuleFiles([tmp_path, tmp_path / "other"]).find("a.tool")
    assert found == Missing((str(tmp_path / "a/tool.rtfs"), str(tmp_path / "other/a/tool.rtfs")), ("a.tools",))


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside/secret.rtfs", "(module secret)")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "secret.rtfs").symlink_to(outside)
    (inside / "up").symlink_to(outside.parent, target_is_directory=True)
    loader = ModuleFiles([inside])
    assert refusal(loader, "secret").code == "plan.unreadable"
    assert refusal(loader, "up.secret").code == "plan.unreadable"
    assert isinstance(ModuleFiles([outside.parent]).find("secret"), Source)


def test_the_directory_itself_may_be_a_link(tmp_path: Path) -> None:
    write(tmp_path / "real/x.rtfs", "1")
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    assert isinstance(ModuleFiles([tmp_path / "link"]).find("x"), Source)


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.rtfs")
    (tmp_path / "folder.rtfs").mkdir()
    loader = ModuleFiles([tmp_path])
    assert "not a regular file" in refusal(loader, "pipe").message
    assert refusal(loader, "folder").code == "plan.unreadable"


def test_size_and_encoding_are_checked(tmp_path: Path) -> None:
    (tmp_path / "big.rtfs").write_bytes(b" " * (PLAN_BYTES_MAX + 1))
    (tmp_path / "bad.rtfs").write_bytes(b"\xff")
    loader = ModuleFiles([tmp_path])
    assert refusal(loader, "big").code == "plan.size"
    assert refusal(loader, "bad").code == "plan.encoding"


def test_a_plan_finds_the_modules_beside_it_first(tmp_path: Path) -> None:
    plan = write(tmp_path / "plan.rtfs", "(import x)\n(import y) [x/v y/v]")
    write(tmp_path / "x.rtfs", "(module x (:exports [v]) (def v 1))")
    write(tmp_path / "lib/x.rtfs", "(module x (:exports [v]) (def v 2))")
    write(tmp_path / "lib/y.rtfs", "(module y (:exports [v]) (def v 3))")
    program = load_plan(plan, module_paths=[tmp_path / "lib"])
    assert [module.source.name for module in program.modules] == [
        str(tmp_path / "x.rtfs"),
        str(tmp_path / "lib/y.rtfs"),
    ]
    with pytest.raises(CloisterError) as caught:
        load_plan(plan)
    assert caught.value.code == "compile.module-not-found"


def test_no_environment_variable_and_no_working_directory_adds_a_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "x.rtfs", "(module x)")
    monkeypatch.setenv("CLOISTER_MODULE_PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CloisterError) as caught:
        load_plan("(import x)")
    assert caught.value.code == "compile.module-not-found"
    assert load_plan("(import x)", module_paths=[tmp_path]).modules


def test_a_module_that_cannot_be_read_is_reported_at_its_import(tmp_path: Path) -> None:
    plan = write(tmp_path / "plan.rtfs", "1\n(import x)")
    (tmp_path / "x.rtfs").write_bytes(b"\xff")
    with pytest.raises(PlanError) as caught:
        load_plan(plan)
    assert str(caught.value.span) == f"{plan}:2:1"
