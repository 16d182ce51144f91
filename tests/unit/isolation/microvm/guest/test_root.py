"""The root of programs in a machine: one that is not closed is never taken for one that is."""

from __future__ import annotations

import errno
import os

import pytest

from cloister.isolation.microvm.guest import kernel, root


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EEXIST, errno.EPERM])
def test_a_root_that_cannot_be_closed_is_never_taken_for_one_that_is(monkeypatch, number: int) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), root.ROOT)

    monkeypatch.setattr(kernel, "mount", refuse)
    with pytest.raises(OSError, match=root.ROOT) as caught:
        root.close()
    assert caught.value.errno == number


def test_a_root_is_closed_by_making_its_mount_read_only(monkeypatch) -> None:
    flags: list[int] = []
    monkeypatch.setattr(kernel, "mount", lambda *_, **facts: flags.append(facts["flags"]))
    root.close()
    assert flags[0] & kernel.READ_ONLY
    assert flags[0] & kernel.REMOUNT
