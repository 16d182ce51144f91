"""Standard input and output of a guest.

Owns the bound of what it prints, counted while it prints, and who sees it as it comes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cloister.errors import LimitExceeded
from cloister.limits import ResourceLimits

STDOUT: Final = "stdout"
STDERR: Final = "stderr"

Show = Callable[[str, bytes], None]
"""Called with the name of a stream and each piece of output, in the thread of the guest."""


class Output:
    """One stream that a guest writes to.

    Args:
        name: Of the stream.
        limits: How much there may be.
        show: Sees it as it comes; None for nobody.
    """

    def __init__(self, name: str, limits: ResourceLimits, show: Show | None) -> None:
        self.name = name
        self._bytes_max = limits.output_bytes
        self._show = show
        self._pieces: list[bytes] = []
        self.bytes_count = 0

    def write(self, data: bytes) -> int:
        """Take bytes.

        Returns:
            How many: all of them.

        Raises:
            LimitExceeded: `limit.output`.
        """
        self.bytes_count += len(data)
        if self.bytes_count > self._bytes_max:
            raise LimitExceeded(
                f"the program was ended: its {self.name} has more than {self._bytes_max} bytes",
                limit="output_bytes",
                allowed=self._bytes_max,
                used=self.bytes_count,
                unit="bytes",
                hint="print less, or raise the limit output_bytes",
            )
        if data:
            self._pieces.append(data)
            if self._show is not None:
                self._show(self.name, data)
        return len(data)

    @property
    def content(self) -> bytes:
        """All that was written."""
        return b"".join(self._pieces)


class Input:
    """What a guest finds on its standard input.

    Args:
        data: All of it.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def left_bytes(self) -> int:
        """How much was not read yet."""
        return len(self._data) - self._position

    def read(self, count: int) -> bytes:
        """Return the next bytes, none at the end."""
        piece = self._data[self._position : self._position + count]
        self._position += len(piece)
        return piece
