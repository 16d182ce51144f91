"""Real images: what is in one, that it comes out the same again, that it boots, and the commands for it."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.conftest import Outcome

from cloister.isolation.microvm.guest.frames import Decoder, Kind
from cloister.isolation.microvm.image import agent, base
from cloister.isolation.microvm.image.elf import ElfFile
from cloister.isolation.microvm.image.host import HostSource
from cloister.isolation.microvm.image.packages import unpack
from cloister.isolation.microvm.image.store import ImageStore
from cloister.isolation.microvm.image.tree import File, Tree

Cloister = Callable[..., Outcome]
FILES = ("vmlinux", "initramfs.cpio", "manifest.json", "manifest.sig")
SHELLS = {
    "sh",
    "bash",
    "dash",
    "ash",
    "zsh",
    "ksh",
    "mksh",
    "csh",
    "tcsh",
    "fish",
    "busybox",
    "toybox",
    "rbash",
    "sash",
}
MANAGERS = {
    "apt",
    "apt-get",
    "dpkg",
    "dpkg-deb",
    "rpm",
    "dnf",
    "yum",
    "pip",
    "pip3",
    "ensurepip",
    "conda",
    "snap",
    "flatpak",
}
BOOT_TIMEOUT_S = 60


@dataclass(frozen=True)
class Entry:
    mode: int
    owner: tuple[int, int]
    modified: int
    content: bytes


def listing(path: Path) -> dict[str, Entry]:
    """Read a cpio archive, by the letter of its format and with nothing of ours."""
    data, found, at = path.read_bytes(), {}, 0
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * index : at + 14 + 8 * index], 16) for index in range(13)]
        name = data[at + 110 : at + 110 + fields[11] - 1].decode()
        start = at + 110 + fields[11] + 3 & ~3
        if name == "TRAILER!!!":
            return found
        content = data[start : start + fields[6]]
        found[name] = Entry(fields[1], (fields[2], fields[3]), fields[5], content)
        at = start + fields[6] + 3 & ~3


@pytest.fixture(scope="module")
def tree(vm_home: Path) -> dict[str, Entry]:
    return listing(vm_home / "images" / "base" / "initramfs.cpio")


def files(tree: dict[str, Entry]) -> dict[str, Entry]:
    return {name: entry for name, entry in tree.items() if stat.S_ISREG(entry.mode)}


def test_there_is_no_shell_and_no_package_manager(tree: dict[str, Entry]) -> None:
    names = {Path(name).name.removesuffix(".pyc").removesuffix(".py") for name in tree}
    assert names & (SHELLS | MANAGERS) == set()
    assert {"python3.11", "init", "socket"} <= names  # the search would have found them
    mentioned = {name for name, entry in files(tree).items() if entry.content.startswith(b"#!")}
    assert mentioned == {"init"}
    assert files(tree)["init"].content.startswith(b"#!/usr/bin/python3 ")


def test_nothing_is_set_user_id_and_few_things_run(tree: dict[str, Entry]) -> None:
    assert [name for name, entry in tree.items() if entry.mode & 0o6000] == []
    assert {entry.owner for entry in tree.values()} == {(0, 0)}
    assert {entry.modified for entry in tree.values()} == {0}
    runs = {name for name, entry in files(tree).items() if entry.mode & 0o111}
    assert {"init", "usr/bin/python3.11"} <= runs
    assert {Path(name).name for name in runs} - {"init", "python3.11"} <= {"ld-linux-x86-64.so.2"}
    devices = {name for name, entry in tree.items() if stat.S_IFMT(entry.mode) in {stat.S_IFCHR, stat.S_IFBLK}}
    assert devices == {"dev/console"}
    assert [name for name, entry in files(tree).items() if entry.mode & 0o022] == []


def test_every_library_that_is_needed_is_there(tree: dict[str, Entry]) -> None:
    programs = {name: entry.content for name, entry in files(tree).items() if entry.content[:4] == b"\x7fELF"}
    there = {Path(name).name for name in programs}
    linked = {name: data for name, data in programs.items() if not name.startswith("modules/")}
    assert len(linked) >= 40
    for name, data in linked.items():
        assert set(ElfFile(data, name).needed()) <= there, name


def test_the_modules_are_there_in_their_order(tree: dict[str, Entry], vm_home: Path) -> None:
    order = tree["modules/order"].content.decode().split()
    with ImageStore(vm_home).open() as image:
        assert tuple(order) == image.manifest.modules
    assert {f"modules/{name}.ko" for name in order} == {
        name for name in files(tree) if name.startswith("modules/") and name.endswith(".ko")
    }
    assert order.index("virtio_ring") < order.index("virtio") < order.index("virtio_blk")
    assert order.index("vsock") < order.index("vmw_vsock_virtio_transport")


def test_the_agent_is_the_closed_set(tree: dict[str, Entry], vm_home: Path) -> None:
    sources = agent.guest_set()
    inside = {name.removeprefix("cloister/") for name in files(tree) if name.startswith("cloister/")}
    assert inside == {f"{name}c" for name in sources} | {"prepared"}
    with ImageStore(vm_home).open() as image:
        assert image.manifest.agent.sha256 == agent.set_sha256(sources)


def test_it_stays_small(tree: dict[str, Entry]) -> None:
    assert sum(len(entry.content) for entry in tree.values()) < 36_000_000


def test_the_same_inputs_give_the_same_image(vm_home: Path, tmp_path: Path, cloister: Cloister) -> None:
    """In another directory, at another time, under another umask, language, time zone and order of hashes."""
    before = {name: os.environ.get(name) for name in ("TZ", "LANG", "PYTHONHASHSEED")}
    mask = os.umask(0o077)
    try:
        os.environ.update({"TZ": "Asia/Tokyo", "LANG": "de_DE.UTF-8", "PYTHONHASHSEED": "7"})
        output = tmp_path / "another place" / "image"
        done = cloister("image", "build", "--kind", "vm", "--home", vm_home, "--output", output)
    finally:
        os.umask(mask)
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
    assert done.status == 0, done.err
    for name in FILES:
        first, second = vm_home / "images" / "base" / name, output / name
        assert first.read_bytes() == second.read_bytes(), name


def test_it_boots_to_its_agent(vm_home: Path, tmp_path: Path) -> None:
    place = vm_home / "images" / "base"
    with ImageStore(vm_home).open() as image:
        words = f"{image.manifest.command_line} console=ttyS0 tsc_early_khz=2000000 lpj=8000000 cloister.channel=serial"
    ours, theirs = socket.socketpair()
    command = [
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-m", "256",
        "-M", "microvm,rtc=on,acpi=on,pic=off,pit=off,isa-serial=on", "-accel", "tcg", "-cpu", "max",
        "-serial", f"file:{tmp_path / 'console'}", "-kernel", str(place / "vmlinux"), "-append", words,
        "-initrd", str(place / "initramfs.cpio"), "-chardev", f"socket,id=agent,fd={theirs.fileno()}",
        "-device", "virtio-serial-device,max_ports=2", "-device", "virtserialport,chardev=agent,name=agent",
    ]  # fmt: skip
    with ours, theirs, subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL) as machine:
        theirs.close()
        ours.settimeout(BOOT_TIMEOUT_S)
        try:
            said = ours.recv(4096)
        finally:
            machine.kill()
    (frame,) = Decoder().feed(said)
    assert frame.kind is Kind.HELLO, (tmp_path / "console").read_text(errors="replace")[-2000:]
    assert frame.data()["python"].startswith("3.11.")


def test_a_payload_drive_of_packages(vm_home: Path, tmp_path: Path, cloister: Cloister) -> None:
    home = tmp_path / "own"
    shutil.copytree(vm_home, home, symlinks=True)
    done = cloister(
        "image", "build", "--kind", "vm", "--name", "tools", "--package", "dash", "--rootfs-format", "ext4",
        "--home", home, "--json",
    )  # fmt: skip
    assert done.status == 0, done.err + done.out
    facts = done.data["image"]
    assert facts["rootfs"]["format"] == "ext4"
    assert {"dash", "libc6", "libpython3.11-stdlib"} <= {each["name"] for each in facts["packages"]}
    assert "dpkg" not in {each["name"] for each in facts["packages"]}
    assert facts["compared_with"]["name"] == "base"
    drive = home / "images" / "tools" / "rootfs.ext4"
    environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    shown = subprocess.run(
        ["debugfs", "-R", "ls -p /usr/bin", drive], env=environment, capture_output=True, text=True, check=True
    ).stdout
    rows = {line.split("/")[5]: line.split("/")[2] for line in shown.splitlines() if line.count("/") > 5}
    assert {"dash", "sh", "python3", "python3.11"} <= set(rows)
    assert [name for name, mode in rows.items() if int(mode, 8) & 0o6000] == []
    shown = cloister("image", "list", "--home", home).out
    assert [line.split()[0] for line in shown.splitlines()] == ["base", "tools"]
    assert cloister("image", "rm", "tools", "--home", home).status == 0
    assert cloister("image", "show", "tools", "--home", home).status == 5


def test_an_image_of_the_hosts_own_files(vm_home: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    with ImageStore(vm_home).open() as image, Tree() as kernel:
        release = image.manifest.kernel.release
        (package,) = (each for each in image.manifest.packages if each.name.startswith("linux-image-"))
        unpack(vm_home / "images" / ".packages" / f"{package.sha256}.deb", kernel, lambda path: "share" not in path)
        for path, node in kernel.walk():
            if isinstance(node, File):
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(kernel.content(node))
    (root / "usr").symlink_to("/usr")
    (root / "lib64").symlink_to("/usr/lib64")
    source = HostSource(release, root)
    with Tree() as tree:
        assert source.kernel().release == release
        made = base.fill(tree, source, release, agent.guest_set())
        assert "virtio_blk" in made.modules
        assert tree.resolved("usr/bin/python3") == f"usr/bin/python{source.python}"
        program = tree.get(f"usr/bin/python{source.python}")
        assert isinstance(program, File)
        loader = ElfFile(tree.content(program), "python").interpreter() or ""
        assert tree.resolved(loader) is not None
    assert {f"host:{root}/boot/vmlinuz-{release}"} <= {each.name for each in source.packages()}


def test_commands_on_an_image(vm_home: Path, tmp_path: Path, cloister: Cloister) -> None:
    home = tmp_path / "own"
    shutil.copytree(vm_home, home, symlinks=True)
    shown = cloister("image", "show", "base", "--home", home)
    assert shown.status == 0
    assert "boot time  not measured" in shown.out
    verified = cloister("image", "verify", "base", "--home", home, "--json")
    assert verified.status == 0
    image_id = cloister("image", "show", "base", "--home", home, "--json").data["image"]["image_id"]
    assert verified.data["measurements"]["image_id"] == image_id
    kernel = home / "images" / "base" / "vmlinux"
    kernel.chmod(0o600)
    with kernel.open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"altered")
    refused = cloister("image", "verify", "base", "--home", home)
    assert refused.status == 7
    assert "attestation.digest" in refused.err
    assert "vmlinux" in refused.err
    manifest = home / "images" / "base" / "manifest.json"
    manifest.chmod(0o600)
    manifest.write_bytes(manifest.read_bytes().replace(b"quiet", b"noisy"))
    assert cloister("image", "list", "--home", home).out.split() == ["base", "unusable:", "attestation.signature"]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("show", "base"), 5, "cloister image build --kind vm"),
        (("verify", "base"), 5, "provider.image"),
        (("rm", "base"), 5, "provider.image"),
        (("build", "--kind", "floppy"), 2, "config.image"),
        (("build", "--kind", "vm", "--rootfs-format", "ntfs"), 2, "erofs, ext4"),
        (("build", "--kind", "vm", "--from", "moon"), 2, "debian, host"),
        (("build", "--kind", "vm", "--name", "../x"), 2, "config.image"),
        (("build", "--kind", "vm", "--from", "host", "--kernel", "6.0-made-up"), 5, "provider.image-host"),
        (("build", "--kind", "vm", "--package", "no-such-package-anywhere"), 2, "input.package"),
        (("build", "--kind", "vm", "--oci", "/nonexistent"), 2, "input.oci"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_what_cannot_be_done_says_why(
    arguments: tuple[str, ...], status: int, words: str, cloister: Cloister, home: Path
) -> None:
    done = cloister("image", *arguments)
    assert (done.status, words in done.err) == (status, True), done.err
    images = home / "images"
    assert [each.name for each in images.iterdir() if each.name != ".packages"] == [] if images.exists() else True
