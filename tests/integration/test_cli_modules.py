"""`--module-path`, and what is said of modules, as a user sees it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cloister = Callable[..., Any]


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = tmp_path / "lib" / "text"
    folder.mkdir(parents=True)
    (folder / "tools.rtfs").write_text(
        "(module text.tools (:exports [say twice])\n"
        "  (defn say [x] (call :ccos.io.println x))\n"
        "  (defmacro twice [x] `(str ~x ~x)))\n",
        encoding="utf-8",
    )
    return tmp_path / "lib"


PLAN = '(import text.tools :as t)\n(t/say (t/twice "ab"))'


def test_run_finds_modules_where_it_is_told(cloister: Cloister, plan: Callable[[str], Path], library: Path) -> None:
    path = plan(PLAN)
    refused = cloister("run", path, "--allow", "ccos.io.println")
    assert refused.status == 2
    assert "error[compile.module-not-found]: there is no module text.tools; looked for" in refused.err
    assert "--module-path" in refused.err
    done = cloister("run", path, "--allow", "ccos.io.println", "--module-path", library)
    assert done.status == 0, done.err
    assert done.out.startswith("abab\n")


def test_check_and_explain_see_through_modules(cloister: Cloister, plan: Callable[[str], Path], library: Path) -> None:
    path = plan(PLAN)
    assert cloister("check", path).status == 2
    assert cloister("check", path, "--module-path", library).status == 0
    explained = cloister("explain", path, "--module-path", library)
    assert "ccos.io.println" in explained.out
    assert f"at line 2, column 17 of {library / 'text' / 'tools.rtfs'}" in explained.out
    assert f"--module-path {library}" in explained.out


def test_eval_uses_modules(cloister: Cloister, library: Path) -> None:
    done = cloister("eval", '(import text.tools) (text.tools/twice "x")', "--module-path", library)
    assert done.out == '"xx"\n', done.err
    assert cloister("eval", "(import text.tools)").status == 2


def test_standard_input_uses_modules(cloister: Cloister, library: Path) -> None:
    assert cloister("check", "-", "--module-path", library, stdin=PLAN).status == 0
    assert cloister("check", "-", stdin=PLAN).status == 2


def test_a_problem_in_a_module_is_shown_in_its_file(
    cloister: Cloister, plan: Callable[[str], Path], library: Path
) -> None:
    module = library / "text" / "tools.rtfs"
    module.write_text("(module text.tools (:exports [say])\n  (defn say [x] (oops x)))\n", encoding="utf-8")
    done = cloister("check", plan(PLAN), "--module-path", library)
    assert done.status == 2
    assert f"--> {module}:2:18" in done.err
    assert "(defn say [x] (oops x))" in done.err
