"""Compiled modules on disk: what is put there comes back, and what others did to it does not."""

from __future__ import annotations

import os
import shutil
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.isolation.microvm.other_user import as_another_user

from cloister.clock import SystemClock
from cloister.errors import ProviderError
from cloister.isolation.wasm.cache import CodeCache

FINGERPRINT = "f" * 64


@pytest.fixture
def cache(tmp_path: Path) -> CodeCache:
    return CodeCache(tmp_path / "home", SystemClock())


def only_file(cache: CodeCache) -> Path:
    (found,) = cache.directory.iterdir()
    return found


def refused(cache: CodeCache) -> str:
    with pytest.raises(ProviderError) as caught:
        cache.get(b"module", FINGERPRINT)
    assert caught.value.code == "provider.wasm-cache"
    return caught.value.message


def test_what_was_put_comes_back(cache: CodeCache) -> None:
    assert cache.get(b"module", FINGERPRINT) is None
    cache.put(b"module", FINGERPRINT, b"code")
    assert cache.get(b"module", FINGERPRINT) == b"code"
    assert cache.get(b"other", FINGERPRINT) is None
    assert cache.get(b"module", "0" * 64) is None


def test_it_is_its_owners_alone(cache: CodeCache) -> None:
    umask = os.umask(0)
    try:
        cache.put(b"module", FINGERPRINT, b"code")
    finally:
        os.umask(umask)
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in (cache.directory, cache.key_path, only_file(cache))
    }
    assert set(modes.values()) == {0o700, 0o600}
    assert stat.S_IMODE(cache.key_path.parent.stat().st_mode) == 0o700


def test_another_process_with_the_same_home_finds_it(cache: CodeCache, tmp_path: Path) -> None:
    cache.put(b"module", FINGERPRINT, b"code")
    assert CodeCache(tmp_path / "home", SystemClock()).get(b"module", FINGERPRINT) == b"code"


def test_another_key_finds_nothing(cache: CodeCache) -> None:
    cache.put(b"module", FINGERPRINT, b"code")
    cache.key_path.unlink()
    assert cache.get(b"module", FINGERPRINT) is None


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def flip_seal(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


ALTERED: list[Callable[[Path], object]] = [
    flip,
    flip_seal,
    lambda path: path.write_bytes(path.read_bytes()[:-1]),
    lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    lambda path: path.write_bytes(b""),
]


@pytest.mark.parametrize("alter", ALTERED)
def test_what_was_altered_is_not_given_out(cache: CodeCache, alter: Callable[[Path], object]) -> None:
    cache.put(b"module", FINGERPRINT, b"some code")
    good = only_file(cache).read_bytes()
    alter(only_file(cache))
    assert "was altered" in refused(cache)
    only_file(cache).write_bytes(good)
    assert cache.get(b"module", FINGERPRINT) == b"some code"


def test_code_of_another_module_under_its_name_is_not_given_out(cache: CodeCache) -> None:
    cache.put(b"other", FINGERPRINT, b"other code")
    other = only_file(cache)
    cache.put(b"module", FINGERPRINT, b"code")
    (place,) = set(cache.directory.iterdir()) - {other}
    shutil.copyfile(other, place)
    assert "was altered" in refused(cache)
    assert cache.get(b"other", FINGERPRINT) == b"other code"


def test_links_are_refused(cache: CodeCache, tmp_path: Path) -> None:
    cache.put(b"module", FINGERPRINT, b"code")
    place = only_file(cache)
    place.rename(tmp_path / "moved")
    place.symlink_to(tmp_path / "moved")
    refused(cache)
    place.unlink()
    (tmp_path / "moved").rename(place)
    assert cache.get(b"module", FINGERPRINT) == b"code"
    cache.directory.rename(tmp_path / "elsewhere")
    cache.directory.symlink_to(tmp_path / "elsewhere")
    refused(cache)


def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(cache: CodeCache) -> None:
    cache.put(b"module", FINGERPRINT, b"code")
    place = only_file(cache)
    place.unlink()
    os.mkfifo(place, 0o600)
    refused(cache)


@pytest.mark.parametrize("which", ["directory", "key", "file", "keys"])
@pytest.mark.parametrize("mode", [0o040, 0o002, 0o004])
def test_what_others_may_use_is_refused(cache: CodeCache, which: str, mode: int) -> None:
    cache.put(b"module", FINGERPRINT, b"code")
    paths = {
        "directory": cache.directory,
        "key": cache.key_path,
        "file": only_file(cache),
        "keys": cache.key_path.parent,
    }
    before = stat.S_IMODE(paths[which].stat().st_mode)
    paths[which].chmod(before | mode)
    assert "others may use it" in refused(cache)
    paths[which].chmod(before)
    assert cache.get(b"module", FINGERPRINT) == b"code"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_what_belongs_to_another_user_is_refused(cache: CodeCache) -> None:
    cache.put(b"module", FINGERPRINT, b"code")
    os.chown(only_file(cache), 65_534, 65_534)
    assert "belongs to user 65534" in refused(cache)


def test_an_ordinary_user_has_one_too(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o777)
    for above in (home, *list(home.parents)[:4]):
        if os.geteuid() == 0 and str(above).startswith(str(tmp_path.parents[1])):
            above.chmod(0o777)

    def act() -> str:
        cache = CodeCache(home / "own", SystemClock())
        cache.put(b"module", FINGERPRINT, b"code")
        return repr(cache.get(b"module", FINGERPRINT))

    assert as_another_user(act) == "b'code'"


def test_a_key_of_another_length_is_refused(cache: CodeCache) -> None:
    cache.put(b"module", FINGERPRINT, b"code")
    cache.key_path.write_bytes(b"short")
    refused(cache)


def test_a_home_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("no directory")
    refused(CodeCache(tmp_path / "home", SystemClock()))


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    cache = CodeCache(tmp_path / "home", SystemClock(), total_bytes_max=400)
    for number in range(3):
        cache.put(b"module %d" % number, FINGERPRINT, bytes(100))
    times = {path: number for number, path in enumerate(sorted(cache.directory.iterdir(), key=os.path.getmtime))}
    for path, number in times.items():
        os.utime(path, (number, number))
    first = cache.get(b"module 0", FINGERPRINT)
    cache.put(b"module 3", FINGERPRINT, bytes(100))
    assert first == bytes(100)
    assert cache.get(b"module 0", FINGERPRINT) == bytes(100)
    assert cache.get(b"module 1", FINGERPRINT) is None
    assert sum(path.stat().st_size for path in cache.directory.iterdir()) <= 400


def test_what_is_too_large_is_not_kept(tmp_path: Path) -> None:
    cache = CodeCache(tmp_path / "home", SystemClock(), total_bytes_max=100)
    cache.put(b"module", FINGERPRINT, bytes(101))
    assert cache.get(b"module", FINGERPRINT) is None


def test_several_at_once_use_one_key(tmp_path: Path) -> None:
    caches = [CodeCache(tmp_path / "home", SystemClock()) for _ in range(8)]
    start, failures = threading.Barrier(len(caches)), []

    def put(cache: CodeCache) -> None:
        start.wait()
        try:
            cache.put(b"module", FINGERPRINT, b"code")
        except ProviderError as error:
            failures.append(error)

    threads = [threading.Thread(target=put, args=(cache,)) for cache in caches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert all(cache.get(b"module", FINGERPRINT) == b"code" for cache in caches)
    assert [path.suffix for path in caches[0].directory.iterdir()] == [".cwasm"]
