"""A sandbox that does not get into its control group does not start, because its supervisor believes in that group."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.isolation.process.test_launcher import MADE

from cloister.errors import ProviderUnavailable
from cloister.isolation.process import namespaces, outcome

ENTER = """
class NotLetIn:
    def new(self):
        made = Group()
        made.entrances = (os.open(os.devnull, os.O_WRONLY), os.open(os.devnull, getattr(os, sys.argv[2])))
        return made

reports_of(*make(NotLetIn()))
"""


def last_report(mode: str) -> dict:
    command = [sys.executable, "-c", MADE + ENTER, str(Path(__file__).parents[5]), mode]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(ended.stdout)[-1]


def test_one_that_is_not_let_in_reports_it_and_runs_nothing() -> None:
    report = last_report("O_RDONLY")
    assert (report["failed"], report["step"], report["errno"]) == ("mechanism", "control groups", errno.EBADF)
    error = outcome.set_up_failure({"reported": report})
    assert (type(error), error.code) == (ProviderUnavailable, "provider.unavailable")
    assert "control groups" in error.message
    assert last_report("O_WRONLY")["status"] == 0


def test_a_clone_into_what_is_no_group_is_refused() -> None:
    descriptor = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    with pytest.raises(OSError, match="clone3") as caught:
        namespaces.clones()(descriptor)
    os.close(descriptor)
    assert caught.value.errno == errno.EBADF
    assert namespaces.is_of_group(caught.value)
    assert not namespaces.is_of_group(OSError(errno.ENOSPC, "no more namespaces"))
