"""Virtual machines through the public Runtime and the command: runs, sessions, forks, snapshots, attestation."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cloister.authority.context import RuntimeContext
from cloister.errors import DigestMismatch, GuestError, InputError, LimitExceeded
from cloister.isolation.monitoring import MachineState
from cloister.limits import ResourceLimits
from cloister.plan.session import Session
from cloister.runtime import Runtime

PYTHON = "/usr/bin/python3"
STORE_BYTES = 4 * 1024 * 1024
EXEC = RuntimeContext.controlled(capabilities=["cloister.exec"])
Command = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def runtime(machine_home: Path) -> Iterator[Runtime]:
    with Runtime.open(machine_home) as opened:
        yield opened


@pytest.fixture
def command(machine_home: Path) -> Command:
    def run(*words: str, status: int = 0) -> dict[str, Any]:
        cloister = Path(sys.executable).with_name("cloister")
        environment = os.environ | {"CLOISTER_HOME": str(machine_home)}
        end = words.index("--") if "--" in words else len(words)
        done = subprocess.run(
            [cloister, *words[:end], "--json", *words[end:]],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        data: dict[str, Any] = json.loads(done.stdout)
        return data

    return run


def said(session: Session, code: str) -> bytes:
    return session.execute([PYTHON, "-c", code]).stdout


def test_a_plan_and_its_calls_run_in_machines(runtime: Runtime, tmp_path: Path) -> None:
    place = tmp_path.resolve()
    (place / "in.txt").write_text("text")
    context = RuntimeContext.controlled(
        capabilities=["ccos.io.read-file", "ccos.io.write-file", "ccos.sandbox.python"], write=[str(place)]
    )
    plan = f"""
    (let [text (call :ccos.io.read-file "{place}/in.txt")
          made (call :ccos.sandbox.python "import json, sys; print(json.load(sys.stdin) * 2, end='')" text)]
      (call :ccos.io.write-file "{place}/out.txt" made)
      made)"""
    result = runtime.run(plan, context=context, provider="microvm")
    assert (result.value, result.provider) == ("texttext", "microvm")
    assert (place / "out.txt").read_text() == "texttext"
    assert result.attestation is not None


def test_what_was_measured_is_recorded_before_anything_is_admitted(runtime: Runtime) -> None:
    result = runtime.run("1", context=RuntimeContext.pure(), provider="microvm")
    types = [record.event.event_type.value for record in runtime.records(result.run_id)]
    assert types.index("attestation.measured") < types.index("run.completed")
    assert types[:2] == ["run.started", "attestation.measured"]


def test_something_else_than_expected_is_refused(runtime: Runtime) -> None:
    kernel = runtime.run("1", context=RuntimeContext.pure(), provider="microvm").attestation.kernel_sha256
    expected = {"kernel": f"sha256:{kernel}"}
    assert runtime.run("2", context=RuntimeContext.pure(), provider="microvm", expected=expected).value == 2
    with pytest.raises(DigestMismatch):
        runtime.run("3", context=RuntimeContext.pure(), provider="microvm", expected={"kernel": f"sha256:{'0' * 64}"})


LARGE = bytes(range(256)) * 4_000
"""More than pipes, sockets and windows of the way hold at once."""
DIGEST = "import hashlib, sys; print(hashlib.sha256({}).hexdigest())"


def test_what_is_larger_than_anything_on_the_way_comes_in_and_back(runtime: Runtime, tmp_path: Path) -> None:
    place = tmp_path.resolve()
    (place / "large").write_bytes(LARGE)
    digest = hashlib.sha256(LARGE).hexdigest().encode() + b"\n"
    context = RuntimeContext.controlled(capabilities=["cloister.exec"], write=[str(place)])
    read = DIGEST.format(f"open('{place}/large', 'rb').read()")
    assert runtime.execute([PYTHON, "-c", read], context=context, provider="microvm").stdout == digest
    stdin = DIGEST.format("sys.stdin.buffer.read()")
    assert runtime.execute([PYTHON, "-c", stdin], stdin=LARGE, context=EXEC, provider="microvm").stdout == digest
    copy = f"open('{place}/copy', 'wb').write(open('{place}/large', 'rb').read() + b'!')"
    with runtime.session(context=context, provider="microvm") as session:
        session.upload("/tmp/up", LARGE)
        assert said(session, DIGEST.format("open('/tmp/up', 'rb').read()")) == digest
        assert session.read_file("/tmp/up") == LARGE
        said(session, copy)
    assert (place / "copy").read_bytes() == LARGE + b"!"


def test_a_session_keeps_its_machine(runtime: Runtime) -> None:
    with runtime.session(context=EXEC, provider="microvm") as session:
        said(session, "open('/tmp/kept', 'w').write('kept')")
        assert said(session, "print(open('/tmp/kept').read())") == b"kept\n"
        session.upload("/tmp/up", b"up")
        assert said(session, "print(open('/tmp/up').read())") == b"up\n"
        assert session.read_file("/tmp/kept") == b"kept"
        with pytest.raises(LimitExceeded) as late:
            session.execute([PYTHON, "-c", "import time; time.sleep(60)"], timeout_ms=700)
        assert late.value.limit == "wall_ms"
        assert session.state == "open"
    assert session.state == "closed"


def test_an_execution_over_its_processor_time_ends_and_its_session_goes_on(runtime: Runtime) -> None:
    limits = ResourceLimits(cpu_ms=3_000)
    context = RuntimeContext.controlled(capabilities=["cloister.exec"], limits=limits)
    with runtime.session(context=context, provider="microvm") as session:
        for _ in range(2):
            with pytest.raises(LimitExceeded) as over:
                said(session, "while True: pass")
            assert over.value.limit == "cpu_ms"
            assert said(session, "print('goes on')") == b"goes on\n"


def test_a_session_with_a_terminal(runtime: Runtime) -> None:
    from cloister.isolation.session_provider import WindowSize  # noqa: PLC0415

    class Peer:
        def __init__(self) -> None:
            self.shown = b""
            self._never, self._keep = os.pipe()

        def fileno(self) -> int:
            return self._never

        def receive(self) -> bytes:
            raise BlockingIOError

        def send(self, data: bytes) -> None:
            self.shown += data

    peer = Peer()
    with runtime.session(context=EXEC, provider="microvm", terminals=True) as session:
        code = "import os; print(os.isatty(0), os.get_terminal_size(), os.environ['TERM'])"
        session.interact([PYTHON, "-c", code], peer, size=WindowSize(rows=33, columns=77))
    assert b"True os.terminal_size(columns=77, lines=33) xterm" in peer.shown


def test_files_of_a_session_are_written_back_after_each_execution(runtime: Runtime, tmp_path: Path) -> None:
    place = tmp_path.resolve()
    (place / "file").write_text("before")
    granted = RuntimeContext.controlled(capabilities=["cloister.exec"], write=[str(place)])
    with runtime.session(context=granted, provider="microvm") as session:
        said(session, f"open('{place}/file', 'w').write('first')")
        assert (place / "file").read_text() == "first"
        said(session, f"open('{place}/file', 'w').write('second')")
        assert (place / "file").read_text() == "second"
        (place / "file").write_text("changed here")
        with pytest.raises(GuestError, match="changed on the host"):
            said(session, f"open('{place}/file', 'w').write('third')")
        assert (place / "file").read_text() == "changed here"


def test_what_is_edited_between_two_executions_of_a_session_is_not_lost(runtime: Runtime, tmp_path: Path) -> None:
    place = tmp_path.resolve()
    for name in ("a", "b"):
        (place / name).write_text("before")
    granted = RuntimeContext.controlled(capabilities=["cloister.exec"], write=[str(place)])
    with runtime.session(context=granted, provider="microvm") as session:
        said(session, f"open('{place}/a', 'w').write('by the first')")
        (place / "b").write_text("edited here")
        (place / "c").write_text("made here")
        seen = said(session, f"open('{place}/a', 'w').write('by the second'); print(open('{place}/b').read())")
        assert seen == b"before\n"  # a machine has copies, which do not follow
        said(session, "pass")
        found = {each.name: each.read_text() for each in place.iterdir()}
        assert found == {"a": "by the second", "b": "edited here", "c": "made here"}
        with pytest.raises(GuestError, match="changed on the host") as refused:
            said(session, f"open('{place}/b', 'w').write('by the third')")
        assert refused.value.code == "guest.copy"
        said(session, f"open('{place}/b', 'w').write('edited here')")  # what both have is no conflict any more
    assert {each.name: each.read_text() for each in place.iterdir()} == found


def test_what_a_failed_execution_of_a_session_wrote_comes_back_with_the_next(runtime: Runtime, tmp_path: Path) -> None:
    place = tmp_path.resolve()
    granted = RuntimeContext.controlled(capabilities=["cloister.exec"], write=[str(place)])
    with runtime.session(context=granted, provider="microvm") as session:
        code = f"open('{place}/late', 'w').write('l'); import time; time.sleep(60)"
        with pytest.raises(LimitExceeded):
            session.execute([PYTHON, "-c", code], timeout_ms=1500)
        assert list(place.iterdir()) == []
        assert session.execute([PYTHON, "-c", f"open('{place}/said', 'w'); raise SystemExit(3)"]).exit_status == 3
        assert sorted(each.name for each in place.iterdir()) == ["late", "said"]
        with pytest.raises(LimitExceeded):
            session.execute([PYTHON, "-c", code.replace("late", "lost")], timeout_ms=1500)
    assert sorted(each.name for each in place.iterdir()) == ["late", "said"]


def test_forks_go_on_where_their_session_is_and_apart(runtime: Runtime) -> None:
    with runtime.session(context=EXEC, provider="microvm") as session:
        said(session, "open('/tmp/state', 'w').write('shared')")
        forks = runtime.fork(session, 3)
        for number, fork in enumerate(forks):
            assert said(fork, "print(open('/tmp/state').read())") == b"shared\n"
            said(fork, f"open('/tmp/state', 'w').write('{number}')")
        assert [said(fork, "print(open('/tmp/state').read())") for fork in forks] == [b"0\n", b"1\n", b"2\n"]
        assert said(session, "print(open('/tmp/state').read())") == b"shared\n"
        drawn = {said(each, "import os; print(os.urandom(16).hex())") for each in (session, *forks)}
        assert len(drawn) == 4
        first = next(iter(runtime.records(forks[0].run_id)))
        assert first.event.body["forked_from"] == session.run_id
        with pytest.raises(InputError) as refused:
            runtime.fork(forks[0], 1)
        assert refused.value.code == "input.fork"
        for fork in forks:
            fork.close()


def test_a_session_that_may_write_or_of_another_provider_is_not_forked(runtime: Runtime, tmp_path: Path) -> None:
    granted = RuntimeContext.controlled(capabilities=["cloister.exec"], write=[str(tmp_path.resolve())])
    with runtime.session(context=granted, provider="microvm") as session, pytest.raises(InputError) as refused:
        runtime.fork(session, 1)
    assert refused.value.code == "input.fork"
    with runtime.session(context=EXEC) as session, pytest.raises(InputError) as refused:
        runtime.fork(session, 1)
    assert refused.value.code == "input.fork"


def test_snapshots_are_made_listed_used_and_removed(command: Command) -> None:
    made = command("snapshot", "create", "--machine", "memory-mib=512")["snapshot"]
    assert made["bound_to"]["memory_mib"] == 512
    assert made["id"] in {each["id"] for each in command("snapshot", "list")["snapshots"]}
    assert command("snapshot", "create", "--machine", "memory-mib=512")["snapshot"] == made
    command("snapshot", "rm", made["id"])
    assert made["id"] not in {each["id"] for each in command("snapshot", "list")["snapshots"]}
    assert command("snapshot", "rm", made["id"], status=2)["error"]["code"] == "config.snapshot"


def test_machines_without_snapshots_are_booted(command: Command, tmp_path: Path) -> None:
    plan = tmp_path / "plan.rtfs"
    plan.write_text("(+ 1 2)")
    words = ("run", str(plan), "--provider", "microvm", "--machine", "snapshots=no")
    assert command(*words)["value"] == 3
    shown = command("attest", "show", "last")
    assert '"snapshot_sha256": null' in json.dumps(shown)


def test_what_machines_are_doing_is_measured(machine_home: Path) -> None:
    with Runtime.open(machine_home) as runtime:
        assert runtime.monitoring() == ()
        runtime.run("1", context=RuntimeContext.pure(), provider="microvm")
        with runtime.session(context=EXEC, provider="microvm"):
            (seen,) = runtime.monitoring()
            assert (seen.provider, seen.vmm, seen.count(MachineState.SESSION)) == ("microvm", "qemu", 1)
            assert seen.restored_count + seen.booted_count >= 2
            held = next(each for each in seen.machines if each.state is MachineState.SESSION)
            status = Path(f"/proc/{held.pid}/status").read_text()
            assert "qemu" in status
            assert 0 < held.private_bytes <= held.memory_bytes + held.resident_bytes
            assert held.cpu_user_us > 0
            json.dumps(seen.to_dict())
        (left,) = runtime.monitoring()
        assert left.count(MachineState.SESSION) == 0


@pytest.fixture
def store(command: Command, tmp_path: Path) -> Path:
    directory = tmp_path / "store"
    directory.mkdir()
    (directory / "data").write_bytes(os.urandom(STORE_BYTES))
    made = command("image", "capabilities", str(directory), str(tmp_path / "store.img"))["drive"]
    assert made["bytes"] > STORE_BYTES
    return Path(made["path"])


def test_a_capability_store_is_read_within_its_rate(command: Command, store: Path) -> None:
    words = ("exec", "--provider", "microvm", "--machine", f"capabilities={store}")
    read = ("--", PYTHON, "-c", "print(len(open('/capabilities/data', 'rb').read()))")
    free = command(*words, *read)
    assert free["stdout"] == f"{STORE_BYTES}\n"
    assert free["usage"]["io_read_bytes"] >= STORE_BYTES
    bounded = command(*words, "--machine", f"drive-bytes-per-s={STORE_BYTES // 8}", *read)
    assert bounded["usage"]["wall_us"] > 5_000_000 > free["usage"]["wall_us"]


def test_no_more_is_read_from_drives_than_granted(command: Command, store: Path) -> None:
    words = ("exec", "--provider", "microvm", "--machine", f"capabilities={store}")
    read = ("--", PYTHON, "-c", "open('/capabilities/data', 'rb').read(); import time; time.sleep(5)")
    refused = command(*words, "--limit", f"io-bytes={STORE_BYTES // 2}", *read, status=4)
    assert refused["error"]["details"]["limit"] == "io_bytes"


def test_a_measured_boot_is_quoted_and_verified(command: Command) -> None:
    nonce = "ab" * 32
    quoted = command("attest", "quote", "--nonce", nonce)
    assert quoted["ok"] is True
    assert nonce in json.dumps(quoted)


def test_the_image_says_how_long_it_boots(command: Command) -> None:
    command("snapshot", "create")
    shown = command("image", "show", "base")
    assert 0 < shown["image"]["boot_ms"] < 120_000


def test_a_machine_with_more_memory_than_the_host_is_refused(command: Command) -> None:
    told = command("run", "examples/hello.rtfs", "--input", "who=Ada", "--provider", "microvm", "--machine",
                   "memory-mib=999999999", status=2)  # fmt: skip
    assert told["error"]["code"] == "config.machine"
    assert "has no room on this host" in told["error"]["message"]


def test_machines_cannot_be_chosen_where_there_are_none(command: Command) -> None:
    words = ("run", "examples/hello.rtfs", "--input", "who=Ada")
    told = command(*words, "--machine", "vcpus=1", status=2)
    assert (told["error"]["code"], told["error"]["hint"]) == (
        "config.machine", "add --provider microvm, or leave --machine out"
    )  # fmt: skip
    assert command(*words, "--machine", "vcpus=1", "--provider", "microvm")["value"]


def test_a_program_of_the_host_is_not_in_a_machine(command: Command) -> None:
    told = command("exec", "--provider", "microvm", "--", "nosuchprogram", status=5)
    assert "--machine image=tools" in told["error"]["hint"]
