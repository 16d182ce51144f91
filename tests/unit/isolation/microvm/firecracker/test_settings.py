"""Programs are found where they are named, and what is missing is named."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.isolation.microvm.other_user import as_another_user

from cloister.errors import ConfigError, ProviderUnavailable
from cloister.isolation.microvm.firecracker import identity, settings


def program(path: Path, says: str = "", mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(mode)
    return path


def test_programs_are_found_on_the_path_and_where_they_are_named(tmp_path: Path) -> None:
    firecracker = program(tmp_path / "bin" / "firecracker")
    jailer = program(tmp_path / "other" / "jailer")
    found = settings.found({"PATH": str(tmp_path / "bin"), "CLOISTER_JAILER": str(jailer)})
    assert (found.firecracker, found.jailer, found.filter) == (firecracker, jailer, None)


@pytest.mark.parametrize("missing", ["firecracker", "jailer"])
def test_what_is_missing_is_named(tmp_path: Path, missing: str) -> None:
    for name in {"firecracker", "jailer"} - {missing}:
        program(tmp_path / name)
    with pytest.raises(ProviderUnavailable, match=f"there is no {missing} on PATH") as caught:
        settings.found({"PATH": str(tmp_path)})
    assert caught.value.code == "provider.vmm"


def test_a_named_program_has_to_be_one(tmp_path: Path) -> None:
    program(tmp_path / "jailer")
    for path in (tmp_path, tmp_path / "none", program(tmp_path / "plain", mode=0o644)):
        if path.name == "plain" and os.geteuid() == 0 and os.access(path, os.X_OK):
            continue
        with pytest.raises(ProviderUnavailable):
            settings.found({"PATH": str(tmp_path), "CLOISTER_FIRECRACKER": str(path)})


def test_templates(tmp_path: Path) -> None:
    programs = {"firecracker": program(tmp_path / "f"), "jailer": program(tmp_path / "j")}
    settings.FirecrackerSettings(**programs, cpu_template="T2A")
    for wrong in ({"cpu_template": "T9"}, {"cpu_template": "T2", "cpu_config": {}}):
        with pytest.raises(ConfigError):
            settings.FirecrackerSettings(**programs, **wrong)


@pytest.mark.parametrize(
    ("firecracker", "jailer", "words"),
    [
        ("Firecracker v1.16.1", "Jailer v1.16.0", "of one version"),
        ("Firecracker v1.7.0", "Jailer v1.7.0", "too old"),
        ("hello", "Jailer v1.16.1", "does not tell its version"),
        ("", "Jailer v1.16.1", "nothing"),
    ],
)
def test_versions_that_do_not_do(tmp_path: Path, firecracker: str, jailer: str, words: str) -> None:
    found = settings.FirecrackerSettings(
        firecracker=program(tmp_path / "f", firecracker), jailer=program(tmp_path / "j", jailer)
    )
    with pytest.raises(ProviderUnavailable, match=words):
        identity.of(found)


def test_what_a_snapshot_depends_on(tmp_path: Path) -> None:
    found = settings.FirecrackerSettings(
        firecracker=program(tmp_path / "f", "Firecracker v1.16.1"), jailer=program(tmp_path / "j", "Jailer v1.16.1")
    )
    facts = identity.of(found)
    assert facts["version"] == "1.16.1"
    assert len(facts["program_sha256"]) == len(facts["processor_sha256"]) == 64


def test_another_user_than_root_is_refused() -> None:
    said = as_another_user(lambda: str(refusal(identity.check_rights)))
    assert said.startswith("provider.confinement Firecracker's jailer needs root")


def refusal(act: Callable[[], object]) -> str:
    try:
        act()
    except ProviderUnavailable as error:
        return f"{error.code} {error.message}"
    return "nothing was refused"
