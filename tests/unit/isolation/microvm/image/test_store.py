"""Images in a store: signed, measured, replaced, removed; and everything that can be wrong with one."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cloister.audit.signer import PublicKey, Signer
from cloister.canonical import encode
from cloister.clock import SystemClock
from cloister.errors import (
    AttestationError,
    CloisterError,
    ConfigError,
    DigestMismatch,
    InputError,
    KeyUnavailable,
    ProviderError,
    ProviderUnavailable,
    SignatureInvalid,
)
from cloister.isolation.microvm.image.boot_report import measured_boot_ms, record_boot
from cloister.isolation.microvm.image.building import BuildOrder, home_signer
from cloister.isolation.microvm.image.drive import DriveFormat
from cloister.isolation.microvm.image.manifest import AgentPart, KernelPart, Manifest, PartFile, RootfsPart
from cloister.isolation.microvm.image.packages import Package
from cloister.isolation.microvm.image.store import ImageStore

CONTENTS = {"vmlinux": b"kernel" * 1000, "initramfs.cpio": b"base" * 1000, "rootfs.erofs": b"drive" * 1000}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def manifest(name: str = "base", contents: dict[str, bytes] = CONTENTS) -> Manifest:
    facts = {file: {"file": file, "sha256": digest(data), "bytes": len(data)} for file, data in contents.items()}
    return Manifest(
        name=name,
        architecture="x86_64",
        kernel=KernelPart(**facts["vmlinux"], release="6.1.0"),
        initramfs=PartFile(**facts["initramfs.cpio"]),
        rootfs=RootfsPart(**facts["rootfs.erofs"], format=DriveFormat.EROFS) if "rootfs.erofs" in facts else None,
        agent=AgentPart(sha256="a" * 64, files_count=3),
        command_line="quiet panic=-1",
        packages=(Package(name="libc6", version="2.36", architecture="amd64", sha256="b" * 64),),
        modules=("virtio", "virtio_blk"),
        python="3.11",
        compiler="3.11.2",
    )


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    home_signer(tmp_path / "home", SystemClock())
    return ImageStore(tmp_path / "home")


def put(store: ImageStore, made: Manifest | None = None, contents: dict[str, bytes] = CONTENTS) -> Path:
    made = made or manifest(contents=contents)
    with store.pending() as place:
        for name, data in contents.items():
            (place / name).write_bytes(data)
        (place / "manifest.json").write_bytes(made.to_bytes())
        (place / "manifest.sig").write_bytes(made.sign(home_signer(store.home, SystemClock())))
        for each in place.iterdir():
            each.chmod(0o600)
        return store.publish(place, made.name)


def names_in(store: ImageStore) -> set[str]:
    return {each.name for each in store.directory.iterdir()}


def test_an_image_is_measured_as_it_is_opened(store: ImageStore) -> None:
    put(store)
    with store.open("base") as image, image.load_parts() as parts:
        assert parts.measurements.kernel_sha256 == digest(CONTENTS["vmlinux"])
        assert parts.measurements.initramfs_sha256 == digest(CONTENTS["initramfs.cpio"])
        assert parts.measurements.rootfs_sha256 == digest(CONTENTS["rootfs.erofs"])
        assert parts.measurements.agent_sha256 == "a" * 64
        assert parts.measurements.command_line_sha256 == digest(b"quiet panic=-1")
        assert parts.measurements.image_id == digest((image.directory / "manifest.json").read_bytes()) == image.image_id
        assert os.pread(parts.kernel_fd, 10**6, 0) == CONTENTS["vmlinux"]
        assert os.pread(parts.initramfs_fd, 10**6, 0) == CONTENTS["initramfs.cpio"]
        assert parts.rootfs is not None
        assert os.pread(parts.rootfs.descriptor, 10**6, 0) == CONTENTS["rootfs.erofs"]
        for descriptor in (parts.kernel_fd, parts.initramfs_fd):
            with pytest.raises(PermissionError):
                os.write(descriptor, b"x")
            with pytest.raises(PermissionError):
                os.truncate(descriptor, 1)
            with pytest.raises(PermissionError):
                fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


def test_an_image_without_a_payload_drive(store: ImageStore) -> None:
    contents = {name: data for name, data in CONTENTS.items() if not name.startswith("rootfs")}
    put(store, contents=contents)
    with store.open() as image, image.load_parts() as parts:
        assert (parts.rootfs, parts.measurements.rootfs_sha256) == (None, None)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def alter(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def link(path: Path) -> None:
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


def expose(path: Path) -> None:
    path.chmod(0o666)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


PARTS = ("vmlinux", "initramfs.cpio", "rootfs.erofs")
DOCUMENTS = ("manifest.json", "manifest.sig")


@pytest.mark.parametrize(
    "damage", [Path.unlink, cut, alter, lengthen, link, expose, pipe], ids=lambda each: each.__name__
)
@pytest.mark.parametrize("file", [*PARTS, *DOCUMENTS])
def test_a_damaged_image_is_refused(store: ImageStore, file: str, damage: Callable[[Path], object]) -> None:
    path = put(store) / file
    with store.open() as image, image.load_parts():
        pass  # the twin
    damage(path)
    with pytest.raises(AttestationError) as caught, store.open() as image, image.load_parts():
        pass
    error = caught.value
    if damage in {Path.unlink, link, expose, pipe}:
        assert error.code == "attestation.image"
    elif file in PARTS:
        assert (type(error), error.code, error.details["file"]) == (DigestMismatch, "attestation.digest", file)
    else:
        assert error.code in {"attestation.signature", "attestation.manifest"}
    assert file in error.message or "manifest.json" in error.message
    assert error.exit_status == 7
    assert "cloister image build --kind vm" in str(error.hint)


def test_a_mismatch_names_both_digests(store: ImageStore) -> None:
    path = put(store) / "vmlinux"
    alter(path)
    with store.open() as image, pytest.raises(DigestMismatch) as caught:
        image.load_parts()
    assert caught.value.details == {
        "file": "vmlinux",
        "expected_sha256": digest(CONTENTS["vmlinux"]),
        "found_sha256": digest(path.read_bytes()),
    }


def test_nothing_stays_open_after_a_refusal(store: ImageStore) -> None:
    alter(put(store) / "rootfs.erofs")
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(DigestMismatch), store.open() as image:
        image.load_parts()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_another_key_is_refused(store: ImageStore, tmp_path: Path) -> None:
    put(store)
    other = Signer.open(tmp_path / "other.key").public_key
    with pytest.raises(SignatureInvalid) as caught:
        ImageStore(store.home, other).open()
    assert caught.value.code == "attestation.signature"
    own = PublicKey.load(store.home / "keys" / "chain.pub")
    ImageStore(store.home, own).open().close()  # the twin


def test_what_the_key_signed_for_another_purpose_is_no_manifest(store: ImageStore) -> None:
    path = put(store)
    bare = home_signer(store.home, SystemClock()).sign(manifest().to_bytes())
    (path / "manifest.sig").write_bytes(bare)
    with pytest.raises(SignatureInvalid):
        store.open()


def test_an_image_under_another_name_is_refused(store: ImageStore) -> None:
    put(store, manifest("one"))
    put(store, manifest("two"))
    (store.directory / "one").rename(store.directory / "away")
    (store.directory / "two").rename(store.directory / "one")
    with pytest.raises(AttestationError) as caught:
        store.open("one")
    assert caught.value.code == "attestation.manifest"


SIGNED = {
    "another format": {"format": "cloister-vm-image/2"},
    "another file": {"kernel": {"file": "../../etc/passwd", "sha256": "a" * 64, "bytes": 5, "release": "6"}},
    "no digest": {"agent": {"sha256": "A" * 64, "files_count": 1}},
    "a size that is none": {"initramfs": {"file": "initramfs.cpio", "sha256": "a" * 64, "bytes": -1}},
    "too large": {"initramfs": {"file": "initramfs.cpio", "sha256": "a" * 64, "bytes": 2**40}},
    "a boolean": {"initramfs": {"file": "initramfs.cpio", "sha256": "a" * 64, "bytes": True}},
    "something more": {"more": 1},
    "a control character": {"command_line": "quiet\x1b"},
    "another digest of the command line": {"command_line_sha256": "a" * 64},
    "no list": {"packages": 5},
}


@pytest.mark.parametrize("name", SIGNED)
def test_a_signed_document_that_is_no_manifest_is_refused(store: ImageStore, name: str) -> None:
    path = put(store)
    data = encode({**json.loads(manifest().to_bytes()), **SIGNED[name]})
    signature = home_signer(store.home, SystemClock()).sign(b"cloister-vm-image/1\0" + data)
    (path / "manifest.json").write_bytes(data)
    (path / "manifest.sig").write_bytes(signature)
    with pytest.raises(AttestationError) as caught:
        store.open()
    assert caught.value.code == "attestation.manifest"


def test_no_image_says_how_to_build_one(store: ImageStore) -> None:
    with pytest.raises(ProviderUnavailable) as caught:
        store.open()
    assert (caught.value.code, caught.value.hint) == ("provider.image", "cloister image build --kind vm")
    with pytest.raises(ProviderUnavailable) as caught:
        store.open("other")
    assert caught.value.hint == "cloister image build --kind vm --name other"
    with pytest.raises(ProviderUnavailable):
        store.remove("other")


@pytest.mark.parametrize("name", ["", "..", ".packages", "a/b", "A", "x" * 65, "-x"])
def test_a_name_that_is_none_is_refused(store: ImageStore, name: str) -> None:
    for act in (store.open, store.remove):
        with pytest.raises(ConfigError) as caught:
            act(name)
        assert caught.value.code == "config.image"


def test_a_store_that_is_open_to_others_is_refused(store: ImageStore) -> None:
    put(store)
    store.directory.chmod(0o770)
    for act in (store.open, store.remove):
        with pytest.raises(ProviderError) as caught:
            act("base")
        assert caught.value.code == "provider.image-store"
    store.directory.chmod(0o700)
    store.open().close()  # the twin


def test_a_replaced_image_stays_with_who_has_it_open(store: ImageStore) -> None:
    put(store)
    image = store.open()
    other = {**CONTENTS, "vmlinux": b"new"}
    put(store, contents=other)
    with image, image.load_parts() as parts:
        assert os.pread(parts.kernel_fd, 10**6, 0) == CONTENTS["vmlinux"]
    with store.open() as newer, newer.load_parts() as parts:
        assert os.pread(parts.kernel_fd, 10**6, 0) == b"new"
    put(store, manifest("another"))  # whoever changes the store next sweeps it
    assert names_in(store) == {"base", "another"}


def test_a_removed_image_is_gone(store: ImageStore) -> None:
    put(store)
    image = store.open()
    store.remove("base")
    assert store.names() == ()
    image.load_parts().close()
    image.close()
    put(store)
    assert names_in(store) == {"base"}


def test_a_build_that_fails_leaves_nothing(store: ImageStore) -> None:
    def fail() -> None:
        with store.pending() as place:
            (place / "half").write_bytes(b"x")
            raise InputError("it failed")

    with pytest.raises(InputError):
        fail()
    assert names_in(store) == set()


def test_a_full_disk_is_named(store: ImageStore) -> None:
    with pytest.raises(ProviderError, match="No space left") as caught, store.pending():
        Path("/dev/full").write_bytes(b"x" * 10)
    assert caught.value.code == "provider.image-store"


def test_what_a_killed_build_left_is_swept_and_a_running_one_is_not(store: ImageStore) -> None:
    with store.pending() as running:
        child = os.fork()
        if child == 0:
            with store.pending() as place:
                (place / "half").write_bytes(b"x")
                os.kill(os.getpid(), 9)
        os.waitpid(child, 0)
        assert len(names_in(store)) == 2
        put(store, manifest("another"))
        assert names_in(store) == {running.name, "another"}


def test_two_builds_of_one_name(store: ImageStore) -> None:
    made = manifest()
    signer = home_signer(store.home, SystemClock())
    with store.pending() as first, store.pending() as second:
        for place in (first, second):
            (place / "manifest.json").write_bytes(made.to_bytes())
            (place / "manifest.sig").write_bytes(made.sign(signer))
            store.publish(place, "base")
    store.open().close()
    put(store)
    assert names_in(store) == {"base"}


def test_boot_time_is_not_measured_until_somebody_did(store: ImageStore) -> None:
    put(store)
    with store.open() as image:
        assert measured_boot_ms(image) is None
        record_boot(image, 3210)
        assert measured_boot_ms(image) == 3210
        for wrong in (0, -1, 10**9):
            with pytest.raises(InputError) as caught:
                record_boot(image, wrong)
            assert caught.value.code == "input.boot"
        (image.directory / "boot.json").write_bytes(b"{")
        assert measured_boot_ms(image) is None
        (image.directory / "boot.json").write_bytes(encode({"image_id": "0" * 64, "boot_ms": 5}))
        assert measured_boot_ms(image) is None


def test_the_home_keeps_its_chain_and_key(tmp_path: Path) -> None:
    """A key without a chain would look as if somebody had taken the chain away."""
    home = tmp_path / "home"
    signer = home_signer(home, SystemClock())
    assert home_signer(home, SystemClock()).key_id == signer.key_id
    assert (home / "chain.sqlite3").exists()
    (home / "keys" / "chain.pub").unlink()
    put_error: CloisterError | None = None
    try:
        put(ImageStore(home))
        ImageStore(home).open()
    except KeyUnavailable as error:
        put_error = error
    assert put_error is not None


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ".x"},
        {"source": "internet"},
        {"packages": ("dash",), "oci": Path("x")},
        {"kernel_release": "6.1"},
    ],
)
def test_an_order_that_makes_no_sense_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(BuildOrder(), **fields)
    assert caught.value.code == "config.image"


def test_the_exchange_is_the_kernels() -> None:
    assert hasattr(ctypes.CDLL(None), "renameat2")
