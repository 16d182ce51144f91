"""What the host describes before anything is launched: grants, interpreters, the request itself."""

import os
import sys
from pathlib import Path

import pytest

from cloister.errors import PathDenied, ProviderUnavailable
from cloister.isolation.process.grants import grants_for
from cloister.isolation.process.interpreters import interpreter_for
from cloister.isolation.process.lanes import Lane
from cloister.isolation.process.spec import FIXED_ENVIRONMENT, Grant, SandboxSpec
from cloister.isolation.provider import Mount, MountMode, ScriptLanguage
from cloister.limits import ResourceLimits


def test_a_request_survives_the_way(tmp_path) -> None:
    grant = Grant(source="/a\udcff\n", target="/b", is_writable=True, is_directory=True, device=1, inode=2)
    spec = SandboxSpec(
        lane=Lane.PROGRAM,
        argv=("a", "b\udcff"),
        script="π",
        grants=(grant,),
        runtime=("/opt/x",),
        environment={"A": "1"},
        working_directory="/tmp",
        limits=ResourceLimits(wall_ms=7),
    )
    assert SandboxSpec.from_bytes(spec.to_bytes()) == spec
    assert not spec.is_guest
    assert spec.full_environment() == FIXED_ENVIRONMENT | {"A": "1"}


def mount(source: str, target: str = "/inside", mode: MountMode = MountMode.READ_ONLY) -> Mount:
    return Mount(source=source, target=target, mode=mode)


def test_a_grant_records_what_the_host_saw(tmp_path: Path) -> None:
    place = str(tmp_path.resolve())
    (grant,) = grants_for([mount(place, mode=MountMode.READ_WRITE)])
    seen = os.lstat(place)
    assert (grant.device, grant.inode) == (seen.st_dev, seen.st_ino)
    assert grant.is_writable
    assert grant.is_directory


@pytest.mark.parametrize("path", ["/", "/proc", "/proc/1", "/sys", "/dev", "/dev/shm"])
def test_the_kernel_is_not_granted(path) -> None:
    with pytest.raises(PathDenied) as caught:
        grants_for([mount(path)])
    assert caught.value.code == "denied.path-kernel"
    with pytest.raises(PathDenied) as caught:
        grants_for([mount("/usr", path)])
    assert caught.value.code == "denied.path-kernel"
    assert grants_for([mount("/usr", "/process")])


@pytest.mark.parametrize("path", ["usr", "/usr/", "/usr/../etc", "//usr", "/usr/./lib"])
def test_paths_that_are_not_canonical_are_refused(path) -> None:
    with pytest.raises(PathDenied) as caught:
        grants_for([mount(path)])
    assert caught.value.code == "denied.path-form"


def test_what_is_no_file_or_directory_is_refused(tmp_path: Path) -> None:
    place = tmp_path.resolve()
    os.mkfifo(place / "pipe")
    (place / "link").symlink_to(place)
    codes = {"pipe": "denied.path-kind", "link": "denied.path-link", "missing": "denied.path-missing"}
    for name, code in codes.items():
        with pytest.raises(PathDenied) as caught:
            grants_for([mount(str(place / name))])
        assert caught.value.code == code
    (place / "file").touch()
    assert not grants_for([mount(str(place / "file"))])[0].is_directory


def test_the_python_interpreter_is_this_one() -> None:
    chosen = interpreter_for(ScriptLanguage.PYTHON)
    assert chosen.argv[0] == os.path.realpath(sys.executable)
    assert chosen.argv[1] == "-I"
    assert all(Path(path).exists() and not path.startswith("/usr/") for path in chosen.runtime)


def test_a_missing_interpreter_is_named_with_its_package(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProviderUnavailable) as caught:
        interpreter_for(ScriptLanguage.JAVASCRIPT)
    assert (caught.value.code, "nodejs" in caught.value.hint) == ("provider.interpreter", True)
    (tmp_path / "node").write_text("#!/bin/sh\n")
    (tmp_path / "node").chmod(0o755)
    assert interpreter_for(ScriptLanguage.JAVASCRIPT).argv[0] == str((tmp_path / "node").resolve())
