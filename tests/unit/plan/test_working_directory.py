"""Where relative paths start."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloister.capabilities.catalog import builtin_catalog
from cloister.cli.options import resolved
from cloister.errors import InputError
from cloister.plan.host_authorizer import make_authorizer
from cloister.plan.working_directory import working_directory


def test_it_is_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert working_directory() == tmp_path


def test_one_that_was_deleted_is_the_same_error_for_everybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    told = []
    for attempt in (working_directory, lambda: make_authorizer(builtin_catalog()), lambda: resolved([Path("x")])):
        with pytest.raises(InputError) as caught:
            attempt()
        told.append((caught.value.code, caught.value.message, caught.value.hint))
    assert told[0][0] == "input.working-directory"
    assert len(set(told)) == 1
