"""Threat: machine code that somebody else put into the cache of compiled modules is run in the host's process."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from tests.security.webassembly import command, wasm_bench

from cloister.errors import ProviderError

NORMAL = command("(call $exit (i32.const 7))")
OTHER = command("(call $exit (i32.const 66))")


@pytest.fixture
def cached(tmp_path: Path) -> tuple[Path, Path]:
    """A home in which a module was compiled, and the file it is in."""
    home = tmp_path.resolve()
    with wasm_bench(home) as bench:
        assert bench.command(NORMAL).exit_status == 7
    (found,) = (home / "home" / "wasm").iterdir()
    shutil.rmtree(home / "modules")
    return home, found


def run(home: Path) -> int | None:
    """Run the module in a new provider, which has loaded nothing yet."""
    with wasm_bench(home) as bench:
        try:
            return bench.command(NORMAL).exit_status
        finally:
            shutil.rmtree(bench.place)


def refused(home: Path) -> None:
    with pytest.raises(ProviderError) as caught:
        run(home)
    assert caught.value.code == "provider.wasm-cache"


def test_what_is_there_is_used(cached: tuple[Path, Path]) -> None:
    home, file = cached
    before = file.stat()
    assert run(home) == 7
    assert file.stat().st_ino == before.st_ino


@pytest.mark.parametrize("place", [0, 31, 32, 100, -1])
def test_a_changed_bit_is_noticed(cached: tuple[Path, Path], place: int) -> None:
    home, file = cached
    good = file.read_bytes()
    bad = bytearray(good)
    bad[place] ^= 1
    file.write_bytes(bad)
    refused(home)
    assert file.read_bytes() == bytes(bad)  # it stays for whoever looks into it
    file.write_bytes(good)
    assert run(home) == 7


def test_code_of_another_module_is_noticed(cached: tuple[Path, Path]) -> None:
    home, file = cached
    with wasm_bench(home) as bench:
        assert bench.command(OTHER).exit_status == 66
        shutil.rmtree(bench.place)
    (other,) = set(file.parent.iterdir()) - {file}
    good = file.read_bytes()
    file.write_bytes(other.read_bytes())
    refused(home)
    file.write_bytes(good)
    assert run(home) == 7


def test_code_that_was_sealed_with_another_key_is_not_looked_for(cached: tuple[Path, Path], tmp_path: Path) -> None:
    """Somebody makes code with a key of their own, and puts it under the name that it has with ours."""
    home, file = cached
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    with wasm_bench(theirs) as bench:
        assert bench.command(NORMAL).exit_status == 7
    (foreign,) = (theirs / "home" / "wasm").iterdir()
    assert foreign.name != file.name
    good = file.read_bytes()
    file.write_bytes(foreign.read_bytes())
    refused(home)
    file.write_bytes(good)
    assert run(home) == 7


def test_links_are_not_followed(cached: tuple[Path, Path], tmp_path: Path) -> None:
    home, file = cached
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    refused(home)
    file.unlink()
    assert run(home) == 7


@pytest.mark.parametrize("which", ["file", "key"])
def test_what_is_no_file_is_not_read(cached: tuple[Path, Path], tmp_path: Path, which: str) -> None:
    home, file = cached
    path = {"file": file, "key": home / "home" / "keys" / "wasm.key"}[which]
    path.rename(tmp_path / "elsewhere")
    makes = (lambda: path.mkdir(mode=0o700), lambda: os.mkfifo(path, 0o600))
    open_count = sum(1 for _ in Path("/proc/self/fd").iterdir())
    for make, remove in zip(makes, (path.rmdir, path.unlink), strict=True):
        make()
        refused(home)
        remove()
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == open_count
    (tmp_path / "elsewhere").rename(path)
    assert run(home) == 7


@pytest.mark.parametrize("which", ["file", "directory", "key"])
def test_what_others_can_write_is_not_used(cached: tuple[Path, Path], which: str) -> None:
    home, file = cached
    path = {"file": file, "directory": file.parent, "key": home / "home" / "keys" / "wasm.key"}[which]
    mode = path.stat().st_mode
    path.chmod(mode | 0o020)
    refused(home)
    path.chmod(mode)
    assert run(home) == 7


def test_nobody_but_the_owner_can_read_the_key(cached: tuple[Path, Path]) -> None:
    home, _ = cached
    for path in (home / "home" / "keys", home / "home" / "keys" / "wasm.key", home / "home" / "wasm"):
        assert path.stat().st_mode & 0o077 == 0
        assert path.stat().st_uid == os.geteuid()
