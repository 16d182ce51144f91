"""The two ends of a pseudo-terminal inside a sandbox.

Owns opening both and making one the controlling terminal of a process. The instance it comes from is the sandbox's own
(`root.Root.add_terminals`). Standard library only; part of the guest set.

Source: pts(4), ioctl_tty(2); numbers from include/uapi/asm-generic/ioctls.h, the same on x86_64 and aarch64.
"""

from __future__ import annotations

import array
import fcntl
import os
import struct
import termios
from typing import Final

TIOCSPTLCK: Final = 0x40045431
TIOCGPTPEER: Final = 0x5441
MULTIPLEXER: Final = "/dev/pts/ptmx"


def open_pair(rows: int, columns: int, multiplexer: str = MULTIPLEXER) -> tuple[int, int]:
    """Return the master and the slave of a new terminal of that size, neither of them inherited nor controlling.

    The slave is opened through the master, so no name has to be trusted.
    """
    master = os.open(multiplexer, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(master, TIOCSPTLCK, array.array("i", [0]))
        set_size(master, rows, columns)
        return master, fcntl.ioctl(master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except BaseException:
        os.close(master)
        raise


def set_size(descriptor: int, rows: int, columns: int) -> None:
    """Set the window size; what runs in the foreground gets SIGWINCH when it differs. `struct winsize`."""
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def take_control(slave: int) -> None:
    """Make a terminal the controlling one of the calling process, which leads a session without one."""
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
