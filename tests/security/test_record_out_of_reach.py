"""Threat: a plan reads the signing key, or changes or removes the record, through a grant that covers them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import cloister
from cloister.audit.home import AuditHome
from cloister.errors import AuditError, ChainBroken, PathDenied

CAPABILITIES = ["ccos.io.read-file", "ccos.io.list-dir", "ccos.sandbox.shell", "ccos.io.delete-file", "cloister.exec"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A granted directory with a file in it; the home lies in it too."""
    root = tmp_path.resolve()
    (root / "file").write_text("x", encoding="utf-8")
    (root / "beside").mkdir()
    return root


def attempt(place: Path, plan: str, *, unsafe: bool = False) -> Any:
    context = cloister.RuntimeContext.controlled(capabilities=CAPABILITIES, write=[str(place)])
    if unsafe:
        context = cloister.RuntimeContext.unsafe_everything()
    with cloister.Runtime.open(place / "home") as runtime:
        return runtime.run(plan, context=context, inputs={"place": str(place)}).value


@pytest.mark.parametrize("unsafe", [False, True])
@pytest.mark.parametrize(
    ("tried", "permitted"),
    [
        ('(call :ccos.io.read-file (str place "/home/keys/chain.key"))',
         '(call :ccos.io.read-file (str place "/file"))'),
        ('(call :ccos.io.list-dir (str place "/home"))', '(call :ccos.io.list-dir (str place "/beside"))'),
        ('(call :ccos.io.delete-file {:path place :recursive true})', "1"),
        ('(call :ccos.sandbox.shell {:code "true" :write [place]})',
         '(call :ccos.sandbox.shell {:code "true" :write [(str place "/beside")]})'),
    ],
)  # fmt: skip
def test_no_grant_opens_the_home(place: Path, tried: str, permitted: str, unsafe: bool) -> None:
    with pytest.raises(PathDenied) as caught:
        attempt(place, tried, unsafe=unsafe)
    assert caught.value.code == "denied.path-protected"
    attempt(place, permitted, unsafe=unsafe)


def test_a_command_is_not_shown_the_home(place: Path) -> None:
    with cloister.Runtime.open(place / "home") as runtime:
        for granted, is_refused in ((place, True), (place / "home" / "keys", True), (place / "beside", False)):
            context = cloister.RuntimeContext.controlled(capabilities=CAPABILITIES, read=[str(granted)])
            if is_refused:
                with pytest.raises(PathDenied):
                    runtime.execute(["true"], context=context)
            else:
                assert runtime.execute(["true"], context=context).exit_status == 0


def test_a_chain_that_was_taken_away_is_missed(place: Path) -> None:
    attempt(place, "1")
    chain = AuditHome(place / "home").chain_path
    kept = chain.rename(place / "kept")
    with pytest.raises(ChainBroken) as caught:
        attempt(place, "1")
    assert caught.value.details["reason"] == "truncated"
    kept.rename(chain)
    attempt(place, "1")


def test_nothing_is_appended_to_a_file_that_was_removed(place: Path) -> None:
    context = cloister.RuntimeContext.pure()
    with cloister.Runtime.open(place / "home") as runtime:
        assert runtime.run("1", context=context).value == 1
        chain = AuditHome(place / "home").chain_path
        kept = chain.rename(place / "kept")
        with pytest.raises(AuditError):
            runtime.run("1", context=context)
        kept.rename(chain)
        assert runtime.run("1", context=context).value == 1
