"""What the host describes before anything is launched: grants, interpreters, the request itself."""

import os
import sys
from pathlib import Path

import pytest

from cloister.errors import PathDenied, ProviderUnavailable
from cloister.isolation.process.grants import grants_for
from cloister.isolation.process.interpreters import command_for, interpreter_for, missing_interpreter
from cloister.isolation.process.lanes import Lane
from cloister.isolation.process.spec import FIXED_ENVIRONMENT, Grant, SandboxSpec
from cloister.isolation.provider import CustomInterpreter, Mount, MountMode, ScriptLanguage, ScriptSource
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


def test_the_place_a_sandbox_has_for_itself_is_not_granted(tmp_path: Path) -> None:
    with pytest.raises(PathDenied) as caught:
        grants_for([mount("/usr", "/usr"), mount(str(tmp_path.resolve()), "/tmp")])
    assert caught.value.code == "denied.path-private"
    assert "below it" in caught.value.hint
    assert grants_for([mount(str(tmp_path.resolve()), "/tmp/below")])
    assert grants_for([mount("/tmp", "/tmp")], has_private_directory=False)


def test_the_python_interpreter_is_this_one() -> None:
    chosen = interpreter_for(ScriptLanguage.PYTHON)
    assert chosen.argv == (os.path.realpath(sys.executable), "-I")
    assert all(Path(path).exists() and not path.startswith("/usr/") for path in chosen.runtime)


def program(path: Path, content: bytes = b"\x7fELF") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o755)
    return path.resolve()


@pytest.mark.parametrize(
    ("language", "name", "package"),
    [
        (ScriptLanguage.JAVASCRIPT, "node", "nodejs"),
        (ScriptLanguage.RUBY, "ruby", "ruby"),
        (ScriptLanguage.LUA, "lua", "lua5.4"),
    ],
)
def test_a_missing_interpreter_is_named_with_its_package(monkeypatch, tmp_path, language, name, package) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProviderUnavailable) as caught:
        interpreter_for(language)
    assert caught.value.code == "provider.interpreter"
    assert f'"{name}"' in caught.value.message
    assert caught.value.hint.endswith(f"apt-get install {package}")
    there = program(tmp_path / name)
    assert interpreter_for(language).argv == (str(there),)


def test_lua_has_several_names(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("lua5.3", "lua5.4", "lua"):
        there = program(tmp_path / name)
        assert interpreter_for(ScriptLanguage.LUA).argv == (str(there),)


def test_a_script_in_place_of_an_interpreter_does_not_count(monkeypatch, tmp_path) -> None:
    program(tmp_path / "shims" / "ruby", b"#!/usr/bin/env bash\n")
    monkeypatch.setenv("PATH", str(tmp_path / "shims"))
    with pytest.raises(ProviderUnavailable):
        interpreter_for(ScriptLanguage.RUBY)
    real = program(tmp_path / "bin" / "ruby")
    monkeypatch.setenv("PATH", f"{tmp_path / 'shims'}:{tmp_path / 'bin'}")
    assert interpreter_for(ScriptLanguage.RUBY).argv == (str(real),)


def test_an_interpreter_outside_the_system_brings_its_installation(monkeypatch, tmp_path) -> None:
    real = program(tmp_path / "versions" / "3.3" / "bin" / "ruby")
    (tmp_path / "ruby").symlink_to(real)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = interpreter_for(ScriptLanguage.RUBY)
    assert (found.argv, found.runtime) == ((str(real),), (str(real.parent.parent),))


def test_a_script_is_run_with_its_words_in_order() -> None:
    script = ScriptSource(language=ScriptLanguage.SHELL, source="", options=("-e", "-u"), argv=("-x", "y z"))
    assert command_for(script).argv == ("/bin/sh", "-e", "-u", "/script", "-x", "y z")
    custom = ScriptSource(language=CustomInterpreter(program="perl"), source="", argv=("a",))
    assert command_for(custom).argv == ("perl", "/script", "a")
    assert command_for(custom).runtime == ()


def test_where_an_interpreter_is_missing_is_told_apart(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    inside = "/usr/local/bin:/usr/bin:/bin"
    assert inside in missing_interpreter("perl", search_path=inside).message
    assert "apt-get install perl" in missing_interpreter("/usr/bin/no/perl", search_path=inside).hint
    there = program(tmp_path / "perl")
    for asked in ("perl", str(there)):
        error = missing_interpreter(asked, search_path=inside)
        assert "not visible in the sandbox" in error.message
        assert "--read" in error.hint
    assert missing_interpreter("/opt/none/of/these", search_path=inside).hint == "install it"
