"""The attempts of `cloister doctor` in WebAssembly: all are refused here, and each is told when it is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.security.webassembly import WasmBench, command

from cloister.clock import SystemClock
from cloister.errors import ProviderUnavailable
from cloister.isolation.wasm import selftest
from cloister.isolation.wasm.engine import Engine
from cloister.isolation.wasm.modules import Modules
from cloister.isolation.wasm.room import Workshop
from cloister.isolation.wasm.selftest import ATTEMPTS, Attempt
from cloister.limits import MIB, ResourceLimits

QUIET = '(module (func (export "_start")))'
"""It attempts nothing, so nothing is refused."""
BY_ERROR = [each for each in ATTEMPTS if each.expected != "refused"]
"""Attempts that are ended from outside."""
WIDE = ResourceLimits(memory_bytes=512 * MIB)


@pytest.fixture(scope="module")
def workshop() -> Iterator[Workshop]:
    with closing(Engine()) as engine:
        yield Workshop(engine=engine, modules=Modules(engine, None), clock=SystemClock())


def test_everything_is_refused_here(wasm: WasmBench) -> None:
    report = wasm.provider.probe()
    assert [each for each in report.evidence if not each.holds] == []
    assert len(report.evidence) == len(ATTEMPTS) + len(selftest.READS) + 1
    assert (report.available, report.level) == (True, wasm.provider.level)


@pytest.mark.parametrize("attempt", BY_ERROR, ids=lambda each: each.attempted)
def test_an_attempt_that_was_not_refused_is_told(workshop: Workshop, attempt: Attempt) -> None:
    assert selftest._made(workshop, attempt).holds
    found = selftest._made(workshop, replace(attempt, source=QUIET))
    assert (found.holds, found.observed) == (False, "refused")


def test_the_memory_that_a_wider_limit_gives_is_told(workshop: Workshop) -> None:
    (growing,) = (each for each in ATTEMPTS if each.attempted == "grow its memory beyond the limit")
    assert selftest._made(workshop, growing).holds
    found = selftest._made(workshop, replace(growing, limits=WIDE))
    assert (found.holds, found.observed) == (False, "it was not refused (status 1)")


@pytest.mark.parametrize("variables", [{}, {"GRANTED": "1", "HOME": "/root"}], ids=["too few", "too many"])
def test_a_variable_too_many_or_too_few_is_told(
    workshop: Workshop, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (finding,) = (each for each in ATTEMPTS if each.mechanism == "environment")
    assert selftest._made(workshop, finding).holds
    monkeypatch.setattr(selftest, "GRANTED", variables)  # what guests get; the module counts what it was made for
    assert not selftest._made(workshop, finding).holds


def test_a_provider_with_a_broken_wall_is_closed_until_a_clean_look(
    wasm: WasmBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = command("(call $exit (i32.const 7))")
    assert wasm.command(source).exit_status == 7
    broken = replace(ATTEMPTS[0], source=QUIET)
    with monkeypatch.context() as patched:
        patched.setattr(selftest, "ATTEMPTS", (broken, *ATTEMPTS[1:]))
        report = wasm.provider.probe()
        assert (report.available, report.level.label) == (False, "none")
    with pytest.raises(ProviderUnavailable) as caught:
        wasm.command(source)
    assert (caught.value.code, broken.attempted in caught.value.message) == ("provider.wall", True)
    assert wasm.provider.probe().available
    assert wasm.command(source).exit_status == 7


def test_attempts_with_files_prove_nothing_without_their_twins(workshop: Workshop, tmp_path: Path) -> None:
    found = list(selftest._with_files(workshop, tmp_path.resolve()))
    assert [each.holds for each in found] == [True] * (len(selftest.READS) + 1)
    assert not (tmp_path / "granted" / "new").exists()
    assert (tmp_path / "writable" / "new").read_text() == "x"
