"""Which VMM runs the machines here, and how strong the walls around what runs in them are then.

Owns the choice. `microvm` is QEMU, with KVM where that works here and translating where it does not. Firecracker and
Cloud Hypervisor are taken only when they are asked for by name, and then it is that one with KVM or nothing. Whether
KVM works is tried with the VMM that will use it. Nothing falls back once a machine is to be started.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloister.audit.home import AuditHome
from cloister.audit.signer import PublicKey
from cloister.authority.level import IsolationLevel
from cloister.errors import ConfigError, quoted
from cloister.isolation.microvm import kvm
from cloister.isolation.microvm.config import MachineConfig
from cloister.isolation.microvm.confinement import Confinement
from cloister.isolation.microvm.image.store import DIRECTORY
from cloister.isolation.microvm.kvm import BootProof, KvmFindings
from cloister.isolation.microvm.link import MachineLink
from cloister.isolation.microvm.parts import load_parts
from cloister.isolation.microvm.vmm import Accelerator, MachineSpec, Vmm
from cloister.isolation.process import shortfalls
from cloister.isolation.provider import Facility, Shortfall

MICROVM: Final = "microvm"
QEMU: Final = "qemu"
FIRECRACKER: Final = "firecracker"
CLOUD_HYPERVISOR: Final = "cloud-hypervisor"
PROOF_MIB: Final = 256
PROOF_TIMEOUT_S: Final = 20.0
_CACHE: Final = "kvm.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was chosen.

    Attributes:
        vmm: Its name.
        accelerator: What executes instructions.
        findings: What KVM is worth here.
    """

    vmm: str
    accelerator: Accelerator
    findings: KvmFindings

    @property
    def shortfalls(self) -> tuple[Shortfall, ...]:
        """What this machine lacks for the full level."""
        # Firecracker is in a jail of its own, and refuses where that lacks something
        found = [] if self.vmm == FIRECRACKER else list(shortfalls.look().shortfalls)
        if self.accelerator is not Accelerator.KVM:
            missing = f"a usable KVM: {self.findings.reason}"
            found.insert(0, Shortfall(missing=missing, remedy=self.findings.remedy or "a host with KVM"))
        return tuple(found)

    @property
    def level(self) -> IsolationLevel:
        """What may be declared: the full level only when nothing is missing."""
        return IsolationLevel.MACHINE_REDUCED if self.shortfalls else IsolationLevel.MACHINE

    @property
    def facilities(self) -> tuple[Facility, ...]:
        """What was found, for people."""
        return (
            Facility(name="VMM", state=f"{self.vmm}, {self.accelerator.value}"),
            Facility(name="KVM", state=f"{self.findings.state.value}: {self.findings.reason}"),
        )

    def create(self, confinement: Confinement) -> Vmm:
        """Return the VMM.

        Raises:
            ProviderUnavailable: Its program is not here, or it needs KVM and that cannot be used.
        """
        if self.accelerator is Accelerator.KVM:
            self.findings.require()
        return _CREATE[self.vmm](confinement, self.accelerator)


def choose(name: str, home: Path, config: MachineConfig) -> Choice:
    """Choose the VMM that a name asks for.

    Whether KVM works is tried, once for each boot of the host: by instructions, and where those run and there is an
    image, by booting a machine with that VMM. One that cannot be tried, as when its program is missing, says nothing of
    KVM; whoever starts machines with it is refused then.

    Args:
        name: `microvm`, or that of one VMM.
        home: Where the verdict about KVM is kept, and images lie.
        config: Which image is booted.

    Raises:
        ConfigError: `config.provider`: nothing has that name.
    """
    vmm = QEMU if name == MICROVM else name
    if vmm not in _CREATE:
        names = ", ".join((MICROVM, *_CREATE))
        raise ConfigError(
            f"there is no provider of machines {quoted(name)}", code="config.provider", hint=f"choose one of {names}"
        )
    findings = kvm.probe(proof=_proof(vmm, home, config), cache=home / _CACHE if home.is_dir() else None)
    is_translated = vmm == QEMU and not findings.is_usable
    return Choice(vmm=vmm, accelerator=Accelerator.TCG if is_translated else Accelerator.KVM, findings=findings)


def _proof(vmm: str, home: Path, config: MachineConfig) -> BootProof | None:
    """Return what boots a machine with a VMM; None while there is no image to boot."""
    if not (home / DIRECTORY / config.image).is_dir():
        return None
    return BootProof(vmm=vmm, boot=lambda: _boot(vmm, home, config))


def _boot(vmm: str, home: Path, config: MachineConfig) -> None:
    """Boot a machine with KVM until its agent greets, and end it.

    Raises:
        ProviderUnavailable: The VMM or its confinement is missing.
        AttestationError: The image is not what was signed.
        ProviderError: It does not come to that.
    """
    with contextlib.ExitStack() as undo:
        confinement = undo.enter_context(contextlib.closing(Confinement()))
        key = PublicKey.load(AuditHome(home).public_key_path)
        parts = undo.enter_context(contextlib.closing(load_parts(home, config, key)))
        driver = undo.enter_context(contextlib.closing(_CREATE[vmm](confinement, Accelerator.KVM)))
        machine = driver.boot(MachineSpec(memory_mib=PROOF_MIB), parts.boot)
        undo.callback(machine.stop)
        machine.resume()
        link = undo.enter_context(contextlib.closing(MachineLink(machine.connect(PROOF_TIMEOUT_S))))
        link.hello(PROOF_TIMEOUT_S)


def _qemu(confinement: Confinement, accelerator: Accelerator) -> Vmm:
    from cloister.isolation.microvm.qemu.driver import QemuVmm  # noqa: PLC0415

    return QemuVmm(confinement, accelerator)


def _firecracker(confinement: Confinement, accelerator: Accelerator) -> Vmm:
    """Firecracker is confined by its own jailer."""
    from cloister.isolation.microvm.firecracker import settings  # noqa: PLC0415
    from cloister.isolation.microvm.firecracker.driver import FirecrackerVmm  # noqa: PLC0415

    del confinement, accelerator
    return FirecrackerVmm(settings.found())


def _cloud_hypervisor(confinement: Confinement, accelerator: Accelerator) -> Vmm:
    from cloister.isolation.microvm.cids import Cids, default_directory  # noqa: PLC0415
    from cloister.isolation.microvm.cloud_hypervisor.driver import CloudHypervisorVmm  # noqa: PLC0415

    del accelerator
    return CloudHypervisorVmm(confinement, Cids(default_directory()))


_CREATE: Final[dict[str, Callable[[Confinement, Accelerator], Vmm]]] = {
    QEMU: _qemu,
    FIRECRACKER: _firecracker,
    CLOUD_HYPERVISOR: _cloud_hypervisor,
}
