"""Whether KVM can run machines here, found out by running some.

Owns the verdict and its cache. That there is a /dev/kvm says little: a host that is a guest itself may offer one that
creates machines and cannot boot a kernel in them. So instructions are run first, which is quick, and then, where the
caller can, a real kernel is booted. Only what will be so until the host boots again is kept: that a machine booted, and
that executed instructions were refused. What may have been the moment's, as a lack of time or of memory, is not.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from cloister.errors import CloisterError, ProviderError, ProviderUnavailable, quoted
from cloister.isolation.microvm import kvm_trial

TRIAL_TIMEOUT_S: Final = 15.0
_MODULES: Final = {"svm": "kvm-amd", "vmx": "kvm-intel"}
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class KvmState(StrEnum):
    """What was found."""

    USABLE = "usable"
    ABSENT = "absent"
    """There is no /dev/kvm."""
    FORBIDDEN = "forbidden"
    """There is one that this user may not open."""
    CRIPPLED = "crippled"
    """There is one that cannot run a stock kernel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KvmFindings:
    """The verdict.

    Attributes:
        state: In one word.
        reason: In one sentence.
        remedy: What would help; None when nothing on this machine does.
        booted_by: The VMMs that were seen to boot a real kernel with it; none when only instructions were run.
        evidence: What was measured.
    """

    state: KvmState
    reason: str
    remedy: str | None = None
    booted_by: tuple[str, ...] = ()
    evidence: dict[str, Any] = field(default_factory=dict)

    @property
    def is_usable(self) -> bool:
        """Whether machines can run."""
        return self.state is KvmState.USABLE

    def require(self) -> None:
        """Do nothing where KVM is usable.

        Raises:
            ProviderUnavailable: `provider.kvm`: it is not, and why.
        """
        if not self.is_usable:
            raise ProviderUnavailable(
                f"KVM cannot be used here: {self.reason}",
                code="provider.kvm",
                hint=self.remedy,
                details={"state": self.state.value, "evidence": self.evidence},
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class BootProof:
    """What shows that a whole machine boots.

    Attributes:
        vmm: The name of the VMM that runs it.
        boot: Boots a stock kernel with KVM to its first word, and ends it. Raises `ProviderUnavailable`, or another
            error of ours, where something is missing that it needs, and other kinds of `ProviderError` where the
            machine does not come up.
    """

    vmm: str
    boot: Callable[[], None]


def probe(*, proof: BootProof | None = None, cache: Path | None = None, device: str = kvm_trial.DEVICE) -> KvmFindings:
    """Find out whether KVM can run machines.

    Args:
        proof: Is asked for only where instructions run. None: nothing is booted.
        cache: A file that keeps the verdict until the host boots again; only its owner may be able to write to it.
        device: Where KVM is looked for.
    """
    known = _cached(cache)
    findings = _looked(device) or known or _tried(device)
    if findings.is_usable and proof is not None and proof.vmm not in findings.booted_by:
        findings = _booted(findings, proof)
    if findings != known and _is_lasting(findings):
        _keep(cache, findings)
    return findings


def _is_lasting(findings: KvmFindings) -> bool:
    """Return whether it stays so until the host boots again. What is absent or forbidden is soon seen, and mended."""
    if findings.state is KvmState.CRIPPLED:
        return bool(findings.evidence.get(kvm_trial.REFUSED)) and not findings.booted_by
    return findings.is_usable and bool(findings.booted_by)


def _looked(device: str) -> KvmFindings | None:
    """Return what opening it shows; None when it can be opened."""
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        return KvmFindings(state=KvmState.ABSENT, reason=f"there is no {device}", remedy=_absence_remedy())
    except PermissionError:
        return KvmFindings(
            state=KvmState.FORBIDDEN,
            reason=f"this user may not open {device}",
            remedy="sudo usermod -aG kvm $USER, and log in again",
        )
    except OSError as error:  # ENODEV, ENXIO: a name without a driver behind it
        return KvmFindings(
            state=KvmState.ABSENT,
            reason=f"there is no driver behind {device}: {error.strerror}",
            remedy=_absence_remedy(),
        )
    return None


def _tried(device: str) -> KvmFindings:
    """Run instructions in a process of their own, which the kernel can be freed of when it hangs in them."""
    command = [os.path.realpath(sys.executable), "-I", "-S", "-B", str(Path(kvm_trial.__file__).resolve()), device]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and file
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TRIAL_TIMEOUT_S,
            env={},
            check=False,
        )
        facts = json.loads(done.stdout) if done.returncode == 0 else {}
        error = facts.get("error") if facts else f"the trial ended with {quoted(done.stderr.decode(errors='replace'))}"
    except subprocess.TimeoutExpired:
        facts, error = {}, f"the trial did not end in {TRIAL_TIMEOUT_S:g} s"
    if error is None:
        return KvmFindings(state=KvmState.USABLE, reason="instructions run as on hardware", evidence=facts)
    return KvmFindings(
        state=KvmState.CRIPPLED,
        reason=f"{device} cannot run a stock kernel ({facts.get('stage', 'trial')}): {error}",
        remedy="use a host with hardware virtualisation, or QEMU, which here emulates in software",
        evidence=facts,
    )


def _booted(findings: KvmFindings, proof: BootProof) -> KvmFindings:
    try:
        proof.boot()
    except (CloisterError, OSError) as error:
        message = error.message if isinstance(error, CloisterError) else str(error)
        if isinstance(error, ProviderError) and not isinstance(error, ProviderUnavailable):
            return KvmFindings(
                state=KvmState.CRIPPLED,
                reason=f"a stock kernel does not boot with {proof.vmm}: {message}",
                remedy="try again, or use QEMU, which emulates in software where a boot fails",
                evidence={**findings.evidence, "boot": error.to_dict()},
            )
        # Nothing was tried, so nothing is known of KVM but what was known before
        return dataclasses.replace(
            findings,
            reason=f"instructions run as on hardware, but {proof.vmm} booted no machine: {message}",
            remedy=error.hint if isinstance(error, CloisterError) else None,
        )
    booted_by = (*findings.booted_by, proof.vmm)
    return KvmFindings(
        state=KvmState.USABLE,
        reason=f"a stock kernel boots with {' and '.join(booted_by)}",
        booted_by=booted_by,
        evidence=findings.evidence,
    )


def _absence_remedy() -> str | None:
    try:
        words = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").partition("\n\n")[0].split()
    except OSError:
        return None
    module = next((module for flag, module in _MODULES.items() if flag in words), None)
    if module is None:
        return "switch virtualisation on in the firmware, or nested virtualisation in the host of this machine"
    return f"sudo modprobe {module}"


def _boot_id() -> str:
    return _BOOT_ID.read_text(encoding="ascii").strip()


def _cached(cache: Path | None) -> KvmFindings | None:
    if cache is None:
        return None
    try:
        facts = json.loads(cache.read_bytes())
        known = facts["findings"]
        vmms = tuple(str(name) for name in known["booted_by"])
        findings = KvmFindings(**{**known, "state": KvmState(known["state"]), "booted_by": vmms})
        is_fresh = facts["boot_id"] == _boot_id()
    except (OSError, ValueError, KeyError, TypeError):  # none, or of another version
        return None
    return findings if is_fresh and _is_lasting(findings) else None


def _keep(cache: Path | None, findings: KvmFindings) -> None:
    if cache is None:
        return
    text = json.dumps({"boot_id": _boot_id(), "findings": asdict(findings)})
    fresh = cache.with_name(f"{cache.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(cache)
