"""Threat: code in a machine that wants out of it, or to know or keep more than it was given."""

import json
import os
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.security.machines import Machines

from cloister.errors import CloisterError, GuestError
from cloister.isolation.microvm import selftest
from cloister.isolation.provider import PlanProgram
from cloister.limits import ResourceLimits


@pytest.fixture(scope="module")
def machines(machine_home):
    made = Machines(machine_home)
    yield made
    made.provider.close()


def said(machines: Machines, source: str, *words: str, **facts: object) -> object:
    """Run code that prints JSON, and return it."""
    result = machines.code(source, *words, **facts)
    assert result.exit_status == 0, result.stderr
    return json.loads(result.stdout)


def all_tried(machines: Machines, *acts: str, **facts: object) -> dict[str, str]:
    """Attempt things in one machine; return for each `done`, or the name of the error."""
    source = (
        "import ctypes, errno, json, os, socket, sys\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "def called(name, *words):\n"
        "    if getattr(libc, name)(*words) == -1: raise OSError(ctypes.get_errno(), name)\n"
        "said = {}\n"
        "for act in sys.argv[1:]:\n"
        "    try:\n        exec(act)\n        said[act] = 'done'\n"
        "    except OSError as error:\n        said[act] = errno.errorcode[error.errno]\n"
        "print(json.dumps(said))"
    )
    found = said(machines, source, *acts, **facts)
    assert isinstance(found, dict)
    return found


def tried(machines: Machines, act: str, **facts: object) -> str:
    """Attempt one thing in a machine."""
    return all_tried(machines, act, **facts)[act]


def test_the_self_test_proves_every_wall(machines) -> None:
    report = machines.provider.probe()
    assert report.available, report.reason
    assert all(each.holds for each in report.evidence)
    counts = Counter(each.place for each in report.evidence)
    assert counts["guest"] == len(selftest.TABLE)
    assert counts["machine"] > 20


def test_there_is_no_network(machines) -> None:
    four = "s = socket.socket(); s.settimeout(2); s.connect(('192.0.2.1', 80))"
    six = "socket.socket(socket.AF_INET6).connect(('2001:db8::1', 80))"
    kinds = [
        f"socket.socket(socket.{family}, socket.{kind})"
        for family in ("AF_VSOCK", "AF_PACKET") for kind in ("SOCK_RAW", "SOCK_STREAM", "SOCK_DGRAM")
    ]  # fmt: skip
    twin = "a, b = socket.socketpair(); a.send(b'x'); b.recv(1)"
    found = all_tried(machines, four, six, *kinds, twin)
    assert found[four] == "ENETUNREACH"
    assert found[six] in ("ENETUNREACH", "EADDRNOTAVAIL")
    assert "done" not in {found[each] for each in kinds}
    assert found[twin] == "done"
    interfaces = said(machines, "import json\nprint(json.dumps(open('/proc/net/dev').read().splitlines()[2:]))")
    assert [line.split(":")[0].strip() for line in interfaces] in ([], ["lo"])  # type: ignore[attr-defined]


FORBIDDEN = (
        "os.setuid(0)",
        "os.setresuid(0, 0, 0)",
        "os.setgroups([0])",
        "os.chroot('/tmp')",
        "called('mount', b'none', b'/tmp', b'tmpfs', 0, None)",
        "called('umount2', b'/proc', 2)",
        "called('unshare', 0x10000000)",
        "called('unshare', 0x00020000)",
        "called('ptrace', 16, 1, 0, 0)",
        "called('syscall', 313, -1, b'', 0)",
        "called('syscall', 175, b'', 0, b'')",
        "called('syscall', 246, 0, 0, 0, 0)",
        "called('syscall', 321, 0, 0, 0)",
        "called('syscall', 425, 8, 0)",
        "called('syscall', 304, -100, b'', 0)",
        "called('reboot', 0x1234567)",
        "called('iopl', 3)",
        "os.kill(1, 9)",
        "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))",
        "os.mknod('/tmp/m', 0o060600, os.makedev(254, 0))",
        "os.open('/proc/1/mem', os.O_RDWR)",
        "os.open('/proc/sysrq-trigger', os.O_WRONLY)",
        "os.open('/proc/sys/kernel/core_pattern', os.O_WRONLY)",
        "os.open('/proc/kcore', os.O_RDONLY)",
        "os.open('/dev/mem', os.O_RDWR)",
        "os.open('/dev/vport0p1', os.O_RDWR)",
        "os.open('/dev/hvc0', os.O_RDWR)",
        "os.open('/dev/ttyS0', os.O_RDWR)",
        "os.open('/dev/console', os.O_RDWR)",
        "os.open('/cloister', os.O_RDONLY)",
        "os.open('/modules', os.O_RDONLY)",
        "os.open('/run/granted', os.O_RDONLY)",
        "os.open('/sys/fs/cgroup/cgroup.procs', os.O_WRONLY)",
        "os.open('/mark', os.O_WRONLY | os.O_CREAT)",
        "os.open('/usr/mark', os.O_WRONLY | os.O_CREAT)",
        "os.open('/etc/passwd', os.O_WRONLY)",
        "os.open('/dev/mark', os.O_WRONLY | os.O_CREAT)",
        "os.open('/dev/null/../mark', os.O_WRONLY | os.O_CREAT)",
)  # fmt: skip


def test_a_program_is_nobody_in_its_machine(machines) -> None:
    assert [act for act, found in all_tried(machines, *FORBIDDEN).items() if found == "done"] == []


PERMITTED = (
        "os.setuid(os.getuid())",
        "os.kill(os.getpid(), 0)",
        "os.open('/tmp/m', os.O_WRONLY | os.O_CREAT)",
        "os.mkdir('/tmp/d')",
        "os.open('/proc/self/status', os.O_RDONLY)",
        "os.open('/dev/null', os.O_RDWR)",
        "os.open('/dev/urandom', os.O_RDONLY)",
        "os.open('/usr/bin/python3', os.O_RDONLY)",
        "os.fork() or os._exit(0)",
)  # fmt: skip


def test_a_program_may_do_what_programs_do(machines) -> None:
    assert [act for act, found in all_tried(machines, *PERMITTED).items() if found != "done"] == []


def test_a_program_sees_no_process_but_its_own(machines) -> None:
    pids = said(machines, "import json, os\nprint(json.dumps([n for n in os.listdir('/proc') if n.isdecimal()]))")
    assert len(pids) == 1  # type: ignore[arg-type]


def test_a_program_has_no_descriptor_but_its_streams(machines) -> None:
    names = said(machines, "import json, os\nprint(json.dumps(sorted(os.listdir('/proc/self/fd'))))")
    assert names == ["0", "1", "2", "3"]  # the last is the look itself


def test_a_machine_has_a_kernel_of_its_own(machines) -> None:
    inside = said(machines, "import json\nprint(json.dumps(open('/proc/sys/kernel/random/boot_id').read()))")
    assert inside != Path("/proc/sys/kernel/random/boot_id").read_text()
    assert tried(machines, f"os.kill({os.getpid()}, 0)") == "ESRCH"


DRAWN = (
    "import json, os, random, secrets, uuid, hashlib\n"
    "drawn = [os.urandom(16).hex(), secrets.token_hex(), str(uuid.uuid4()), random.random(), hash('x'), id(object())]\n"
    "print(json.dumps(drawn))"
)


def test_machines_of_one_snapshot_draw_different_numbers(machines) -> None:
    drawn = [said(machines, DRAWN) for _ in range(3)]
    for each in zip(*drawn, strict=True):
        assert len(set(each)) == 3, each


def test_a_machine_has_the_time_of_the_host(machines) -> None:
    before_s = time.time()
    inside_s = said(machines, "import json, time\nprint(json.dumps(time.time()))")
    assert before_s - 1 <= inside_s <= time.time() + 1  # type: ignore[operator]


def test_the_clock_of_a_machine_that_waited_is_right_when_it_is_used(machines) -> None:
    machines.execute(PlanProgram(source="1", name="p"))
    assert machines.provider.stock(ResourceLimits()).pool.wait_until_full(20)
    time.sleep(3)
    before_s = time.time()
    inside_s = said(machines, "import json, time\nprint(json.dumps(time.time()))")
    assert before_s - 1 <= inside_s <= time.time() + 1  # type: ignore[operator]


def test_a_machine_is_used_once(machines) -> None:
    source = (
        "import json, os\nseen = sorted(os.listdir('/tmp'))\n"
        "open('/tmp/mark', 'w').write('x'); open('/dev/shm/mark', 'w').write('x')\n"
        "if not os.fork():\n    os.setsid(); os.dup2(os.open('/dev/null', 2), 1); os.dup2(1, 2)\n"
        "    import time; time.sleep(1000)\n"
        "print(json.dumps([seen, os.listdir('/dev/shm'), len([n for n in os.listdir('/proc') if n.isdecimal()])]))"
    )
    for _ in range(3):
        seen, shared, count = said(machines, source)  # type: ignore[misc]
        assert (seen, shared) == ([".shm"], ["mark"])
        assert count == 2


def test_an_operation_reads_what_is_granted_and_no_other_file_of_the_host(machines, tmp_path) -> None:
    granted = tmp_path / "granted"
    granted.mkdir()
    for place in (granted, tmp_path):
        (place / "a").write_text(str(place))
    assert machines.operate("read_file", {"path": str(granted / "a")}, read=(granted,)) == str(granted)
    with pytest.raises(CloisterError):
        machines.operate("read_file", {"path": str(tmp_path / "a")}, read=(granted,))


def test_what_may_only_be_read_cannot_be_written(machines, tmp_path) -> None:
    (tmp_path / "a").write_text("A")
    path, read = tmp_path / "a", f"os.open('{tmp_path}/a', os.O_RDONLY)"
    acts = (f"os.open('{path}', os.O_WRONLY)", f"os.mkdir('{tmp_path}/d')", f"os.unlink('{path}')",
            f"os.chmod('{path}', 0o777)", f"os.rename('{path}', '{tmp_path}/b')", f"os.utime('{path}')")  # fmt: skip
    found = all_tried(machines, *acts, read, read=(tmp_path,))
    assert found.pop(read) == "done"
    assert set(found.values()) <= {"EROFS", "EACCES", "EPERM"}, found
    assert [each.name for each in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "A"


def test_what_may_be_written_comes_back_and_nothing_else(machines, tmp_path) -> None:
    inside, beside = tmp_path / "inside", tmp_path / "beside"
    inside.mkdir()
    beside.write_text("beside")
    acts = (f"open('{inside}/new', 'w').write('n'); open('/tmp/private', 'w').write('p')",
            f"open('{beside}', 'w')", f"os.link('{inside}/new', '{tmp_path}/out')")  # fmt: skip
    first, *others = all_tried(machines, *acts, write=(inside,)).values()
    assert (first, "done" in others) == ("done", False)
    assert (inside / "new").read_text() == "n"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["beside", "inside"]
    assert beside.read_text() == "beside"
    assert not Path("/tmp/private").exists()


def test_what_is_read_only_below_what_may_be_written_stays_so(machines, tmp_path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "s").write_text("s")
    acts = (f"open('{secret}/s', 'w')", f"open('{tmp_path}/t', 'w').write('t')")
    refused, done = all_tried(machines, *acts, write=(tmp_path,), read=(secret,)).values()
    assert (refused == "done", done) == (False, "done")
    assert ((secret / "s").read_text(), (tmp_path / "t").read_text()) == ("s", "t")


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside"])
def test_a_link_that_leads_out_of_a_grant_does_not_come_back(machines, tmp_path, target) -> None:
    act = f"os.symlink('{target}', '{tmp_path}/evil'); open('{tmp_path}/other', 'w').write('x')"
    with pytest.raises(GuestError) as caught:
        tried(machines, act, write=(tmp_path,))
    assert caught.value.code == "guest.copy"
    assert list(tmp_path.iterdir()) == []


def test_set_id_bits_do_not_come_back(machines, tmp_path) -> None:
    (tmp_path / "tool").write_text("#!")
    (tmp_path / "tool").chmod(0o4755)
    assert tried(machines, f"open('{tmp_path}/tool', 'w').write('mine')", write=(tmp_path,)) == "done"
    assert ((tmp_path / "tool").read_text(), (tmp_path / "tool").stat().st_mode & 0o7777) == ("mine", 0o755)


def test_a_link_in_a_grant_is_not_followed_on_the_host(machines, tmp_path) -> None:
    granted, outside = tmp_path / "granted", tmp_path / "outside"
    granted.mkdir()
    outside.mkdir()
    (outside / "s").write_text("secret")
    (granted / "way").symlink_to(outside)
    read = f"open('{granted}/way/s')"
    made = f"os.unlink('{granted}/way'); os.mkdir('{granted}/way'); open('{granted}/way/s', 'w').write('x')"
    assert all_tried(machines, read, made, write=(granted,)) == {read: "ENOENT", made: "done"}
    assert (outside / "s").read_text() == "secret"
    assert (granted / "way" / "s").read_text() == "x"
