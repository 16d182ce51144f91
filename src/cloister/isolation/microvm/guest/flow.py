"""How many bytes one side of a stream may have on their way to the other: the arithmetic of credit, for all four ends.

Owns the count of what may still be sent, and of what came and is not credited yet. Executions and connections have such
a pair on the host (`porter`, `inward`) and in the machine (`streams`, `door`); who moves the bytes is their matter. The
other side is hostile to each of them: what it may not do is refused here, at every end alike. Part of the guest set:
standard library only.

At any moment the credit of the sender, what is on its way, what the receiver keeps and what it has taken without saying
so are `WINDOW_BYTES` together.
"""

from __future__ import annotations

from typing import Final

from cloister.errors import WireError
from cloister.isolation.microvm.guest.frames import WINDOW_BYTES

READ_BYTES: Final = 64 * 1024
"""Read from or written to a descriptor at once: what a pipe has room for."""
CREDIT_STEP_BYTES: Final = WINDOW_BYTES // 4
"""So much is taken before the other side hears of it: not a frame for each piece."""


class Allowance:
    """What this side may still send."""

    def __init__(self) -> None:
        self.left_bytes = WINDOW_BYTES

    def __repr__(self) -> str:
        return f"Allowance({self.left_bytes} bytes)"

    def spend(self, count: int) -> None:
        """Take note of what was sent."""
        self.left_bytes -= count

    def grow(self, count: int) -> None:
        """Take the credit that the other side gives.

        Raises:
            WireError: `provider.wire-order`: it cannot have taken as much as that.
        """
        if self.left_bytes + count > WINDOW_BYTES:
            raise WireError("the other side gives more credit than there is", code="provider.wire-order")
        self.left_bytes += count


class Intake:
    """What came from the other side: what is kept of it, and what was taken and is not credited yet."""

    def __init__(self) -> None:
        self._kept_bytes = 0
        self._owed_bytes = 0

    def __repr__(self) -> str:
        return f"Intake({self._kept_bytes} bytes kept, {self._owed_bytes} owed)"

    def come(self, count: int) -> None:
        """Take note of bytes that came, before they are kept.

        Raises:
            WireError: `provider.wire-order`: there was no credit for them.
        """
        if self._kept_bytes + self._owed_bytes + count > WINDOW_BYTES:
            raise WireError("more came on a stream than was asked for", code="provider.wire-order")
        self._kept_bytes += count

    def taken(self, count: int) -> int:
        """Take note of bytes that were passed on or dropped.

        Returns:
            The credit to give now; 0 while it is too little to speak of.
        """
        self._kept_bytes -= count
        self._owed_bytes += count
        if self._owed_bytes < CREDIT_STEP_BYTES:
            return 0
        due_bytes, self._owed_bytes = self._owed_bytes, 0
        return due_bytes
