"""Snapshots on disk: found by what they are bound to, and refused when a byte of them is another."""

import os
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from cloister.audit.signer import Signer
from cloister.errors import ConfigError, DigestMismatch, LaunchError, SignatureInvalid
from cloister.isolation.microvm import memory
from cloister.isolation.microvm.snapshot import Binding, SnapshotStore
from cloister.isolation.microvm.vmm import MachineSpec
from cloister.limits import MIB

SPEC = MachineSpec(memory_mib=256)
BINDING = Binding(
    image_id="a" * 64,
    command_line_sha256="b" * 64,
    spec=SPEC,
    vmm={"vmm": "qemu", "version": "7.2"},
    drives={},
)
NOW = datetime(2026, 11, 29, tzinfo=UTC)


class SavedMachine:
    """A paused machine: what it has is written where it is asked to."""

    def __init__(self, failure: Exception | None = None) -> None:
        self._failure = failure

    def save(self, memory_fd: int, state_fd: int) -> None:
        os.ftruncate(memory_fd, SPEC.memory_bytes)
        os.pwrite(memory_fd, b"memory", 100 * MIB)
        if self._failure is not None:
            raise self._failure
        os.write(state_fd, b"state")


@pytest.fixture
def signer(tmp_path):
    return Signer.open(tmp_path / "keys" / "chain.key")


@pytest.fixture
def store(tmp_path):
    return SnapshotStore(tmp_path / "snapshots")


def test_what_was_saved_is_found_and_loaded(store, signer) -> None:
    assert store.find(BINDING, signer.public_key) is None
    saved = store.save(SavedMachine(), BINDING, signer, NOW)
    found = store.find(BINDING, signer.public_key)
    assert found == saved
    assert (found.snapshot_id, found.created_at) == (BINDING.snapshot_id, NOW)
    assert store.names() == (saved.snapshot_id,)
    with store.load(found) as loaded:
        assert os.pread(loaded.saved.memory_fd, 6, 100 * MIB) == b"memory"
        assert os.pread(loaded.saved.state_fd, 10, 0) == b"state"
        assert memory.is_sealed(loaded.saved.memory_fd)
        assert memory.is_sealed(loaded.saved.state_fd)
        assert loaded.saved.spec == SPEC


@pytest.mark.parametrize(
    "other",
    [
        {"image_id": "c" * 64},
        {"command_line_sha256": "c" * 64},
        {"spec": MachineSpec(memory_mib=512)},
        {"spec": MachineSpec(memory_mib=256, vcpus=2)},
        {"vmm": {"vmm": "qemu", "version": "8.0"}},
        {"drives": {"rootfs": "d" * 64}},
    ],
)
def test_a_snapshot_of_something_else_is_not_found(store, signer, other) -> None:
    store.save(SavedMachine(), BINDING, signer, NOW)
    assert store.find(replace(BINDING, **other), signer.public_key) is None
    assert store.find(BINDING, signer.public_key) is not None


@pytest.mark.parametrize("part", ["memory", "state"])
@pytest.mark.parametrize("damage", ["altered", "truncated", "longer", "missing", "link"])
def test_altered_bytes_are_refused_when_loaded(store, signer, tmp_path, part, damage) -> None:
    saved = store.save(SavedMachine(), BINDING, signer, NOW)
    store.load(saved).close()
    path = saved.directory / part
    match damage:
        case "altered":
            with path.open("r+b") as file:
                file.seek(100 * MIB if part == "memory" else 0)
                file.write(b"X")
        case "truncated":
            os.truncate(path, path.stat().st_size - 1)
        case "longer":
            os.truncate(path, path.stat().st_size + 1)
        case "missing":
            path.unlink()
        case "link":
            path.rename(tmp_path / "elsewhere")
            path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DigestMismatch) as caught:
        store.load(saved)
    assert caught.value.code == "attestation.digest"
    assert "cloister snapshot rm" in caught.value.hint


@pytest.mark.parametrize("name", ["snapshot.json", "snapshot.sig"])
def test_an_altered_description_is_refused(store, signer, name) -> None:
    saved = store.save(SavedMachine(), BINDING, signer, NOW)
    path = saved.directory / name
    data = bytearray(path.read_bytes())
    data[-10] ^= 1
    path.write_bytes(data)
    with pytest.raises(SignatureInvalid):
        store.find(BINDING, signer.public_key)
    path.unlink()
    with pytest.raises(DigestMismatch):
        store.find(BINDING, signer.public_key)


def test_another_key_is_refused(store, signer, tmp_path) -> None:
    store.save(SavedMachine(), BINDING, signer, NOW)
    other = Signer.open(tmp_path / "other" / "chain.key")
    with pytest.raises(SignatureInvalid):
        store.find(BINDING, other.public_key)


def test_one_snapshot_cannot_stand_in_for_another(store, signer) -> None:
    saved = store.save(SavedMachine(), BINDING, signer, NOW)
    wanted = replace(BINDING, image_id="c" * 64)
    saved.directory.rename(saved.directory.parent / wanted.snapshot_id)
    with pytest.raises(DigestMismatch, match="another snapshot"):
        store.find(wanted, signer.public_key)


def test_one_that_cannot_be_written_leaves_nothing(store, signer) -> None:
    full = OSError(28, "No space left on device")
    for failure in (full, LaunchError("it could not be saved", code="provider.snapshot")):
        with pytest.raises(LaunchError) as caught:
            store.save(SavedMachine(failure), BINDING, signer, NOW)
        assert caught.value.code == "provider.snapshot"
        assert list(store._directory.iterdir()) == []
    assert "No space left" in str(store_error(store, signer, full))


def store_error(store: SnapshotStore, signer: Signer, failure: Exception) -> LaunchError:
    with pytest.raises(LaunchError) as caught:
        store.save(SavedMachine(failure), BINDING, signer, NOW)
    return caught.value


def test_whoever_is_first_stays(store, signer) -> None:
    first = store.save(SavedMachine(), BINDING, signer, NOW)
    second = store.save(SavedMachine(), BINDING, signer, datetime(2027, 1, 1, tzinfo=UTC))
    assert second == first
    assert [each.name for each in store._directory.iterdir()] == [BINDING.snapshot_id]


def test_removing(store, signer) -> None:
    saved = store.save(SavedMachine(), BINDING, signer, NOW)
    (saved.directory / "memory").unlink()
    store.remove(saved.snapshot_id)
    assert store.names() == ()
    for name in (saved.snapshot_id, "..", "a/b", ""):
        with pytest.raises(ConfigError) as caught:
            store.remove(name)
        assert caught.value.code == "config.snapshot"


def test_snapshots_of_images_that_are_gone_are_removed(store, signer) -> None:
    kept = store.save(SavedMachine(), BINDING, signer, NOW)
    gone = store.save(SavedMachine(), replace(BINDING, image_id="c" * 64), signer, NOW)
    broken = store.save(SavedMachine(), replace(BINDING, image_id="d" * 64), signer, NOW)
    (broken.directory / "snapshot.sig").write_bytes(b"")
    store.prune({BINDING.image_id}, signer.public_key)
    assert set(store.names()) == {kept.snapshot_id, broken.snapshot_id}
    assert not gone.directory.exists()
