"""The probe's observations, as an ordinary user outside any sandbox: what is refused and what is done."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the probe reads Linux's process status")

SCRIPT = """
import json, os, sys
from cloister.isolation.guest.operations import run_operation
from cloister.limits import ResourceLimits

if os.geteuid() == 0:  # the attempts are real, and here is no sandbox around them
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
arguments = json.loads(sys.argv[1])
arguments["host_pid"] = arguments["host_pid"] or os.getpid()
print(json.dumps(run_operation("probe", arguments, ResourceLimits())))
"""


def probe(read_path: str, port: int, host_pid: int | None) -> dict[str, Any]:
    arguments = json.dumps({"read_path": read_path, "connect": ["127.0.0.1", port], "host_pid": host_pid})
    command = [sys.executable, "-I", "-c", SCRIPT, arguments]
    environment = {"PATH": "/usr/bin:/bin", "CLOISTER_NAME": "x"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    observed: dict[str, Any] = json.loads(done.stdout)
    return observed


def test_what_is_possible_is_done_and_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        observed = probe("/proc/self/status", listening.getsockname()[1], None)
    acts = ("read_path", "connect", "kill_host")
    assert {name: observed[name] for name in acts} == dict.fromkeys(acts, "done")
    assert observed["hostname"] == os.uname().nodename
    assert {"PATH", "CLOISTER_NAME"} <= set(observed["environment"])
    assert observed["proc_sys"] == "present"
    assert os.getpid() in observed["visible_pids"]


def test_what_is_refused_is_said_by_its_errno(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    observed = probe(str(tmp_path / "absent"), port, 2**22 + 1)
    assert observed["read_path"] in ("ENOENT", "EACCES")
    assert observed["connect"] == "ECONNREFUSED"
    assert observed["kill_host"] == "ESRCH"
    assert observed["mount"] == "EPERM"
    assert observed["setuid_root"] == "EPERM"
    assert observed["write_root"] in ("EACCES", "EROFS")
    assert not Path("/.cloister-probe").exists()


def test_how_the_process_stands_is_said() -> None:
    observed = probe("/proc/self/status", 9, None)
    assert int(observed["cap_eff"], 16) == 0
    assert observed["no_new_privs"] in (0, 1)
    assert observed["seccomp"] in (0, 1, 2)
    assert observed["uid"] == (os.geteuid() or 65534)
