"""Writing a file tree as a read-only block device: erofs or ext4.

Owns the calls of the programs that make file systems, in a way that equal trees give equal bytes whoever makes them,
wherever and whenever: all files belong to root, all times are one, and identifiers come from the content. No root is
needed.

Source: mkfs.erofs(1) of erofs-utils 1.5; mke2fs(8) and debugfs(8) of e2fsprogs 1.47, `E2FSPROGS_FAKE_TIME` of
lib/ext2fs/initialize.c. `mke2fs -d` is not used: it takes owners, times of change and the order in
directories from the host.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

from cloister.errors import ConfigError, InputError, ProviderError, ProviderUnavailable, quoted
from cloister.isolation.microvm.image.tree import Directory, File, Link, Tree

BLOCK_BYTES: Final = 4096
_INODE_BYTES: Final = 256
_TIMEOUT_S: Final = 900
_TIME: Final = "1"
"""Seconds since 1970; the programs take 0 for `now`."""
_ADMINISTRATION: Final = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where the programs lie; an ordinary user's search path leaves it out."""
_FEATURES: Final = "^has_journal,^resize_inode,^metadata_csum_seed,^orphan_file"
_SPEAKABLE: Final = re.compile(r'[^"\x00-\x1f\x7f]+')


class DriveFormat(StrEnum):
    """A file system of a drive."""

    EROFS = "erofs"
    EXT4 = "ext4"


_PACKAGES: Final = {
    "mkfs.erofs": "erofs-utils", "mke2fs": "e2fsprogs", "debugfs": "e2fsprogs", "e2fsck": "e2fsprogs",
}  # fmt: skip
_PROGRAMS: Final = {DriveFormat.EROFS: ("mkfs.erofs",), DriveFormat.EXT4: ("mke2fs", "debugfs", "e2fsck")}


def parse_format(name: str) -> DriveFormat:
    """Return the file system of that name.

    Raises:
        ConfigError: `config.image`: there is none.
    """
    try:
        return DriveFormat(name)
    except ValueError:
        raise ConfigError(
            f"a drive cannot have the file system {quoted(name)}",
            code="config.image",
            hint="the formats are " + ", ".join(DriveFormat),
        ) from None


def require_programs(format_: DriveFormat) -> None:
    """Refuse early when a program that makes the file system is missing.

    Raises:
        ProviderUnavailable: `provider.image-tool`.
    """
    for name in _PROGRAMS[format_]:
        _program(name)


def write_drive(tree: Tree, path: Path, format_: DriveFormat) -> None:
    """Write a tree as a file system into a new file.

    Args:
        tree: What is to be in it.
        path: The file; its directory is used for temporary files too.
        format_: Which file system.

    Raises:
        ProviderUnavailable: `provider.image-tool`: the program that makes it is missing.
        ProviderError: `provider.image-build`: the program failed.
        InputError: `input.archive`: a name cannot be written into an ext4 file system.
    """
    require_programs(format_)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".drive-") as directory:
        if format_ is DriveFormat.EROFS:
            _write_erofs(tree, path, Path(directory))
        else:
            _write_ext4(tree, path, Path(directory))


def _write_erofs(tree: Tree, path: Path, directory: Path) -> None:
    top = directory / "tree"
    _lay_out(tree, top)
    identity = str(_identity(tree))
    _run(["mkfs.erofs", "--quiet", "-x-1", "-T0", f"-U{identity}", "--all-root", str(path), str(top)])


def _lay_out(tree: Tree, top: Path) -> None:
    """Write a tree into a new directory. Every directory in it was made here, so no link is ever followed."""
    top.mkdir(mode=0o700)
    modes: list[tuple[Path, int]] = [(top, 0o755)]
    first: dict[int, Path] = {}
    for name, node in tree.walk():
        place = top / name
        if isinstance(node, Directory):
            place.mkdir(mode=0o700)
            modes.append((place, node.mode))
        elif isinstance(node, Link):
            place.symlink_to(node.target)
        elif id(node) in first:
            place.hardlink_to(first[id(node)])
        else:
            first[id(node)] = place
            with place.open("xb") as file:
                for piece in tree.pieces(node):
                    file.write(piece)
                # Whoever builds must be able to read it, even when it is not root
                os.fchmod(file.fileno(), node.mode | 0o400)
    for place, mode in reversed(modes):
        place.chmod(mode | 0o700)


def _write_ext4(tree: Tree, path: Path, directory: Path) -> None:
    environment = {"E2FSPROGS_FAKE_TIME": _TIME, "SOURCE_DATE_EPOCH": _TIME}
    identity = str(_identity(tree))
    blocks, inodes = _room(tree)
    options = f"hash_seed={identity},root_owner=0:0,lazy_itable_init=0,nodiscard"
    _run([
        "mke2fs", "-q", "-F", "-t", "ext4", "-b", str(BLOCK_BYTES), "-I", str(_INODE_BYTES), "-N", str(inodes),
        "-m", "0", "-U", identity, "-E", options, "-O", _FEATURES, str(path), str(blocks),
    ], environment)  # fmt: skip
    commands = directory / "commands"
    commands.write_text("".join(f"{line}\n" for line in _commands(tree, directory)), encoding="utf-8")
    said = _run(["debugfs", "-w", "-f", str(commands), str(path)], environment)
    # It goes on after an error and ends with 0; its first line is its version
    problems = [line for line in said.splitlines() if line and not line.startswith("debugfs ")]
    if problems:
        raise ProviderError(f"debugfs failed: {quoted(problems[0], 300)}", code="provider.image-build")
    _run(["e2fsck", "-fn", str(path)], environment)


def _room(tree: Tree) -> tuple[int, int]:
    """Return blocks and inodes that surely suffice; a drive is never written to, so it needs no more."""
    entries, content = 0, 0
    for _, node in tree.walk():
        entries += 1
        size = node.size if isinstance(node, File) else BLOCK_BYTES
        content += -(-size // BLOCK_BYTES) + 1
    inodes = entries + 64
    tables = -(-inodes * _INODE_BYTES // BLOCK_BYTES)
    return (content + tables) * 21 // 20 + 1024, inodes


def _commands(tree: Tree, directory: Path) -> Iterator[str]:
    """Yield what debugfs is told; contents lie in numbered files, so that only names of the tree need quotes."""
    for number, (name, node) in enumerate(tree.walk()):
        place = _spoken(f"/{name}", name)
        if isinstance(node, Directory):
            yield f"mkdir {place}"
            mode = 0o040000 | node.mode
        elif isinstance(node, Link):
            yield f"symlink {place} {_spoken(node.target, name)}"
            mode = 0o120777
        else:
            content = directory / str(number)
            with content.open("xb") as file:
                for piece in tree.pieces(node):
                    file.write(piece)
            yield f'write "{content}" {place}'
            mode = 0o100000 | node.mode
        yield f"sif {place} mode 0{mode:o}"
        for field, value in (("uid", "0"), ("gid", "0"), *((f"{kind}time", _TIME) for kind in ("a", "c", "m", "cr"))):
            yield f"sif {place} {field} {value}"


def _spoken(text: str, name: str) -> str:
    if not _SPEAKABLE.fullmatch(text) or not text.isprintable():
        raise InputError(
            f"{quoted(name)} has a name or target that cannot be written into an ext4 drive",
            code="input.archive",
            hint="--rootfs-format erofs",
        )
    return f'"{text}"'


def _identity(tree: Tree) -> uuid.UUID:
    """Return an identifier that is the content's: a UUID of random form out of its digest."""
    digest = hashlib.sha256()
    for name, node in tree.walk():
        digest.update(repr((name, node if not isinstance(node, File) else (node.sha256, node.mode))).encode())
    return uuid.UUID(bytes=digest.digest()[:16], version=4)


def _program(name: str) -> str:
    path = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:{_ADMINISTRATION}")
    if path is None:
        raise ProviderUnavailable(
            f"there is no {name} on this machine, which makes the drive",
            code="provider.image-tool",
            hint=f"apt-get install {_PACKAGES[name]}",
        )
    return path


def _run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """Run a program that makes file systems, and return what it says on standard error."""
    try:
        done = subprocess.run(  # noqa: S603 - programs of the table above
            [_program(command[0]), *command[1:]],
            env={**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ProviderError(f"{command[0]} did not end within {_TIMEOUT_S} s", code="provider.image-build") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ProviderError(
            f"{command[0]} failed: {quoted(last, 300)}", code="provider.image-build", hint="is the disk full?"
        )
    return done.stderr
