"""Which VMM runs machines: one that is asked for by name is that one or nothing; software is never called hardware."""

import pytest

from cloister.authority.level import IsolationLevel
from cloister.errors import ConfigError, ProviderUnavailable
from cloister.isolation.microvm import choice
from cloister.isolation.microvm.choice import Choice, choose
from cloister.isolation.microvm.config import MachineConfig
from cloister.isolation.microvm.kvm import KvmFindings, KvmState
from cloister.isolation.microvm.vmm import Accelerator
from cloister.isolation.process import landlock
from cloister.isolation.process.shortfalls import Strength

USABLE = KvmFindings(state=KvmState.USABLE, reason="it works", booted_by=("qemu",))
ABSENT = KvmFindings(state=KvmState.ABSENT, reason="there is no /dev/kvm")
CRIPPLED = KvmFindings(state=KvmState.CRIPPLED, reason="a stock kernel does not run", remedy="another host")


@pytest.fixture
def full_walls(monkeypatch) -> None:
    full = Strength(landlock_abi=landlock.FULL_ABI, clocks_hindrance=None)
    monkeypatch.setattr(choice.shortfalls, "look", lambda: full)


def chosen(monkeypatch, tmp_path, name: str, findings: KvmFindings) -> Choice:
    monkeypatch.setattr(choice.kvm, "probe", lambda **_: findings)
    return choose(name, tmp_path, MachineConfig())


@pytest.mark.parametrize("name", ["microvm", "qemu"])
def test_without_kvm_machines_are_translated_and_the_level_says_so(monkeypatch, tmp_path, full_walls, name) -> None:
    found = chosen(monkeypatch, tmp_path, name, CRIPPLED)
    assert (found.vmm, found.accelerator, found.level) == ("qemu", Accelerator.TCG, IsolationLevel.MACHINE_REDUCED)
    assert "usable KVM" in found.shortfalls[0].missing
    assert found.shortfalls[0].remedy == "another host"


def test_with_kvm_and_all_walls_the_level_is_full(monkeypatch, tmp_path, full_walls) -> None:
    found = chosen(monkeypatch, tmp_path, "microvm", USABLE)
    assert (found.accelerator, found.level, found.shortfalls) == (Accelerator.KVM, IsolationLevel.MACHINE, ())


@pytest.mark.parametrize("name", ["firecracker", "cloud-hypervisor"])
@pytest.mark.parametrize("findings", [ABSENT, CRIPPLED])
def test_one_that_needs_kvm_is_refused_without_and_nothing_else_is_taken(monkeypatch, tmp_path, name, findings) -> None:
    found = chosen(monkeypatch, tmp_path, name, findings)
    assert (found.vmm, found.accelerator) == (name, Accelerator.KVM)
    with pytest.raises(ProviderUnavailable) as caught:
        found.create(None)  # type: ignore[arg-type]  # it is refused before it is confined
    assert caught.value.code == "provider.kvm"
    assert findings.reason in caught.value.message


def test_there_are_no_machines_of_another_name(monkeypatch, tmp_path) -> None:
    with pytest.raises(ConfigError) as caught:
        chosen(monkeypatch, tmp_path, "xen", USABLE)
    assert caught.value.code == "config.provider"
    assert "cloud-hypervisor" in (caught.value.hint or "")


def test_people_are_told_which_vmm_it_is_and_what_kvm_is_worth(monkeypatch, tmp_path) -> None:
    found = chosen(monkeypatch, tmp_path, "microvm", ABSENT)
    assert [each.state for each in found.facilities] == ["qemu, tcg", "absent: there is no /dev/kvm"]


def test_nothing_is_kept_where_there_is_no_home(monkeypatch, tmp_path) -> None:
    asked = []
    monkeypatch.setattr(choice.kvm, "probe", lambda **facts: asked.append(facts) or ABSENT)
    choose("microvm", tmp_path / "none", MachineConfig())
    choose("microvm", tmp_path, MachineConfig())
    assert [each["cache"] for each in asked] == [None, tmp_path / "kvm.json"]


@pytest.mark.parametrize(
    ("name", "vmm"), [("microvm", "qemu"), ("qemu", "qemu"), ("firecracker",) * 2, ("cloud-hypervisor",) * 2]
)
def test_the_machine_that_proves_kvm_is_of_the_vmm_that_is_asked_for(monkeypatch, tmp_path, name, vmm) -> None:
    asked, made = [], []
    (tmp_path / choice.DIRECTORY / MachineConfig().image).mkdir(parents=True)
    monkeypatch.setattr(choice.kvm, "probe", lambda **facts: asked.append(facts["proof"]) or USABLE)
    monkeypatch.setattr(choice.PublicKey, "load", lambda _: None)
    monkeypatch.setattr(choice, "load_parts", lambda *_: Parts())

    def create(_: object, accelerator: Accelerator) -> None:
        made.append(accelerator)
        raise ProviderUnavailable("it is not installed", code="provider.vmm")

    monkeypatch.setitem(choice._CREATE, vmm, create)
    choose(name, tmp_path, MachineConfig())
    assert asked[0].vmm == vmm
    with pytest.raises(ProviderUnavailable):
        asked[0].boot()
    assert made == [Accelerator.KVM]


class Parts:
    boot = None

    def close(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize("name", ["firecracker", "cloud-hypervisor"])
def test_a_missing_program_is_told_when_it_is_needed_not_when_it_is_chosen(monkeypatch, tmp_path, name) -> None:
    """Without the program and with a usable KVM the choice stands, and what makes the VMM refuses."""
    for variable in ("CLOISTER_FIRECRACKER", "CLOISTER_JAILER", "CLOISTER_CLOUD_HYPERVISOR"):
        monkeypatch.setenv(variable, str(tmp_path / "none"))
    home = tmp_path / "home"
    (home / choice.DIRECTORY / MachineConfig().image).mkdir(parents=True)
    monkeypatch.setattr(choice.PublicKey, "load", lambda _: None)
    monkeypatch.setattr(choice, "load_parts", lambda *_: Parts())
    monkeypatch.setattr(choice.kvm, "_looked", lambda _: None)
    monkeypatch.setattr(choice.kvm, "_tried", lambda _: KvmFindings(state=KvmState.USABLE, reason="they run"))
    found = choose(name, home, MachineConfig())
    assert (found.vmm, found.findings.state, found.findings.booted_by) == (name, KvmState.USABLE, ())
    with pytest.raises(ProviderUnavailable) as caught:
        found.create(None)  # type: ignore[arg-type]  # it is refused before it is confined
    assert str(tmp_path / "none") in caught.value.message


def test_nothing_is_booted_without_an_image(monkeypatch, tmp_path) -> None:
    asked = []
    monkeypatch.setattr(choice.kvm, "probe", lambda **facts: asked.append(facts["proof"]) or USABLE)
    choose("microvm", tmp_path, MachineConfig())
    assert asked == [None]
