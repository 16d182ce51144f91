"""A program that runs is the one that was measured, or it is refused: whatever became of its name in between."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cloister.errors import CloisterError, DigestMismatch, LaunchError, ProviderUnavailable
from cloister.isolation.microvm import programs
from cloister.isolation.microvm.confinement import Confinement
from cloister.isolation.microvm.programs import Program

SLEEP, TAIL = (str(shutil.which(name)) for name in ("sleep", "tail"))


class Process:
    """A process that runs, unconfined."""

    def __init__(self, path: Path, *words: str) -> None:
        self._process = subprocess.Popen([path, *words])
        self.pid: int | None = self._process.pid

    def has_ended(self, timeout_s: float = 0.0) -> bool:
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        self.pid = None
        return True

    def end_error(self, what: str) -> CloisterError:
        return LaunchError(f"{what} ended", code="provider.machine")

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def started() -> Iterator[Callable[..., Process]]:
    made: list[Process] = []

    def start(path: Path, *words: str) -> Process:
        made.append(Process(path, *words))
        return made[-1]

    yield start
    for each in made:
        each.stop()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return Path(shutil.copy(SLEEP, tmp_path / "vmm"))


@pytest.fixture
def program(path: Path) -> Program:
    program = Program(path, "the VMM")
    assert "sleep" in program.version_text
    return program


def replaced(path: Path, by: str, more: bytes = b"") -> None:
    """Give a name to another file, as an update does."""
    fresh = path.with_name("fresh")
    shutil.copy(by, fresh)
    with fresh.open("ab") as file:
        file.write(more)
    fresh.replace(path)


def test_what_was_measured_may_run(program: Program, path: Path, started) -> None:
    program.require_in(started(path, "60"))


def test_another_program_of_its_name_is_refused(program: Program, path: Path, started) -> None:
    replaced(path, TAIL)
    with pytest.raises(DigestMismatch) as caught:
        program.require_in(started(path, "-f", "/dev/null"))
    assert str(path) in caught.value.message
    assert caught.value.details["expected"] == program.sha256
    assert caught.value.details["measured"] == programs.digest_of(Path(TAIL))


def test_the_same_bytes_in_another_file_may_run(program: Program, path: Path, started) -> None:
    replaced(path, SLEEP)
    program.require_in(started(path, "60"))


def test_a_program_that_was_written_to_is_refused(program: Program, path: Path, started) -> None:
    with path.open("r+b") as file:  # it stays as long as it was
        file.seek(-1, os.SEEK_END)
        file.write(b"\xff")
    with pytest.raises(DigestMismatch):
        program.require_in(started(path, "60"))


def test_a_name_that_changes_after_the_start_changes_nothing(program: Program, path: Path, started) -> None:
    process = started(path, "60")
    replaced(path, TAIL)
    program.require_in(process)
    path.unlink()
    program.require_in(process)


def test_one_that_has_ended_says_why(program: Program, path: Path, started) -> None:
    process = started(path, "0")
    assert process.has_ended(10)
    with pytest.raises(LaunchError, match="the VMM ended"):
        program.require_in(process)


def test_one_that_cannot_be_found_is_refused(program: Program, path: Path, started, monkeypatch) -> None:
    monkeypatch.setattr(programs, "FIND_TIMEOUT_S", 0.0)
    process = started(path, "60")
    process.pid = None
    with pytest.raises(ProviderUnavailable) as caught:
        program.require_in(process)
    assert caught.value.code == "provider.confinement"


def test_one_that_changes_while_it_is_measured_is_refused(tmp_path: Path) -> None:
    script = tmp_path / "vmm"
    script.write_text(f"#!/bin/sh\necho >> '{script}'\n")
    script.chmod(0o755)
    with pytest.raises(DigestMismatch, match="while it was measured"):
        assert Program(script, "the VMM").sha256


def test_the_file_that_was_read_says_its_version_whatever_has_its_name(tmp_path: Path, monkeypatch) -> None:
    script = tmp_path / "vmm"
    script.write_text("#!/bin/sh\necho one\n")
    script.chmod(0o755)
    digest = programs.hashlib.file_digest

    def digested(file: object, name: str) -> object:
        try:
            return digest(file, name)  # type: ignore[arg-type]
        finally:
            replaced(script, TAIL)

    monkeypatch.setattr(programs.hashlib, "file_digest", digested)
    assert Program(script, "the VMM").version_text == "one\n"


@pytest.mark.parametrize("text", ["#!/bin/sh\nexit 3\n", "#!/nowhere\n", None])
def test_one_that_does_not_tell_its_version_is_unavailable(tmp_path: Path, text: str | None) -> None:
    script = tmp_path / "vmm"
    if text is not None:
        script.write_text(text)
        script.chmod(0o755)
    with pytest.raises(ProviderUnavailable) as caught:
        assert Program(script, "the VMM").version_text
    assert caught.value.code == "provider.vmm"


def test_a_confined_one_is_told_apart() -> None:
    confinement = Confinement()
    try:
        with confinement.start([SLEEP, "4711", "0"], "4711", [], memory_bytes=64 * 1024 * 1024) as process:
            Program(Path(SLEEP), "the VMM").require_in(process)
            with pytest.raises(DigestMismatch):
                Program(Path(TAIL), "the VMM").require_in(process)
    finally:
        confinement.close()


def test_one_that_was_written_over_and_given_its_old_times_is_refused(path: Path, started) -> None:
    program = Program(path, "the program")
    assert program.sha256
    facts = path.stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (facts.st_size, facts.st_mtime_ns)
    with pytest.raises(DigestMismatch):
        program.require_in(started(path, "60"))
