"""An empty network namespace for one VMM.

Owns making it. A VMM without a network device needs no network, and one that was taken over must not find the host's.
"""

from __future__ import annotations

import ctypes
import os
import threading
from typing import Final

_CLONE_NEWNET: Final = 0x40000000
"""include/uapi/linux/sched.h"""


def fresh() -> int:
    """Return a descriptor of a new network namespace in which nothing is up; the caller closes it.

    Raises:
        OSError: The kernel or the rights of this process do not allow it.
    """
    made: list[int | OSError] = []

    def make() -> None:
        # unshare(2) moves the calling thread alone, and this one ends with its work; no other process is needed
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(_CLONE_NEWNET) == 0:
                made.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
            else:
                made.append(OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "unshare"))
        except OSError as error:
            made.append(error)

    thread = threading.Thread(target=make, name="network namespace")
    thread.start()
    thread.join()
    (result,) = made
    if isinstance(result, OSError):
        raise result
    return result
