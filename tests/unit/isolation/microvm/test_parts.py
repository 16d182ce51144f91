"""What machines are booted from: the capability store is measured, and what is no file is refused."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from cloister.audit.home import AuditHome
from cloister.audit.signer import Signer
from cloister.errors import ConfigError
from cloister.isolation.microvm import parts
from cloister.isolation.microvm.config import MachineConfig
from cloister.isolation.microvm.image.measuring import Measurements
from cloister.isolation.microvm.parts import CAPABILITIES, ROOTFS, MachineParts, load_parts
from cloister.isolation.microvm.vmm import BootParts, Drive


def refused(path: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        os.close(parts._opened(path))
    assert caught.value.code == "config.machine"
    assert "cloister image capabilities" in (caught.value.hint or "")
    return caught.value


def test_a_store_that_is_a_file_is_opened_for_reading(tmp_path) -> None:
    (tmp_path / "store").write_bytes(b"content")
    descriptor = parts._opened(tmp_path / "store")
    try:
        assert parts._digest(descriptor) == hashlib.sha256(b"content").hexdigest()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(descriptor, b"x")
    finally:
        os.close(descriptor)


def test_an_altered_store_is_another_store(tmp_path) -> None:
    digests = set()
    for content in (b"content", b"contenT", b"content\0"):
        (tmp_path / "store").write_bytes(content)
        descriptor = parts._opened(tmp_path / "store")
        digests |= {parts._digest(descriptor), parts._digest(descriptor)}
        os.close(descriptor)
    assert len(digests) == 3


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path) -> None:
    (tmp_path / "store").write_bytes(b"")
    (tmp_path / "link").symlink_to("store")
    os.mkfifo(tmp_path / "fifo")
    for name in ("missing", "link", "fifo", "."):
        refused(tmp_path / name)
    assert "\x1b" not in refused(tmp_path / "\x1b[2J").message


MEASURED = Measurements(
    kernel_sha256="k",
    initramfs_sha256="i",
    rootfs_sha256=None,
    agent_sha256="a",
    command_line_sha256="c",
    image_id="m",
)


@pytest.mark.parametrize("rootfs", [None, "r"])
@pytest.mark.parametrize("capabilities", [None, "s"])
def test_what_a_snapshot_is_bound_to_names_every_drive(rootfs, capabilities) -> None:
    boot = BootParts(kernel_fd=-1, initramfs_fd=-1, command_line="")
    made = MachineParts(boot=boot, measured=replace(MEASURED, rootfs_sha256=rootfs), capabilities_sha256=capabilities)
    expected = {name: digest for name, digest in ((ROOTFS, rootfs), (CAPABILITIES, capabilities)) if digest}
    assert made.drive_digests == expected


def test_closing_gives_back_every_descriptor() -> None:
    kernel, initramfs, drive = (os.memfd_create("part") for _ in range(3))
    drives = (Drive(name=CAPABILITIES, descriptor=drive, path="/x"),)
    boot = BootParts(kernel_fd=kernel, initramfs_fd=initramfs, command_line="", drives=drives)
    MachineParts(boot=boot, measured=MEASURED, capabilities_sha256="s").close()
    for each in (kernel, initramfs, drive):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(each)


@pytest.mark.parametrize("store", ["missing", "fifo"])
def test_a_bad_store_leaves_nothing_open(machine_home, tmp_path, store) -> None:
    os.mkfifo(tmp_path / "fifo")
    key = Signer.load(AuditHome(machine_home).key_path).public_key
    before = len(list(os.scandir("/proc/self/fd")))
    with pytest.raises(ConfigError):
        load_parts(machine_home, MachineConfig(capability_store=tmp_path / store), key)
    assert len(list(os.scandir("/proc/self/fd"))) == before
    good = tmp_path / "good"
    good.write_bytes(b"store")
    loaded = load_parts(machine_home, MachineConfig(capability_store=good), key)
    assert loaded.capabilities_sha256 == hashlib.sha256(b"store").hexdigest()
    loaded.close()
    assert len(list(os.scandir("/proc/self/fd"))) == before
