"""What the self-test attempts, as an ordinary user outside any sandbox: what is refused and what is done."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cloister.isolation.guest import attempts

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the attempts are Linux's system calls")

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


@dataclass
class Outside:
    """Listeners, and attempts to reach them."""

    tcp: tuple[str, int]
    udp: tuple[str, int]
    abstract: str

    def probe(self, **arguments: Any) -> dict[str, Any]:
        facts = {
            "read_path": "/proc/self/status",
            "tcp": self.tcp,
            "udp": self.udp,
            "abstract": self.abstract,
            "host_pid": 0,
            "granted": "",
            "disk_bytes": 0,
            "inodes_count": 0,
        }
        command = [sys.executable, "-I", "-c", SCRIPT, json.dumps(facts | arguments)]
        environment = {"PATH": "/usr/bin:/bin", "CLOISTER_NAME": "x"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        observed: dict[str, Any] = json.loads(done.stdout)
        return observed


@pytest.fixture
def outside() -> Iterator[Outside]:
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        udp.bind(("127.0.0.1", 0))
        name = f"cloister-test-{os.getpid()}"
        abstract.bind(f"\0{name}")
        abstract.listen()
        yield Outside(tcp.getsockname(), udp.getsockname(), name)


def test_what_is_possible_is_done_and_said(outside: Outside) -> None:
    observed = outside.probe()
    acts = ("read_outside", "tcp", "udp", "abstract", "bind", "signal_host", "list_root")
    assert {name: observed[name] for name in acts} == dict.fromkeys(acts, attempts.DONE)
    assert observed["hostname"] == os.uname().nodename
    assert {"PATH", "CLOISTER_NAME"} <= set(observed["environment"])
    assert os.getpid() in observed["visible_pids"]
    assert observed["up_s"] > 0


def test_what_is_refused_is_said_by_its_errno(outside: Outside, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = closed.getsockname()
    observed = outside.probe(
        read_path=str(tmp_path / "absent"), tcp=address, abstract="cloister-nobody", host_pid=2**22 + 1
    )
    assert observed["read_outside"] in ("ENOENT", "EACCES")
    assert observed["tcp"] == observed["abstract"] == "ECONNREFUSED"
    assert observed["signal_host"] == "ESRCH"
    assert observed["mount"] == "EPERM"
    assert observed["become_root"] in ("EPERM", "EINVAL")
    assert observed["write_root"] in ("EACCES", "EROFS")
    assert observed["open_memory"] == "EACCES"
    assert not list(Path("/").glob(".cloister-probe*"))


def test_what_there_is_nothing_to_try_on_is_said_to_be_nothing(outside: Outside) -> None:
    observed = outside.probe()
    acts = ("read_grant", "write_grant", "follow_link", "write_pipe", "fill", "litter", "death_signal")
    assert {name: observed[name] for name in acts} == dict.fromkeys(acts)


def test_a_grant_is_reached_for(outside: Outside, tmp_path: Path) -> None:
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o755)
    (tmp_path / "file").touch(0o444)
    os.mkfifo(tmp_path / "pipe", 0o444)
    (tmp_path / "link").symlink_to("/proc/self/status")
    observed = outside.probe(granted=str(tmp_path))
    assert (observed["read_grant"], observed["follow_link"]) == (attempts.DONE, attempts.DONE)
    if os.geteuid() == 0:
        assert (observed["write_grant"], observed["write_pipe"]) == ("EACCES", "EACCES")


def test_how_the_process_stands_is_said(outside: Outside) -> None:
    observed = outside.probe()
    assert observed["no_new_privs"] in (0, 1)
    assert observed["seccomp"] in (0, 1, 2)
    assert observed["user_id"] == (os.geteuid() or 65534)
    assert set(observed["namespaces"]) >= {"user", "mnt", "pid", "net"}
    assert {0, 1, 2} <= set(observed["descriptors"])
    assert len(observed["limits"]) == 16


def test_the_text_runs_by_itself() -> None:
    # As it does in the sandboxes of scripts, where no module of Cloister is
    source = Path(attempts.__file__).read_text(encoding="utf-8")
    assert "import cloister" not in source
    assert "from cloister" not in source
