"""The agent's closed set, bytecode, modules, and the sources of an image's parts."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.isolation.microvm.image.making import elf_file

from cloister.errors import ConfigError, InputError, InternalError, ProviderUnavailable
from cloister.isolation.microvm.image import agent
from cloister.isolation.microvm.image.apt import Apt
from cloister.isolation.microvm.image.bytecode import compiled
from cloister.isolation.microvm.image.host import HostSource
from cloister.isolation.microvm.image.modules import WANTED, builtin_names, in_load_order
from cloister.isolation.microvm.image.source import is_in_base


def package(directory: Path, **modules: str) -> Path:
    place = directory / "cloister"
    for name, text in {"": "", **modules}.items():
        parts = name.split("__")
        path = place.joinpath(*parts) if name else place
        if name and not text.startswith("#package"):
            path = path.with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        else:
            path.mkdir(parents=True, exist_ok=True)
            (path / "__init__.py").write_text(text)
    return place


def test_the_set_is_closed_over_imports(tmp_path: Path) -> None:
    place = package(
        tmp_path,
        lang="#package",
        lang__a="import os\nfrom cloister.lang import b\ndef f():\n    import cloister.lang.c as c\n",
        lang__b="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from cloister.egress import x\n",
        lang__c="from cloister.errors import Error\n",
        lang__unused="",
        errors="class Error(Exception): ...",
    )
    found = agent.guest_set(place, roots=["cloister.lang.a"])
    assert list(found) == [
        f"cloister/{name}.py" for name in ("__init__", "errors", "lang/__init__", "lang/a", "lang/b", "lang/c")
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("from cloister import egress", "does not belong in a guest"),
        ("def f():\n    from cloister.egress import x", "does not belong in a guest"),
        ("import cryptography", "which is not in an image"),
        ("import cloister.missing", "no module cloister.missing"),
    ],
)
def test_what_does_not_belong_in_a_guest_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    place = package(tmp_path, lang="#package", lang__a=text, egress="x = 1")
    with pytest.raises(InternalError, match=reason) as caught:
        agent.guest_set(place, roots=["cloister.lang.a"])
    assert caught.value.code == "internal.agent"
    place = package(tmp_path / "twin", lang="#package", lang__a="import json", egress="x = 1")
    assert len(agent.guest_set(place, roots=["cloister.lang.a"])) == 3


def test_the_digest_is_of_names_and_contents() -> None:
    base = {"a": b"1", "b": b"2"}
    assert agent.set_sha256(base) == agent.set_sha256({"b": b"2", "a": b"1"})
    others = [{"a": b"1"}, {"a": b"2", "b": b"1"}, {"a": b"1", "c": b"2"}]
    assert len({agent.set_sha256(each) for each in (base, *others)}) == 4


def test_the_closed_set_is_what_an_interpreter_loads() -> None:
    """Reading imports finds at least what running them does."""
    script = "import sys, cloister.isolation.guest.main; print(*(m for m in sys.modules if m.startswith('cloister')))"
    loaded = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True).stdout
    found = agent.guest_set(roots=["cloister.isolation.guest.main"])
    names = {path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in found}
    assert set(loaded.split()) <= names


VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


def test_bytecode_is_the_same_each_time_and_needs_no_source() -> None:
    text = b'NAMES = frozenset({"a", "bb", "ccc"})\ndef f(x):\n    return x in {"d", "e", "f"}\n'
    first = compiled([("/x/a.py", text), ("/x/bad.py", b"def ("), ("/x/b.py", b"import os\n")], VERSION)
    again = compiled([("/x/b.py", b"import os\n"), ("/x/a.py", text)], VERSION)
    assert first.files[1] is None
    assert (first.files[0], first.files[2]) == (again.files[1], again.files[0])
    code = first.files[0] or b""
    assert code[:4] == importlib.util.MAGIC_NUMBER
    assert code[4:8] == b"\x01\0\0\0"  # by hash, unchecked
    assert first.compiler.startswith(VERSION)


def test_another_python_is_needed_for_another_version() -> None:
    with pytest.raises(ProviderUnavailable) as caught:
        compiled([], "3.99")
    assert (caught.value.code, caught.value.hint) == ("provider.image-python", "apt-get install python3.99-minimal")


def modules(**needs: str) -> dict[str, bytes]:
    return {name: elf_file(modinfo=f"depends={needed}\0".encode()) for name, needed in needs.items()}


def test_modules_are_loaded_behind_what_they_need() -> None:
    made = modules(**{name.replace("-", "_"): "" for name in WANTED})
    made |= modules(virtio="virtio_ring", virtio_blk="virtio,helper", helper="other", other="", virtio_rng="virtio")
    order = in_load_order(lambda name: made.get(name.replace("-", "_")), frozenset({"ext4", "vsock"}), "6.1")
    names = [name for name, _ in order]
    assert not {"ext4", "vsock"} & set(names)
    assert "virtio-rng" in names
    assert names.index("virtio_ring") < names.index("virtio") < names.index("virtio_blk")
    assert names.index("other") < names.index("helper") < names.index("virtio_blk")
    assert len(set(names)) == len(names)


def test_modules_that_need_each_other_end() -> None:
    made = modules(**{name.replace("-", "_"): "" for name in WANTED})
    made |= modules(virtio="virtio_ring", virtio_ring="virtio")
    order = in_load_order(lambda name: made.get(name.replace("-", "_")), frozenset(), "6.1")
    assert len(order) == len(WANTED)


def test_a_missing_module_is_named() -> None:
    with pytest.raises(ProviderUnavailable, match="virtio_ring") as caught:
        in_load_order(lambda _: None, frozenset(), "6.1")
    assert caught.value.code == "provider.image-host"


def test_builtin_modules_are_known_by_their_normal_names() -> None:
    assert builtin_names("kernel/drivers/char/hw_random/virtio-rng.ko\nkernel/fs/ext4/ext4.ko\n") == {
        "virtio_rng",
        "ext4",
    }


@pytest.mark.parametrize("path", ["os.py", "json/__init__.py", "lib-dynload/_ssl.cpython-311-x86_64-linux-gnu.so"])
def test_the_library_is_in_the_base(path: str) -> None:
    assert is_in_base(path)


@pytest.mark.parametrize(
    "path",
    [
        "ensurepip/__init__.py", "test/support/os.py", "idlelib/run.py", "tkinter/__init__.py", "venv/__main__.py",
        "unittest/test/test_case.py", "lib-dynload/_sqlite3.cpython-311-x86_64-linux-gnu.so", "LICENSE.txt",
        "site-packages/pip/__init__.py", "config-3.11-x86_64-linux-gnu/makesetup.py", "__pycache__/os.cpython-311.pyc",
    ],
)  # fmt: skip
def test_installers_and_tests_are_not(path: str) -> None:
    assert not is_in_base(path)


def test_a_host_without_its_kernel_is_told_so(tmp_path: Path) -> None:
    source = HostSource("6.1.0-made-up", root=tmp_path)
    for act in (source.kernel, source.builtin_modules, lambda: source.module("virtio")):
        with pytest.raises(ProviderUnavailable, match=r"6\.1\.0-made-up") as caught:
            act()
        assert caught.value.code == "provider.image-host"
        assert "--kernel" in str(caught.value.hint)
    with pytest.raises(ConfigError):
        HostSource("../../etc", root=tmp_path)


def test_the_host_gives_kernel_modules_and_libraries(tmp_path: Path) -> None:
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot" / "vmlinuz-6.1").write_bytes(b"kernel")
    place = tmp_path / "lib/modules/6.1/kernel"
    place.mkdir(parents=True)
    (place / "virtio-rng.ko").write_bytes(b"module")
    (place.parent / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\n")
    library = tmp_path / "lib" / f"{os.uname().machine}-linux-gnu" / "libx.so.1"
    library.parent.mkdir()
    library.write_bytes(b"library")
    source = HostSource("6.1", root=tmp_path)
    assert source.kernel().data == b"kernel"
    assert source.module("virtio_rng") == b"module"
    assert source.module("other") is None
    assert "ext4" in source.builtin_modules()
    assert source.shared_library("libx.so.1") == (f"usr/lib/{os.uname().machine}-linux-gnu/libx.so.1", b"library")
    assert source.shared_library("../libx.so.1") is None
    assert [each.name for each in source.packages()] == sorted(
        f"host:{path}" for path in (library, place / "virtio-rng.ko", tmp_path / "boot/vmlinuz-6.1")
    )


def test_a_machine_without_apt_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Apt(tmp_path)  # the twin
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ProviderUnavailable) as caught:
        Apt(tmp_path)
    assert caught.value.code == "provider.image-tool"


def test_apt_without_lists_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("lists", "status"):
        (tmp_path / name).mkdir() if name == "lists" else (tmp_path / name).write_text("")
    configuration = tmp_path / "apt.conf"
    configuration.write_text(
        f'Dir::State::lists "{tmp_path}/lists"; Dir::State::status "{tmp_path}/status"; Dir::Cache "{tmp_path}";'
    )
    monkeypatch.setenv("APT_CONFIG", str(configuration))
    with pytest.raises(ProviderUnavailable) as caught:
        Apt(tmp_path)
    assert (caught.value.code, caught.value.hint) == ("provider.image-lists", "as root: apt-get update")


def test_a_package_that_is_not_offered_is_refused(tmp_path: Path) -> None:
    apt = Apt(tmp_path)
    assert {"dash", "libc6"} <= {offer.package.name for offer in apt.closure(["dash"])}  # the twin
    for name in ("no-such-package-anywhere", "--option", "a b", "../x"):
        with pytest.raises(InputError) as caught:
            apt.closure([name])
        assert caught.value.code == "input.package"
