"""Threat: a module reads or changes files that were not granted, or changes those that were granted for reading."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from tests.security.webassembly import WasmBench, granted_beside_secret, module
from tests.unit.isolation.microvm.other_user import as_another_user

from cloister.errors import LaunchError, PathDenied, TokenRejected
from cloister.isolation.provider import ExternalProgram, Mount

SOURCE = module(
    """
    (func $length (result i32) (local i32)
      (loop $l
        (if (i32.load8_u (i32.add (i32.const 4096) (local.get 0)))
          (then (local.set 0 (i32.add (local.get 0) (i32.const 1))) (br $l))))
      (local.get 0))
    ;; Take the second word for a path, open it in every directory there is, and print what is there.
    (func (export "_start") (local $directory i32) (local $answer i32) (local $first i32)
      (drop (call $args_get (i32.const 1024) (i32.const 2048)))
      (memory.copy (i32.const 4096) (i32.load (i32.const 1028)) (i32.const 2048))
      (local.set $directory (i32.const 3))
      (loop $next
        (if (i32.eqz (call $fd_prestat_get (local.get $directory) (i32.const 0)))
          (then
            (local.set $answer (call $path_open (local.get $directory) (i32.const 1) (i32.const 4096) (call $length)
              (i32.const HOW) (i64.const RIGHTS) (i64.const 0) (i32.const 0) (i32.const 16)))
            (if (i32.eqz (local.get $answer))
              (then
                (i32.store (i32.const 32) (i32.const 65536)) (i32.store (i32.const 36) (i32.const 60000))
                ACT
                (call $exit (i32.const 0))))
            (if (i32.eqz (local.get $first)) (then (local.set $first (local.get $answer))))
            (local.set $directory (i32.add (local.get $directory) (i32.const 1)))
            (br $next))))
      (call $exit (local.get $first)))""",
    "args_get",
    "fd_prestat_get",
    "path_open",
    "fd_read",
    "fd_write",
)
READS = SOURCE.replace("HOW", "0").replace("RIGHTS", "2").replace(
    "ACT",
    "(drop (call $fd_read (i32.load (i32.const 16)) (i32.const 32) (i32.const 1) (i32.const 20)))"
    " (i32.store (i32.const 36) (i32.load (i32.const 20)))"
    " (drop (call $fd_write (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 20)))",
)  # fmt: skip
WRITES = SOURCE.replace("HOW", "1").replace("RIGHTS", "64").replace(
    "ACT",
    "(i32.store (i32.const 36) (i32.const 3)) (i32.store (i32.const 65536) (i32.const 0x77656e))"
    " (drop (call $fd_write (i32.load (i32.const 16)) (i32.const 32) (i32.const 1) (i32.const 20)))",
)  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    root = tmp_path.resolve()
    granted_beside_secret(root)
    return root


WAYS_OUT = [
    "../granted-not/secret",
    "inner/../../granted-not/secret",
    "inner/../../../../../../../../etc/passwd",
    "/etc/passwd",
    "link",
    "absolute",
    "inner/up/granted-not/secret",
    "/proc/self/environ",
    "proc/self/environ",
    "./.././granted-not/secret",
    "//etc/passwd",
]


@pytest.mark.parametrize("path", WAYS_OUT)
def test_nothing_outside_is_read(wasm: WasmBench, place: Path, path: str) -> None:
    granted = place / "granted"
    (granted / "link").symlink_to("../granted-not/secret")
    (granted / "absolute").symlink_to(place / "granted-not" / "secret")
    (granted / "inner" / "up").symlink_to("../..")
    result = wasm.command(READS, path, read=(granted,))
    assert result.exit_status in {44, 76}  # ENOENT, not capable
    assert result.stdout == b""
    for twin, content in (("file", b"granted"), ("inner/deep", b"deep"), ("inner/../file", b"granted")):
        assert wasm.command(READS, twin, read=(granted,)).stdout == content
    assert wasm.command(READS, "granted-not/secret", read=(place,)).stdout == b"secret"


@pytest.mark.parametrize("path", ["../new", "link", "/tmp/new", "inner/up/new", "../granted-not/secret"])
def test_nothing_outside_is_written(wasm: WasmBench, place: Path, path: str) -> None:
    granted = place / "granted"
    (granted / "link").symlink_to("../granted-not/new")
    (granted / "inner" / "up").symlink_to("../..")
    before = sorted(path for name in ("granted", "granted-not") for path in (place / name).rglob("*"))
    assert wasm.command(WRITES, path, write=(granted,)).exit_status in {44, 76}
    assert sorted(path for name in ("granted", "granted-not") for path in (place / name).rglob("*")) == before
    assert not (place / "new").exists()
    assert not Path("/tmp/new").exists()
    assert (place / "granted-not" / "secret").read_text() == "secret"
    assert wasm.command(WRITES, "inner/new", write=(granted,)).exit_status == 0
    assert (granted / "inner" / "new").read_text() == "new"


def test_what_is_granted_for_reading_is_not_written(wasm: WasmBench, place: Path) -> None:
    granted = place / "granted"
    for path in ("file", "new"):
        assert wasm.command(WRITES, path, read=(granted,)).exit_status == 69  # EROFS
    assert (granted / "file").read_text() == "granted"
    assert not (granted / "new").exists()
    assert wasm.command(WRITES, "file", write=(granted,)).exit_status == 0


def test_devices_and_pipes_are_not_opened(wasm: WasmBench, place: Path) -> None:
    granted = place / "granted"
    os.mkfifo(granted / "pipe")
    (granted / "null").symlink_to("/dev/null")
    assert wasm.command(READS, "pipe", write=(granted,)).exit_status == 2  # EACCES
    assert wasm.command(WRITES, "pipe", write=(granted,)).exit_status == 2
    assert wasm.command(READS, "null", write=(granted,)).exit_status == 44
    if os.geteuid() == 0:
        os.mknod(granted / "zero", 0o666 | 0o020000, os.makedev(1, 5))
        assert wasm.command(READS, "zero", write=(granted,)).exit_status == 2
    assert wasm.command(READS, "file", write=(granted,)).stdout == b"granted"


def test_renames_on_the_host_lead_nowhere_else(wasm: WasmBench, place: Path) -> None:
    """A directory is moved out of the grant, and a link put in its place, while guests read through it."""
    granted, outside = place / "granted", place / "granted-not"
    (outside / "deep").write_text("secret")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            (granted / "inner").rename(place / "moved")
            (granted / "inner").symlink_to(outside)
            (granted / "inner").unlink()
            (place / "moved").rename(granted / "inner")

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        outputs = {wasm.command(READS, "inner/deep", read=(granted,)).stdout for _ in range(150)}
    finally:
        stop.set()
        swapper.join()
    assert outputs <= {b"", b"deep"}
    assert wasm.command(READS, "inner/deep", read=(granted,)).stdout == b"deep"


def test_a_link_in_place_of_a_grant_is_refused(wasm: WasmBench, place: Path) -> None:
    (place / "alias").symlink_to("granted-not")
    with pytest.raises(PathDenied) as caught:
        wasm.command(READS, "secret", read=(place / "alias",))
    assert caught.value.code == "denied.path-link"
    with pytest.raises(PathDenied) as caught:
        wasm.command(READS, "secret", read=(place / "alias" / "secret",))
    assert caught.value.code == "denied.path-changed"
    assert wasm.command(READS, "secret", read=(place / "granted-not",)).stdout == b"secret"


@pytest.mark.parametrize("path", ["/proc", "/sys", "/dev", "/"])
def test_the_kernel_is_not_granted(wasm: WasmBench, place: Path, path: str) -> None:
    source = wasm.put(READS)
    permitted = wasm.permitted(ExternalProgram(argv=(str(source), "x")), read=(source, place))
    mounts = (*permitted.mounts, Mount(source=path, target="/x"))
    with pytest.raises((PathDenied, TokenRejected)):
        wasm.provider.execute(replace(permitted, mounts=mounts))
    wasm.provider.execute(permitted)


def test_a_module_must_be_granted_to_be_run(wasm: WasmBench, place: Path) -> None:
    source = wasm.put(READS)
    with pytest.raises(LaunchError) as caught:
        wasm.program(str(source), "x", read=(place / "granted",))
    assert caught.value.code == "provider.exec"
    assert "--read" in str(caught.value.hint)
    wasm.program(str(source), "x", read=(source,))


def test_an_ordinary_user_has_the_rights_of_the_user(place: Path) -> None:
    """What the user may not read, a grant does not open."""
    for above in (place, *place.parents[:4]):
        if os.geteuid() == 0 and str(above).startswith("/tmp/"):
            above.chmod(0o777)
    home = place / "other"
    home.mkdir()
    home.chmod(0o777)
    (place / "granted" / "closed").write_text("closed")
    (place / "granted" / "closed").chmod(0o000)

    def act() -> str:
        bench = WasmBench(home)
        try:
            statuses = [
                bench.command(READS, name, read=(place / "granted",)).exit_status for name in ("file", "closed")
            ]
            return repr(statuses)
        finally:
            bench.provider.close()

    assert as_another_user(act) == "[0, 2]"
