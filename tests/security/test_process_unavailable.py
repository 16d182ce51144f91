"""Threat: a machine that lacks a mechanism. The provider says which and how to get it, and runs nothing without it."""

import shutil
import subprocess
import sys

import pytest

PROBE = """
from cloister.authority.token import TokenIssuer
from cloister.clock import SystemClock
from cloister.isolation.process.provider import ProcessProvider
provider = ProcessProvider(TokenIssuer(bytes(32), SystemClock()).verifier())
report = provider.probe()
provider.close()
print(report.available, report.level.name, report.reason, report.remedy, sep="|")
"""

pytestmark = pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare of util-linux")


def probe_after(preparation: str) -> list[str]:
    command = f'{preparation} exec "$0" -c "$1"'
    ended = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", command, sys.executable, PROBE], capture_output=True, text=True, check=True
    )
    return ended.stdout.strip().split("|")


def test_no_user_namespaces() -> None:
    available, level, reason, remedy = probe_after("echo 0 > /proc/sys/user/max_user_namespaces;")
    assert (available, level) == ("False", "NONE")
    assert "user.max_user_namespaces = 0" in reason
    assert remedy == "sudo sysctl -w user.max_user_namespaces=15000"


def test_a_masked_proc() -> None:
    available, level, reason, remedy = probe_after("mount -t tmpfs none /proc/sys/net;")
    assert (available, level) == ("False", "NONE")
    assert "/proc" in reason
    assert "systempaths=unconfined" in remedy


def test_the_same_namespace_with_both() -> None:
    assert probe_after("")[:2] == ["True", "PROCESS"]
