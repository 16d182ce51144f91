"""What a program in a machine finds of other processes: those it has started, and none of the machine's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cloister.authority.token import TokenIssuer
from cloister.clock import SystemClock
from cloister.isolation.microvm.execution import Work
from cloister.isolation.microvm.provider import MicroVMProvider
from cloister.isolation.provider import ExternalProgram
from cloister.limits import ResourceLimits

LOOK = """
import json, os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
def can_signal(pid):
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
def is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
print(json.dumps({
    "listed": sorted(int(each) for each in os.listdir("/proc") if each.isdigit()),
    "there": [each for each in range(1, 1000) if is_there(each)],
    "signalled": [each for each in range(1, 1000) if can_signal(each)],
    "own": [os.getpid(), child.pid],
    "host_name": os.uname().nodename,
    "mounts": [line.split()[1] for line in open("/proc/self/mounts")],
}))
child.communicate(b"end")
"""


@pytest.fixture(scope="module")
def seen(machine_home: Path) -> dict[str, Any]:
    provider = MicroVMProvider(TokenIssuer(bytes(32), SystemClock()).verifier(), machine_home)
    limits = ResourceLimits()
    stock = provider.stock(limits)
    ready = stock.take()
    program = ExternalProgram(argv=("/usr/bin/python3", "-c", LOOK))
    result = ready.link.execute(Work(workload=program, limits=limits))
    stock.retire(ready)
    provider.close()
    assert result.exit_status == 0, result.stderr
    return json.loads(result.stdout)


def test_it_finds_the_processes_it_has_started(seen: dict[str, Any]) -> None:
    assert seen["listed"] == seen["own"]
    assert seen["signalled"] == seen["own"]


def test_it_finds_no_other_but_the_one_that_leads_it(seen: dict[str, Any]) -> None:
    assert seen["there"] == [1, *seen["own"]]


def test_it_finds_no_mount_of_the_machine(seen: dict[str, Any]) -> None:
    assert seen["mounts"][0] == "/"
    assert not [each for each in seen["mounts"] if each.startswith(("/run", "/sys"))]


def test_its_host_has_the_name_that_all_have(seen: dict[str, Any]) -> None:
    assert seen["host_name"] == "cloister"
