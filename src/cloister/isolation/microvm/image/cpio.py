"""Writing the archive that a kernel unpacks into its first file system.

Owns the format, and that equal trees give equal bytes: entries in the order of their names, inode numbers counted from
one, root as owner, no times.

Source: "initramfs buffer format" (Documentation/driver-api/early-userspace/buffer-format.rst of Linux 6.1), `newc`.
"""

from __future__ import annotations

import hashlib
import os
from typing import IO, Final

from cloister.isolation.microvm.image.tree import Directory, File, Tree

_MAGIC: Final = b"070701"
_TRAILER: Final = b"TRAILER!!!"
_ALIGNMENT: Final = 4
_DIRECTORY, _FILE, _LINK, _CHARACTER_DEVICE = 0o040000, 0o100000, 0o120000, 0o020000
CONSOLE: Final = (b"dev/console", 5, 1)
"""What the kernel opens as the standard streams of its first process, before anything is mounted.
Source: Documentation/admin-guide/devices.txt."""


class CpioWriter:
    """An archive that is being written.

    Attributes:
        bytes_count: What was written so far.
    """

    def __init__(self, output: IO[bytes]) -> None:
        self._output = output
        self._digest = hashlib.sha256()
        self._inode = 0
        self.bytes_count = 0

    def write_tree(self, tree: Tree) -> str:
        """Write all of a tree, with the console as its only device, and the end.

        Returns:
            SHA-256 of the archive.
        """
        for path, node in tree.walk():
            if isinstance(node, File):
                self._write_header(os.fsencode(path), _FILE | node.mode, node.size)
                for piece in tree.pieces(node):
                    self._write(piece)
                self._align()
            elif isinstance(node, Directory):
                self._write_header(os.fsencode(path), _DIRECTORY | node.mode, 0)
            else:
                target = os.fsencode(node.target)
                self._write_header(os.fsencode(path), _LINK | 0o777, len(target))
                self._write(target)
                self._align()
        name, major, minor = CONSOLE
        self._write_header(name, _CHARACTER_DEVICE | 0o600, 0, (major, minor))
        self._inode = -1
        self._write_header(_TRAILER, 0, 0)
        return self._digest.hexdigest()

    def _write_header(self, name: bytes, mode: int, size: int, device: tuple[int, int] = (0, 0)) -> None:
        self._inode += 1
        # inode, mode, uid, gid, links, mtime, size, device of the file, device that it is, length of the name, checksum
        fields = (self._inode, mode, 0, 0, 1, 0, size, 0, 0, *device, len(name) + 1, 0)
        self._write(_MAGIC + b"".join(b"%08X" % field for field in fields) + name + b"\0")
        self._align()

    def _align(self) -> None:
        self._write(b"\0" * (-self.bytes_count % _ALIGNMENT))

    def _write(self, data: bytes) -> None:
        self._output.write(data)
        self._digest.update(data)
        self.bytes_count += len(data)
