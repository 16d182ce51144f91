"""How a function of WASI answers.

Owns the one place where refusals become numbers. What is no refusal goes on and ends the guest.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from cloister.isolation.wasm.store import GuestMemory
from cloister.isolation.wasm.wasi import abi


def answered(method: Callable[..., None], masks: tuple[int, ...], memory: GuestMemory, *arguments: int) -> int:
    """Do one function, and return its answer.

    Args:
        method: The function.
        masks: For each number, the bits that it has; numbers of a guest come with a sign, and WASI's have none.
        memory: The guest's.
        arguments: The numbers.

    Raises:
        BaseException: What the function raises, but for refusals of WASI's and errors of the kernel's.
    """
    try:
        method(memory, *(number & mask for number, mask in zip(arguments, masks, strict=True)))
    except abi.Refused as refused:
        return refused.number
    except OSError as error:
        return abi.TO_WASI.get(error.errno or errno.EIO, abi.TO_WASI[errno.EIO])
    return 0
