"""How long an image took to boot, as whoever booted it has measured.

Owns the file beside the image that says so. It is a report for people: it is not signed, and nothing is decided by it.
"""

from __future__ import annotations

import json
import os
from typing import Final

from cloister.canonical import encode
from cloister.errors import InputError
from cloister.isolation.microvm.image.store import Image

FILE: Final = "boot.json"
_BYTES_MAX: Final = 4096
_BOOT_MS_MAX: Final = 24 * 60 * 60 * 1000


def record_boot(image: Image, boot_ms: int) -> None:
    """Write down how long an image took from the start of the VMM until its agent answered.

    Args:
        image: The image, open.
        boot_ms: Milliseconds, as measured.

    Raises:
        InputError: `input.boot`: no time that a boot can take.
        OSError: It cannot be written.
    """
    if not 0 < boot_ms <= _BOOT_MS_MAX:
        raise InputError(f"an image does not boot in {boot_ms} ms", code="input.boot")
    data = encode({"image_id": image.image_id, "boot_ms": boot_ms})
    temporary = f".{FILE}.{os.getpid()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600, dir_fd=image.descriptor)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
        file.write(data)
    os.replace(temporary, FILE, src_dir_fd=image.descriptor, dst_dir_fd=image.descriptor)


def measured_boot_ms(image: Image) -> int | None:
    """Return how long an image took to boot when that was measured last; None when it was not measured.

    A report of another image, or one that is none, counts as not measured.
    """
    try:
        descriptor = os.open(FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=image.descriptor)
    except OSError:
        return None
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
        text = file.read(_BYTES_MAX)
    try:
        data = json.loads(text)
    except ValueError:
        return None
    if not isinstance(data, dict) or data.get("image_id") != image.image_id:
        return None
    boot_ms = data.get("boot_ms")
    return boot_ms if type(boot_ms) is int and 0 < boot_ms <= _BOOT_MS_MAX else None
