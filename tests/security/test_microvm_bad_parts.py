"""Threat: images and snapshots that are missing, cut off, altered, or of somebody else; disks that are full.

Whatever is wrong is an error that names it; no machine is started, nothing runs on the host, and nothing is left.
"""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.security.machines import CONFIG, Machines, copied_home, machine_pids

from cloister.audit.home import AuditHome
from cloister.audit.signer import Signer
from cloister.errors import AttestationError, CloisterError, LaunchError
from cloister.isolation.microvm.pool import PoolBounds
from cloister.isolation.microvm.programs import Program
from cloister.isolation.microvm.qemu import driver
from cloister.isolation.provider import ExternalProgram, PlanProgram

ALONE = replace(CONFIG, pool=PoolBounds(size_max=0))
PLAN = PlanProgram(source="(+ 1 2)", name="p")


@pytest.fixture(scope="module")
def home(machine_home, tmp_path_factory) -> Path:
    """A home of our own, with an image and one snapshot of it."""
    made = copied_home(machine_home, tmp_path_factory.mktemp("bad") / "home")
    assert run(made) == 3
    return made


def run(home: Path) -> object:
    machines = Machines(home, ALONE)
    try:
        return machines.execute(PLAN).value
    finally:
        machines.provider.close()


def refused(home: Path, tmp_path: Path) -> CloisterError:
    """Try to run a plan, and a program that would leave a mark on the host; return why neither was run."""
    machines, mark = Machines(home, ALONE), tmp_path / "mark"
    try:
        with pytest.raises(CloisterError) as first:
            machines.execute(ExternalProgram(argv=("/usr/bin/touch", str(mark))), write=(tmp_path,))
        with pytest.raises(CloisterError) as second:
            machines.execute(PLAN)
        assert machine_pids() == []
    finally:
        machines.provider.close()
    assert not mark.exists()
    assert (first.value.code, first.value.message) == (second.value.code, second.value.message)
    return second.value


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def grown(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


def flipped(path: Path) -> None:
    """Change one bit in the middle of what has data."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        place = os.lseek(file.fileno(), 0, os.SEEK_DATA) if size > 1 << 20 else size // 2
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1]))


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def linked(path: Path) -> None:
    """Put a link in its place that leads to the very same content."""
    other = path.with_name(f"{path.name}-elsewhere")
    path.rename(other)
    path.symlink_to(other.name)


class Alteration:
    """A change of one file that is taken back at the end."""

    def __init__(self, path: Path, change: Callable[[Path], None], kept: Path) -> None:
        self._path, self._change, self._kept = path, change, kept

    def __enter__(self) -> None:
        subprocess.run(["cp", "-a", "--sparse=always", self._path.parent, self._kept], check=True)
        self._change(self._path)

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._path.parent)
        subprocess.run(["cp", "-a", "--sparse=always", self._kept, self._path.parent], check=True)


PARTS = ("vmlinux", "initramfs.cpio")
TEXTS = ("manifest.json", "manifest.sig")
"""A link to one of them has the same signature and content, and lies in the same directory: that is no other image."""


@pytest.mark.parametrize(
    ("name", "change"),
    [
        *((name, change) for name in (*PARTS, *TEXTS) for change in (Path.unlink, cut, grown, flipped, emptied)),
        *((name, linked) for name in PARTS),
    ],
)
def test_a_part_of_the_image_that_is_not_what_was_signed_is_refused(home, tmp_path, name, change) -> None:
    with Alteration(home / "images" / "base" / name, change, tmp_path / "kept"):
        error = refused(home, tmp_path)
    assert isinstance(error, AttestationError)
    assert error.exit_status == 7
    assert error.code.startswith("attestation.")
    assert name in error.message or "manifest" in error.message


def test_an_image_that_others_may_write_to_is_refused(home, tmp_path) -> None:
    with Alteration(home / "images" / "base" / "vmlinux", lambda path: path.chmod(0o666), tmp_path / "kept"):
        assert refused(home, tmp_path).exit_status == 7


def test_a_home_without_an_image_is_refused_with_what_to_do(home, tmp_path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir(mode=0o700)
    shutil.copytree(home / "keys", empty / "keys")
    error = refused(empty, tmp_path)
    assert (error.code, error.exit_status) == ("provider.image", 5)
    assert "cloister image build" in (error.hint or "")


def test_a_home_without_a_key_is_refused(home, tmp_path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir(mode=0o700)
    shutil.copytree(home / "images", empty / "images")
    error = refused(empty, tmp_path)
    assert (error.code, error.exit_status) == ("attestation.key", 7)


def test_an_image_that_somebody_else_has_signed_is_refused(home, tmp_path) -> None:
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    shutil.copytree(home / "images", other / "images")
    Signer.open(AuditHome(other).key_path)
    error = refused(other, tmp_path)
    assert (error.code, error.exit_status) == ("attestation.signature", 7)


@pytest.mark.parametrize("change", [Path.unlink, cut, grown, flipped, emptied])
@pytest.mark.parametrize("name", ["memory", "state", "snapshot.json", "snapshot.sig"])
def test_a_snapshot_that_is_not_what_was_saved_is_refused(home, tmp_path, name, change) -> None:
    (snapshot,) = (home / "snapshots").iterdir()
    with Alteration(snapshot / name, change, tmp_path / "kept"):
        error = refused(home, tmp_path)
    assert isinstance(error, AttestationError)
    assert (error.exit_status, str(snapshot) in error.message) == (7, True)
    assert "cloister snapshot rm" in (error.hint or "")


def test_what_was_put_right_again_runs(home) -> None:
    """The twin of all of the above, which have taken back what they changed."""
    assert run(home) == 3
    assert len(list((home / "snapshots").iterdir())) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_disk_that_is_full_is_an_error_and_nothing_of_the_snapshot_is_left(machine_home, tmp_path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    content = sum(each.stat().st_size for each in (machine_home / "images" / "base").iterdir())
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={content + (8 << 20)}", "small", small], check=True)
    try:
        home = small / "home"
        home.mkdir(mode=0o700)
        shutil.copytree(machine_home / "keys", home / "keys")
        shutil.copytree(machine_home / "images" / "base", home / "images" / "base")
        (home / "images").chmod(0o700)
        with pytest.raises(LaunchError) as caught:
            run(home)
        assert (caught.value.code, caught.value.exit_status) == ("provider.snapshot", 5)
        assert machine_pids() == []
        assert list((home / "snapshots").iterdir()) == []
        twin = Machines(home, replace(ALONE, keeps_snapshots=False))
        assert twin.execute(PLAN).value == 3
        twin.provider.close()
    finally:
        subprocess.run(["umount", small], check=True)


def test_what_a_process_left_that_was_killed_while_it_saved_is_removed(home, tmp_path) -> None:
    made = copied_home(home, tmp_path / "home")
    left = made / "snapshots" / ".new-left"
    left.mkdir(parents=True)
    (left / "memory").write_bytes(b"x")
    assert run(made) == 3
    assert not left.exists()


def other_user() -> pwd.struct_passwd | None:
    """Return a user without privileges that this test may become."""
    if os.geteuid() != 0:
        return None
    return next((each for each in pwd.getpwall() if 1000 <= each.pw_uid < 60_000), None)


UNPRIVILEGED = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from tests.security.machines import Machines
from cloister.isolation.provider import PlanProgram
machines = Machines(Path(sys.argv[1]))
print(machines.provider.level.name)
print(machines.execute(PlanProgram(source="(+ 1 2)", name="p")).value)
print(machines.code("import os; print(os.getuid())").stdout.decode().strip())
machines.provider.close()

from cloister.errors import DigestMismatch
from cloister.isolation.microvm.confinement import Confinement
from cloister.isolation.microvm.programs import Program
confinement = Confinement()
with confinement.start(["/usr/bin/sleep", "4711", "0"], "4711", [], memory_bytes=1 << 26) as process:
    Program(Path("/usr/bin/sleep"), "sleep").require_in(process)
    try:
        Program(Path("/usr/bin/tail"), "tail").require_in(process)
    except DigestMismatch as error:
        print(error.code)
confinement.close()
"""
"""A program that is confined by such a user is told apart from another one, too."""


@pytest.fixture
def others_place() -> Iterator[Path]:
    """Return a directory that other users can go through, as those of pytest are not."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory).resolve()
        place.chmod(0o755)
        yield place


@pytest.mark.skipif(other_user() is None, reason="needs root, to become a user without privileges, and such a user")
def test_a_user_without_privileges_runs_machines_and_uses_no_home_of_others(machine_home, others_place) -> None:
    user = other_user()
    assert user is not None
    home = copied_home(machine_home, others_place / "home")
    subprocess.run(["chown", "-R", f"{user.pw_uid}:{user.pw_gid}", home], check=True)
    paths = [path for path in sys.path if path and not path.startswith(sys.base_prefix)]

    def ran(which: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/usr/bin/python3", "-c", UNPRIVILEGED, str(which), *paths], user=user.pw_uid, group=user.pw_gid,
            extra_groups=[], env={"PATH": os.environ["PATH"]}, cwd="/", capture_output=True, text=True, check=False,
        )  # fmt: skip

    done = ran(home)
    assert (done.returncode, done.stdout.split()[1:]) == (0, ["3", "1000", "attestation.digest"]), done.stderr
    (home / "images" / "base" / "vmlinux").chmod(0o644)
    os.chown(home / "images" / "base" / "vmlinux", user.pw_uid + 1, user.pw_gid)
    assert "belongs to somebody else" in ran(home).stderr


@pytest.fixture
def measured(tmp_path, monkeypatch) -> Callable[[bytes], None]:
    """Have what was measured of QEMU be a copy of it with something at its end; what is started is QEMU."""

    def measure(more: bytes) -> None:
        copy = tmp_path / "qemu"
        shutil.copy(str(shutil.which(driver.PROGRAM)), copy)
        with copy.open("ab") as file:
            file.write(more)

        def swapped(path: Path, what: str) -> Program:
            program = Program(copy, what)
            assert program.sha256
            monkeypatch.setattr(program, "path", path)
            return program

        monkeypatch.setattr(driver, "Program", swapped)

    return measure


def test_a_vmm_that_is_another_program_than_was_measured_is_ended(home, tmp_path, measured) -> None:
    measured(b"\0")
    error = refused(home, tmp_path)
    assert error.code == "attestation.digest"
    assert error.details["part"] == "vmm"
    assert error.details["measured"] != error.details["expected"]


def test_a_vmm_of_the_same_bytes_in_another_file_runs(home, measured) -> None:
    measured(b"")
    assert run(home) == 3
