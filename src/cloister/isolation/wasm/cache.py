"""Compiled modules on disk.

Owns a directory of the home that is its owner's alone, and a key beside the other keys. What is read from there is
machine code that will run in this process, so a file counts only with the seal of that key over its name and content;
whoever can write to the directory, but not read the key, can make an execution fail and nothing else. Whoever can read
the key is the user who runs Cloister, or root.
"""

# ruff: noqa: PTH123 - it opens descriptors, which have no path

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from cloister.clock import Clock
from cloister.errors import ProviderError, quoted
from cloister.limits import MIB

CODE_BYTES_MAX: Final = 512 * MIB
"""Of one compiled module."""
TOTAL_BYTES_MAX: Final = 1024 * MIB
KEY_BYTES: Final = 32
SEAL_BYTES: Final = 32

_DOMAIN: Final = b"cloister/wasm-code/v1\n"
_SUFFIX: Final = ".cwasm"
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class CodeCache:
    """The compiled modules of one home. May be used by several threads and processes at once.

    Args:
        home: Where they and the key lie; made on first use.
        clock: Gives the key, and names for files that are not complete yet.
        total_bytes_max: How much all of them may have; then those that were used longest ago go.
    """

    def __init__(self, home: Path, clock: Clock, *, total_bytes_max: int = TOTAL_BYTES_MAX) -> None:
        self.directory = home / "wasm"
        self.key_path = home / "keys" / "wasm.key"
        self._clock = clock
        self._total_bytes_max = total_bytes_max

    def __repr__(self) -> str:
        return f"CodeCache({str(self.directory)!r})"

    def get(self, wasm: bytes, fingerprint: str) -> bytes | None:
        """Return the machine code of a module, or None when there is none yet.

        Args:
            wasm: The module.
            fingerprint: Of the engine that made the code, and will run it.

        Raises:
            ProviderError: `provider.wasm-cache`: what is there was altered, or others may use it.
        """
        key = self._key()
        name = _name(wasm, fingerprint, key)
        with self._opened() as directory:
            try:
                content = self._content(directory, self.directory / name, CODE_BYTES_MAX + SEAL_BYTES)
                os.utime(name, dir_fd=directory, follow_symlinks=False)  # used now, which decides what goes first
            except FileNotFoundError:
                return None
            except OSError as error:
                raise self._unusable(self.directory / name, error.strerror) from error
        seal, code = content[:SEAL_BYTES], content[SEAL_BYTES:]
        if not hmac.compare_digest(seal, _seal(key, name, code)):
            raise self._altered(self.directory / name)
        return code

    def put(self, wasm: bytes, fingerprint: str, code: bytes) -> None:
        """Keep machine code, when it is not too large to be kept.

        Raises:
            ProviderError: `provider.wasm-cache`: it cannot be written, or others may use what is there.
        """
        if len(code) > min(CODE_BYTES_MAX, self._total_bytes_max):
            return
        key = self._key()
        name = _name(wasm, fingerprint, key)
        with self._opened() as directory:
            try:
                self._write(directory, name, _seal(key, name, code) + code)
                self._make_room(directory)
            except OSError as error:
                raise self._unusable(self.directory / name, error.strerror) from error

    def _write(self, directory: int, name: str, content: bytes) -> None:
        temporary = f"{self._clock.random_bytes(16).hex()}.tmp"
        descriptor = os.open(temporary, _CREATE, 0o600, dir_fd=directory)
        try:
            with open(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            os.unlink(temporary, dir_fd=directory)
            raise

    def _make_room(self, directory: int) -> None:
        """Remove what was used longest ago, incomplete files of processes that died among it."""
        found = []
        with os.scandir(directory) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # another process makes room, too
                    facts = entry.stat(follow_symlinks=False)
                    found.append((facts.st_mtime_ns, facts.st_size, entry.name))
        total = sum(size for _, size, _ in found)
        for _, size, name in sorted(found):
            if total <= self._total_bytes_max:
                return
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=directory)
            total -= size

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        """Open the directory, making it when it is missing."""
        yield from self._own_directory(self.directory)

    def _own_directory(self, path: Path) -> Iterator[int]:
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, _READ | os.O_DIRECTORY)
        except OSError as error:
            raise self._unusable(path, error.strerror) from error
        try:
            self._require_own(descriptor, path, stat.S_ISDIR)
            yield descriptor
        finally:
            os.close(descriptor)

    def _key(self) -> bytes:
        """Return the key, making it when there is none."""
        own = contextlib.contextmanager(self._own_directory)
        with own(self.key_path.parent) as directory:
            try:
                return self._read_key(directory)
            except FileNotFoundError:
                self._make_key(directory)
                return self._read_key(directory)

    def _read_key(self, directory: int) -> bytes:
        try:
            key = self._content(directory, self.key_path, KEY_BYTES)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._unusable(self.key_path, error.strerror) from error
        if len(key) != KEY_BYTES:
            raise self._unusable(self.key_path, f"it has not {KEY_BYTES} bytes")
        return key

    def _make_key(self, directory: int) -> None:
        """Put a key in place complete or not at all; of several processes the first one wins."""
        temporary = f"{self._clock.random_bytes(16).hex()}.tmp"
        try:
            with open(os.open(temporary, _CREATE, 0o600, dir_fd=directory), "wb") as file:
                file.write(self._clock.random_bytes(KEY_BYTES))
            with contextlib.suppress(FileExistsError):
                os.link(temporary, self.key_path.name, src_dir_fd=directory, dst_dir_fd=directory)
            os.unlink(temporary, dir_fd=directory)
        except OSError as error:
            raise self._unusable(self.key_path, error.strerror) from error

    def _content(self, directory: int, path: Path, bytes_max: int) -> bytes:
        """Return what an own file in an open directory holds, one byte more than `bytes_max` of it when it has more."""
        descriptor = os.open(path.name, _READ, dir_fd=directory)
        try:
            self._require_own(descriptor, path, stat.S_ISREG)
            with open(descriptor, "rb", closefd=False) as file:
                return file.read(bytes_max + 1)
        finally:
            os.close(descriptor)

    def _require_own(self, descriptor: int, path: Path, is_kind: Callable[[int], bool]) -> None:
        facts = os.fstat(descriptor)
        if facts.st_uid != os.geteuid():
            raise self._unusable(path, f"it belongs to user {facts.st_uid}")
        if facts.st_mode & _OTHERS:
            raise self._unusable(path, f"others may use it (mode {stat.S_IMODE(facts.st_mode):04o})")
        if not is_kind(facts.st_mode):
            raise self._unusable(path, "it is neither a file nor a directory, or the other of them")

    def _altered(self, path: Path) -> ProviderError:
        return ProviderError(
            f'the compiled module "{quoted(str(path), 300)}" was altered since Cloister wrote it; it was not loaded',
            code="provider.wasm-cache",
            hint=f"find out who could write there, then remove it: rm {quoted(str(path), 300)}",
        )

    def _unusable(self, path: Path, reason: str | None) -> ProviderError:
        return ProviderError(
            f'the cache of compiled modules cannot be used: "{quoted(str(path), 300)}": {reason}',
            code="provider.wasm-cache",
            hint=f"make it yours alone (chmod -R go= {quoted(str(self.directory.parent), 300)}), or choose another "
            "home with --home or CLOISTER_HOME",
        )


def _name(wasm: bytes, fingerprint: str, key: bytes) -> str:
    """Return the name of a file: another one for another module, engine or key."""
    facts = f"{hashlib.sha256(wasm).hexdigest()}\n{fingerprint}\n{hashlib.sha256(_DOMAIN + key).hexdigest()}\n"
    return hashlib.sha256(facts.encode("ascii")).hexdigest() + _SUFFIX


def _seal(key: bytes, name: str, code: bytes) -> bytes:
    seal = hmac.new(key, _DOMAIN + name.encode("ascii") + b"\n", "sha256")
    seal.update(code)
    return seal.digest()
