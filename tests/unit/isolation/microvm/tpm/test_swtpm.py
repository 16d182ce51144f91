"""The process of a software TPM: its key is known before a machine starts, and nothing of it is left."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest
from tests.unit.isolation.microvm.tpm.tpms import Started, booted, powered_on

from cloister.errors import InputError, LaunchError, ProviderError, ProviderUnavailable, WireError
from cloister.isolation.microvm.tpm import wire
from cloister.isolation.microvm.tpm.client import Tpm, over_device, over_socket
from cloister.isolation.microvm.tpm.log import PCR_OF, PCRS, directory_sha256, replayed, tree_sha256
from cloister.isolation.microvm.tpm.swtpm import SoftwareTpm, find_program

DIGEST = bytes(range(32))


def test_the_key_made_before_is_the_one_the_machine_has() -> None:
    with SoftwareTpm.start(Started) as tpm, powered_on(tpm) as connection:
        inside = Tpm(over_socket(connection))
        inside.startup()
        assert inside.public_area() == tpm.key.public_key
        assert wire.public_point(tpm.key.public_key)
        stated = wire.statement(inside.quote(DIGEST, PCRS).attested)
        assert (stated.resets_count, stated.restarts_count) == (tpm.key.resets_count + 1, 0)


def test_two_have_different_keys() -> None:
    with SoftwareTpm.start(Started) as one, SoftwareTpm.start(Started) as other:
        assert one.key.public_key != other.key.public_key


def test_starting_one_that_was_started_changes_nothing() -> None:
    with SoftwareTpm.start(Started) as tpm, powered_on(tpm) as connection:
        inside = Tpm(over_socket(connection))
        inside.startup()
        inside.extend(PCRS[0], DIGEST)
        inside.startup()
        assert inside.read_pcrs(PCRS) == replayed([(PCRS[0], DIGEST)])


def test_a_refusal_has_its_code() -> None:
    with SoftwareTpm.start(Started) as tpm, powered_on(tpm) as connection:
        inside = Tpm(over_socket(connection))
        with pytest.raises(ProviderError) as caught:  # nobody has started it
            inside.read_pcrs(PCRS)
        assert (caught.value.code, caught.value.details) == ("provider.tpm", {"response_code": 0x100})
        inside.startup()
        assert set(inside.read_pcrs(PCRS).values()) == {bytes(32)}


def test_nothing_of_it_is_left() -> None:
    started: list[Started] = []

    def start(*arguments: object, **named: object) -> Started:
        started.append(Started(*arguments, **named))  # type: ignore[arg-type]
        return started[0]

    tpm = SoftwareTpm.start(start)
    directory = Path(started[0].directory)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o077 for path in directory.iterdir() if path.name != ".lock"} == {0}
    tpm.stop()
    tpm.stop()
    assert started[0].process.returncode is not None
    assert not directory.exists()


def test_one_that_does_not_start_is_an_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(LaunchError) as caught:
        SoftwareTpm.start(Started, program="/usr/bin/true")
    assert caught.value.code == "provider.tpm"
    assert list(tmp_path.iterdir()) == []


def test_a_starter_that_cannot_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def refuse(*_: object, **__: object) -> Started:
        raise ProviderUnavailable("no walls here")

    with pytest.raises(ProviderUnavailable, match="no walls here"):
        SoftwareTpm.start(refuse)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_program().endswith("/swtpm")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProviderUnavailable) as caught:
        find_program()
    assert (caught.value.code, caught.value.hint) == ("provider.tpm", "apt-get install swtpm")


def test_measurements_are_in_the_registers(tmp_path: Path) -> None:
    line, agent, rootfs, store = (tmp_path / name for name in ("cmdline", "agent", "rootfs", "store"))
    line.write_bytes(b"quiet panic=-1\n")
    (agent / "below").mkdir(parents=True)
    (agent / "below" / "module.py").write_text("pass\n")
    (agent / "link").symlink_to("/etc/passwd")
    rootfs.write_bytes(b"drive")
    store.write_bytes(b"other")
    drives = {"rootfs": str(rootfs), "capabilities": str(store)}
    with SoftwareTpm.start(Started) as tpm, booted(tpm) as boot:
        boot.measure_boot(drives, agent_root=str(agent), command_line=str(line))
        answer = boot.answer({"nonce": DIGEST.hex(), "policy_sha256": DIGEST.hex()})
        stated = wire.statement(bytes.fromhex(answer["attested"]))
    events = {event["part"]: bytes.fromhex(event["sha256"]) for event in answer["events"]}
    sha256 = hashlib.sha256
    assert events == {
        "command-line": sha256(b"quiet panic=-1").digest(),
        "agent": tree_sha256([("below/module.py", sha256(b"pass\n").digest())]),
        "rootfs": sha256(b"drive").digest(),
        "capabilities": sha256(b"other").digest(),
        "policy": DIGEST,
    }
    assert {event["part"]: event["pcr"] for event in answer["events"]} == dict(PCR_OF)
    assert (stated.nonce, stated.pcrs) == (DIGEST, PCRS)


def test_the_digest_of_a_tree_changes_with_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = directory_sha256(str(tmp_path))
    assert directory_sha256(f"{tmp_path}/") == first
    (tmp_path / "a").rename(tmp_path / "b")
    second = directory_sha256(str(tmp_path))
    (tmp_path / "b").write_text("2")
    assert len({first, second, directory_sha256(str(tmp_path))}) == 3


@pytest.mark.parametrize("order", [{}, {"nonce": "00" * 32}, {"nonce": "zz", "policy_sha256": "00" * 32}])
def test_a_misshapen_challenge_is_refused(order: dict[str, str]) -> None:
    with SoftwareTpm.start(Started) as tpm, booted(tpm) as boot:
        with pytest.raises(InputError) as caught:
            boot.answer(order)
        assert caught.value.code == "input.attestation"
        assert boot.answer({"nonce": "00" * 32, "policy_sha256": "00" * 32})["events"]


def test_a_policy_is_measured_once() -> None:
    with SoftwareTpm.start(Started) as tpm, booted(tpm) as boot:
        order = {"nonce": "00" * 32, "policy_sha256": "00" * 32}
        boot.answer(order)
        with pytest.raises(InputError) as caught:
            boot.answer(order)
        assert caught.value.code == "input.attestation"


@pytest.mark.parametrize(
    "said", [b"", b"\x80\x01", b"\x80\x01\x00\x00\x00\x05\x00\x00\x00\x00", b"\x80\x01\xff\xff\xff\xff\x00\x00\x00\x00"]
)
def test_an_answer_that_is_none_is_refused(said: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(said)
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(WireError) as caught:
            Tpm(over_socket(ours)).public_area()
    assert caught.value.code == "provider.tpm-wire"


def test_a_device_that_is_gone_is_an_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        with pytest.raises(ProviderError) as caught:
            Tpm(over_device(writing)).startup()
    finally:
        os.close(writing)
    assert caught.value.code == "provider.tpm"
