"""Process 1 of a machine: which modules it loads, what it passes over, and what it does not keep to itself."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cloister.isolation.microvm.guest import init, kernel

CHANNELS = ("vsock", "vmw_vsock_virtio_transport_common", "vmw_vsock_virtio_transport")


class Machine:
    """A machine's files, and what its kernel says to modules."""

    def __init__(self, place: Path) -> None:
        self.loaded: list[str] = []
        self.errors: dict[str, int] = {}
        self.appears: dict[str, tuple[str, int]] = {}
        """The device that is there once a module is."""
        self._place = place
        (place / "modules").mkdir()
        self.order()

    def order(self, *names: str) -> None:
        (self._place / "modules" / "order").write_text("".join(f"{name}\n" for name in names))

    def device(self, name: str, kind: int) -> None:
        directory = self._place / "virtio" / name
        directory.mkdir(parents=True)
        (directory / "device").write_text(f"0x{kind:04x}\n")

    def pci(self) -> None:
        (self._place / "pci" / "0000:00:00.0").mkdir(parents=True)

    def load(self, path: str) -> None:
        directory, _, file = path.rpartition("/")
        assert directory == init.MODULES
        name = file.removesuffix(".ko")
        if name in self.errors:
            raise OSError(self.errors[name], os.strerror(self.errors[name]), path)
        self.loaded.append(name)
        if name in self.appears:
            self.device(*self.appears[name])


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    for constant, name in (("MODULES", "modules"), ("VIRTIO_DEVICES", "virtio"), ("PCI_DEVICES", "pci")):
        monkeypatch.setattr(init, constant, str(tmp_path / name))
    monkeypatch.setattr(kernel, "load_module", made.load)
    return made


def test_the_kinds_of_devices_are_those_that_they_state(machine: Machine) -> None:
    assert init._virtio_devices() == set()  # there is no such bus
    machine.device("virtio0", 3)
    machine.device("virtio1", 19)
    machine.device("virtio2", 3)
    assert init._virtio_devices() == {3, 19}


def test_modules_are_loaded_in_their_order(machine: Machine) -> None:
    machine.order("virtio_mmio", "failover", "crc32c_generic")
    init._load_modules()
    assert machine.loaded == ["virtio_mmio", "failover", "crc32c_generic"]


def test_modules_of_devices_are_loaded_where_there_is_one(machine: Machine) -> None:
    machine.order("virtio_mmio", "virtio_console", "virtio_blk", "erofs", *CHANNELS)
    machine.device("virtio0", init.DEVICE_OF["virtio_console"])
    init._load_modules()
    assert machine.loaded == ["virtio_mmio", "virtio_console"]


def test_devices_are_looked_for_when_their_bus_has_come(machine: Machine) -> None:
    machine.order("virtio_mmio", *CHANNELS)
    machine.appears["virtio_mmio"] = ("virtio0", init.DEVICE_OF["vsock"])
    init._load_modules()
    assert machine.loaded == ["virtio_mmio", *CHANNELS]


@pytest.mark.parametrize("has_pci", [True, False])
def test_the_bus_of_pci_is_loaded_where_there_is_one(machine: Machine, has_pci: bool) -> None:
    machine.order("virtio_pci_modern_dev", "virtio_pci", "virtio_mmio")
    if has_pci:
        machine.pci()
    init._load_modules()
    assert machine.loaded == (["virtio_pci_modern_dev", "virtio_pci"] if has_pci else []) + ["virtio_mmio"]


@pytest.fixture
def failed(machine: Machine, capsys: pytest.CaptureFixture[str]) -> Callable[[int], str]:
    """Have the kernel answer a module with an error; return what the console tells, the next one being loaded."""

    def fail(number: int) -> str:
        machine.order("first", "second")
        machine.errors["first"] = number
        init._load_modules()
        assert machine.loaded == ["second"]
        return capsys.readouterr().err

    return fail


@pytest.mark.parametrize("number", [errno.ENOEXEC, errno.ENODEV, errno.EEXIST])
def test_a_module_that_does_not_go_with_this_machine_is_passed_over(failed, number: int) -> None:
    assert failed(number) == ""


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EPERM, errno.EKEYREJECTED, errno.ENOMEM, errno.EIO])
def test_any_other_failure_is_told_on_the_console(failed, number: int) -> None:
    told = failed(number)
    assert "first" in told
    assert os.strerror(number) in told
