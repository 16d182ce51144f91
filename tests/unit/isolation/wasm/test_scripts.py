"""Python scripts under the wasm provider: found by digest, run with what is granted and nothing else."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from cloister.clock import SystemClock
from cloister.errors import ConfigError, DigestMismatch, GuestError, LaunchError, LimitExceeded, ProviderUnavailable
from cloister.isolation.provider import ExecutionResult, Mount, ScriptLanguage, ScriptSource
from cloister.isolation.wasm import interpreters
from cloister.isolation.wasm.engine import Engine
from cloister.isolation.wasm.interpreters import PATH_VARIABLE, PYTHON
from cloister.isolation.wasm.modules import Modules
from cloister.isolation.wasm.room import Given, Workshop, in_room
from cloister.isolation.wasm.scripts import make_ready, run_script
from cloister.limits import ResourceLimits

Execute = Callable[..., ExecutionResult]


@pytest.fixture(scope="module")
def workshop(engine: Engine) -> Workshop:
    return Workshop(engine=engine, modules=Modules(engine, None), clock=SystemClock())  # compiled once for all tests


@pytest.fixture
def execute(workshop: Workshop) -> Execute:
    def run(script: ScriptSource, **facts: object) -> ExecutionResult:
        make_ready(workshop, script)
        return in_room(workshop, Given(**facts), partial(run_script, workshop, script=script))  # type: ignore[arg-type]

    return run


def python(source: str, **facts: object) -> ScriptSource:
    return ScriptSource(language=ScriptLanguage.PYTHON, source=source, **facts)  # type: ignore[arg-type]


def test_a_script_gets_its_arguments_and_gives_what_it_prints(execute: Execute) -> None:
    script = python("import json, sys\nprint(json.dumps({'sum': sum(json.load(sys.stdin))}))", arguments=[1, 2, 3])
    result = execute(script)
    assert result.value == {"sum": 6}
    assert result.usage.fuel_count
    assert result.usage.memory_peak_bytes


def test_a_script_that_fails_says_why(execute: Execute) -> None:
    with pytest.raises(GuestError, match="ValueError: no") as failed:
        execute(python("raise ValueError('no')"))
    assert failed.value.code == "guest.script"
    assert execute(python("raise ValueError('no')", is_checked=False)).exit_status == 1


@pytest.mark.parametrize("character", ["\0", "\ud800"])
def test_a_script_that_cannot_be_handed_over_whole_is_not_run(execute: Execute, character: str) -> None:
    for script in (python(f"print(1) # {character}\nprint(2)"), python("print(1)", argv=(character,))):
        with pytest.raises(ConfigError) as refused:
            execute(script)
        assert refused.value.code == "config.argv"
    assert execute(python("import sys; print(len(sys.argv[1])) # \x01 \U0001f600", argv=("\udcff",))).value == 1


def test_a_script_sees_what_was_granted_and_nothing_else(execute: Execute, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("granted", encoding="utf-8")
    script = python("print(open('/in/note').read(), end='')")
    with pytest.raises(GuestError, match="No such file"):
        execute(script)
    assert execute(script, mounts=(Mount(source=str(tmp_path), target="/in"),)).value == "granted"
    with pytest.raises(GuestError):
        execute(python("open('/in/new', 'w')"), mounts=(Mount(source=str(tmp_path), target="/in"),))
    assert not (tmp_path / "new").exists()


def test_variables_are_those_that_were_granted(execute: Execute) -> None:
    script = python("import os, json; print(json.dumps(dict(os.environ)))")
    assert execute(script).value == {}
    assert execute(script, environment={"NAME": "value"}).value == {"NAME": "value"}


def test_an_endless_script_ends_in_time(execute: Execute) -> None:
    with pytest.raises(LimitExceeded) as ended:
        execute(python("while True: pass"), limits=ResourceLimits(wall_ms=1_000))
    assert ended.value.limit == "wall_ms"
    assert execute(python("print(1)"), limits=ResourceLimits(wall_ms=20_000)).value == 1


def test_sleeping_ends_in_time_too(execute: Execute) -> None:
    with pytest.raises(LimitExceeded) as ended:
        execute(python("import time; time.sleep(30)"), limits=ResourceLimits(wall_ms=1_000))
    assert ended.value.limit == "wall_ms"
    assert execute(python("import time; time.sleep(0.01); print(2)")).value == 2


def test_a_grant_that_hides_the_interpreter_is_refused(execute: Execute, tmp_path: Path) -> None:
    with pytest.raises(LaunchError) as refused:
        execute(python("print(1)"), mounts=(Mount(source=str(tmp_path), target="/usr/local"),))
    assert refused.value.code == "provider.directory"
    assert execute(python("print(1)"), mounts=(Mount(source=str(tmp_path), target="/data"),)).value == 1


def test_the_same_seed_gives_the_same_output_and_fuel(execute: Execute) -> None:
    script = python("import random, time; print(random.random(), time.time())")
    first, again = execute(script, seed=7), execute(script, seed=7)
    assert (first.stdout, first.usage.fuel_count) == (again.stdout, again.usage.fuel_count)
    assert execute(script, seed=8).stdout != first.stdout


def test_other_languages_are_refused(execute: Execute) -> None:
    with pytest.raises(ProviderUnavailable) as refused:
        execute(ScriptSource(language=ScriptLanguage.RUBY, source="puts 1"))
    assert refused.value.code == "provider.interpreter"


def test_another_file_in_its_place_is_never_run(
    execute: Execute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = importlib.util.find_spec(PYTHON.package)
    assert package is not None
    assert package.submodule_search_locations
    whole = Path(package.submodule_search_locations[0], PYTHON.file).read_bytes()
    assert hashlib.sha256(whole).hexdigest() == PYTHON.sha256
    altered = tmp_path / "python.wasm"
    altered.write_bytes(whole + b"\0")
    monkeypatch.setattr(interpreters, "_FOUND", {})  # what an earlier test found counts no more
    monkeypatch.setenv(PATH_VARIABLE, str(altered))
    with pytest.raises(DigestMismatch):
        execute(python("print(1)"))
    altered.write_bytes(whole)
    assert execute(python("print(1)")).value == 1


def test_without_it_the_extra_is_named(execute: Execute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreters, "_FOUND", {})
    monkeypatch.setenv(PATH_VARIABLE, str(tmp_path / "missing.wasm"))
    with pytest.raises(ProviderUnavailable) as refused:
        execute(python("print(1)"))
    assert refused.value.code == "provider.interpreter"
    assert "cloister[wasm,wasm-python]" in str(refused.value.hint)
