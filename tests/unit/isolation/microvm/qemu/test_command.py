"""QEMU's command line: what a machine has, and that nothing in it names a file of the host."""

from cloister.isolation.microvm.qemu.command import Handed, boot_words, render
from cloister.isolation.microvm.vmm import Accelerator, Drive, MachineSpec, RateLimit

SPEC = MachineSpec(vcpus=2, memory_mib=512)
HANDED = Handed(control=200, agent=201, memory=202, kernel=203, initramfs=204, drives={"rootfs": 205})


def rendered(**changed: object) -> list[str]:
    words: dict[str, object] = {
        "accelerator": Accelerator.TCG,
        "drives": (),
        "command_line": "quiet",
        "is_shared": True,
    } | changed
    return render("/usr/bin/qemu", "mark", SPEC, HANDED, **words)  # type: ignore[arg-type]


def option(command: list[str], name: str) -> list[str]:
    return [command[index + 1] for index, word in enumerate(command) if word == name]


def test_a_booted_machine() -> None:
    command = rendered()
    assert option(command, "-kernel") == ["/proc/self/fd/203"]
    assert option(command, "-initrd") == ["/proc/self/fd/204"]
    assert option(command, "-append") == ["quiet"]
    assert (option(command, "-smp"), option(command, "-m")) == (["2"], ["512M"])
    assert "memory-backend-file,id=memory,size=512M,mem-path=/proc/self/fd/202,share=on" in option(command, "-object")
    assert "-incoming" not in command
    assert "-S" in command


def test_a_restored_machine_keeps_its_changes_to_itself() -> None:
    command = rendered(command_line=None, is_shared=False)
    assert option(command, "-incoming") == ["defer"]
    assert "memory-backend-file,id=memory,size=512M,mem-path=/proc/self/fd/202,share=off" in option(command, "-object")
    assert not {"-kernel", "-initrd", "-append"} & set(command)


def test_a_machine_has_no_network_and_no_default_devices() -> None:
    command = rendered()
    assert {"-nodefaults", "-no-user-config"} <= set(command)
    assert not [word for word in command if "net" in word or "user" in word.split(",")[0].removeprefix("-no-user")]


def test_qemu_may_start_nothing() -> None:
    assert option(rendered(), "-sandbox") == ["on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]


def test_kvm_is_asked_for_alone() -> None:
    """A list of accelerators would be a fallback that nobody hears of."""
    assert option(rendered(accelerator=Accelerator.KVM), "-accel") == ["kvm"]
    (accel,) = option(rendered(), "-accel")
    assert accel.startswith("tcg,")


def test_drives_are_read_only_descriptors() -> None:
    drive = Drive(name="rootfs", descriptor=9, path="/home/secret/rootfs.erofs")
    command = rendered(drives=(drive,))
    assert option(command, "-add-fd") == ["fd=205,set=1,opaque=rootfs"]
    (device,) = option(command, "-blockdev")
    assert "read-only=on" in device
    assert "file.filename=/dev/fdset/1" in device
    assert "virtio-blk-device,drive=rootfs,serial=rootfs" in option(command, "-device")
    assert not [word for word in command if "secret" in word]


def test_drives_are_bounded() -> None:
    rate = RateLimit(bytes_per_s=1000, ops_per_s=10)
    command = rendered(drives=(Drive(name="rootfs", descriptor=9, path="/x", rate=rate),))
    assert "throttle-group,id=rootfs-bounds,x-bps-total=1000,x-iops-total=10" in option(command, "-object")
    assert "virtio-blk-device,drive=rootfs-bounded,serial=rootfs" in option(command, "-device")


def test_a_translated_machine_is_told_how_fast_its_counter_is() -> None:
    assert boot_words("quiet", tsc_khz=2_600_000).endswith("tsc_early_khz=2600000 lpj=10400000 tsc=reliable")
    assert "tsc" not in boot_words("quiet", tsc_khz=None)
    assert "cloister.channel=serial" in boot_words("quiet", tsc_khz=None).split()
