"""Waiting for descriptors, however large their numbers."""

from __future__ import annotations

import select


def readable(*descriptors: int, timeout_s: float) -> frozenset[int]:
    """Return those that can be read, or whose other end is gone, once there is one or the time is over."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return frozenset(descriptor for descriptor, _ in poll.poll(max(0, int(timeout_s * 1000 + 0.999))))
