"""`cloister compile`, and the commands that take what it writes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.conftest import Outcome

Cloister = Callable[..., Outcome]
Plan = Callable[[str], Path]

TEXT = """(import tools)
(step "add"
  (call :ccos.math.add (tools/twice 1) (parse-int n)))
"""
MODULE = """(module tools (:exports [twice])
  (defn twice [x] (* 2 x)))
"""


@pytest.fixture
def source(plan: Plan, tmp_path: Path) -> Path:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "tools.rtfs").write_text(MODULE, encoding="utf-8")
    return plan(TEXT)


@pytest.fixture
def compiled(cloister: Cloister, source: Path, tmp_path: Path) -> Path:
    """Return the compiled plan; its text and its module are gone."""
    target = tmp_path / "out.wasm"
    done = cloister("compile", source, "-o", target, "--input", "n", "--module-path", "lib")
    assert (done.status, done.err) == (0, "")
    source.unlink()
    (tmp_path / "lib" / "tools.rtfs").unlink()
    return target


def test_it_says_what_it_wrote_and_what_that_can_touch(cloister: Cloister, source: Path, tmp_path: Path) -> None:
    done = cloister("compile", source, "--input", "n", "--module-path", "lib")
    data = (tmp_path / "plan.wasm").read_bytes()
    assert done.status == 0
    assert f"{tmp_path / 'plan.wasm'}: {len(data)} bytes, sha256 " in done.out
    assert "  may call ccos.math.add\n    ccos.math.add … …\n" in done.out
    as_json = cloister("compile", source, "--input", "n", "--module-path", "lib", "--json").data
    assert as_json["bytes"] == len(data)
    assert as_json["sha256"] in done.out
    assert as_json["has_text"] is True
    assert as_json["effects"] == [{"capability": "ccos.math.add", "arguments": [None, None]}]


def test_a_compiled_plan_needs_neither_its_text_nor_its_modules(cloister: Cloister, compiled: Path) -> None:
    for provider in ("process", "mock", "wasm"):
        done = cloister("run", compiled, "--allow", "ccos.math.add", "--input", "n=5", "--provider", provider)
        assert (done.status, done.out) == (0, "7\n")


@pytest.mark.parametrize("provider", ["process", "mock", "wasm"])
def test_it_is_refused_without_its_grants_and_the_place_is_shown(
    cloister: Cloister, compiled: Path, provider: str
) -> None:
    done = cloister("run", compiled, "--input", "n=5", "--provider", provider)
    assert done.status == 3
    assert "ccos.math.add" in done.err
    assert "plan.rtfs:3:3" in done.err
    assert "(call :ccos.math.add" in done.err


def test_check_and_explain_take_it(cloister: Cloister, compiled: Path) -> None:
    assert cloister("check", compiled).status == 0
    explained = cloister("explain", compiled)
    assert "missing  ccos.math.add" in explained.out
    assert "plan.rtfs" in explained.out
    assert f"cloister run {compiled} --input n=… --allow ccos.math.add\n" in explained.out
    assert "Every place is granted" in cloister("explain", compiled, "--allow", "ccos.math.add").out


def test_a_stripped_plan_has_no_text_and_runs_in_no_sandbox_that_compiles(
    cloister: Cloister, compiled: Path, tmp_path: Path
) -> None:
    target = tmp_path / "stripped.wasm"
    assert cloister("compile", compiled, "--strip", "-o", target).status == 0
    assert b"parse-int n" not in target.read_bytes()
    refused = cloister("run", target, "--input", "n=5")
    assert refused.status == 3
    assert "plan.rtfs:3:3" in refused.err
    assert "(call" not in refused.err
    elsewhere = cloister("run", target, "--allow", "ccos.math.add", "--input", "n=5")
    assert elsewhere.status == 5
    assert "error[provider.wasm-only]" in elsewhere.err
    assert "--provider wasm" in elsewhere.err
    assert cloister("explain", target).status == 0
    done = cloister("run", target, "--allow", "ccos.math.add", "--input", "n=5", "--provider", "wasm")
    assert (done.status, done.out) == (0, "7\n")


def test_a_stripped_plan_that_fails_says_where(cloister: Cloister, plan: Plan, tmp_path: Path) -> None:
    target = tmp_path / "stripped.wasm"
    assert cloister("compile", plan("(defn f [x]\n  (/ 1 x))\n(f 0)"), "--strip", "-o", target).status == 0
    done = cloister("run", target, "--provider", "wasm")
    assert done.status == 1
    assert "error[guest.division]" in done.err
    assert "plan.rtfs:2:3" in done.err
    assert "in f at" in done.err


def test_what_was_altered_is_refused_by_every_command(cloister: Cloister, compiled: Path) -> None:
    data = compiled.read_bytes()
    place = data.index(b"ccos.math.add")
    compiled.write_bytes(data[:place] + b"ccos.math.sub" + data[place + 13 :])
    for command in (["run", compiled, "--input", "n=5"], ["check", compiled], ["explain", compiled]):
        done = cloister(*command)
        assert done.status == 2
        assert "error[input.artefact-altered]" in done.err
        assert 'the capability "ccos.math.sub"' in done.err


def test_a_module_of_another_compiler_is_refused_and_told_how_to_run(cloister: Cloister, tmp_path: Path) -> None:
    module = tmp_path / "other.wasm"
    module.write_bytes(b"\0asm\x01\0\0\0")
    done = cloister("run", module)
    assert done.status == 2
    assert "error[input.artefact-foreign]" in done.err
    assert "cloister exec --provider wasm" in done.err


def test_a_compiled_plan_that_is_run_as_a_program_is_told_how_to_run(cloister: Cloister, compiled: Path) -> None:
    done = cloister("exec", "--provider", "wasm", "--", compiled)
    assert done.status == 3
    assert "error[denied.wasm-import]" in done.err
    assert "cloister run --provider wasm" in done.err


def test_a_plan_that_does_not_compile_leaves_what_was_there(cloister: Cloister, plan: Plan, tmp_path: Path) -> None:
    target = tmp_path / "out.wasm"
    target.write_bytes(b"before")
    done = cloister("compile", plan("(+ 1 nope)"), "-o", target)
    assert done.status == 2
    assert "error[compile.unknown-name]" in done.err
    assert target.read_bytes() == b"before"
    assert cloister("compile", plan("(+ 1 2)"), "-o", target).status == 0
    assert target.read_bytes().startswith(b"\0asm")


def test_a_file_is_replaced_whole_and_keeps_its_permissions(cloister: Cloister, plan: Plan, tmp_path: Path) -> None:
    target, link = tmp_path / "out.wasm", tmp_path / "link.wasm"
    target.write_bytes(b"before")
    target.chmod(0o640)
    link.symlink_to(target)
    assert cloister("compile", plan("1"), "-o", link).status == 0
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert sorted(each.name for each in tmp_path.iterdir() if each.name.startswith(".")) == []


def test_a_new_file_has_the_permissions_that_new_files_have(cloister: Cloister, plan: Plan, tmp_path: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    target = tmp_path / "new.wasm"
    assert cloister("compile", plan("1"), "-o", target).status == 0
    assert target.stat().st_mode & 0o777 == 0o666 & ~mask


def test_nothing_but_a_file_is_replaced_and_never_the_plan_itself(
    cloister: Cloister, plan: Plan, tmp_path: Path
) -> None:
    written = plan("1")
    for target in (tmp_path, Path("/dev/null"), written, tmp_path / "none" / "x.wasm"):
        done = cloister("compile", written, "-o", target)
        assert done.status == 2
        assert "error[plan.unwritable]" in done.err
    assert written.read_text(encoding="utf-8") == "1"
    assert Path("/dev/null").is_char_device()
