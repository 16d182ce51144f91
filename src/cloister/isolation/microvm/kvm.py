"""Whether KVM can run machines here, found out by running some.

Owns the verdict and its cache. That there is a /dev/kvm says little: a host that is a guest itself may offer one that
creates machines and cannot boot a kernel in them. So instructions are run first, which is quick, and then, where the
caller can, a real kernel is booted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from cloister.errors import LaunchError, ProviderUnavailable, quoted
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
        is_booted: Whether a real kernel was booted, not only instructions run.
        evidence: What was measured.
    """

    state: KvmState
    reason: str
    remedy: str | None = None
    is_booted: bool = False
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


def probe(
    *, boot: Callable[[], None] | None = None, cache: Path | None = None, device: str = kvm_trial.DEVICE
) -> KvmFindings:
    """Find out whether KVM can run machines.

    Args:
        boot: Boots a stock kernel with KVM to its first word, and ends it; raises `LaunchError` when it does not. None:
            only instructions are run.
        cache: A file that keeps the verdict until the host boots again; only its owner may be able to write to it.
        device: Where KVM is looked for.
    """
    known = _cached(cache, needs_boot=boot is not None)
    if known is not None:
        return known
    findings = _looked(device) or _tried(device)
    if findings.is_usable and boot is not None:
        findings = _booted(findings, boot)
    if findings.state in (KvmState.USABLE, KvmState.CRIPPLED):  # the others cost nothing, and people mend them
        _keep(cache, findings)
    return findings


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


def _booted(findings: KvmFindings, boot: Callable[[], None]) -> KvmFindings:
    try:
        boot()
    except LaunchError as error:
        return KvmFindings(
            state=KvmState.CRIPPLED,
            reason=f"a stock kernel does not boot: {error.message}",
            remedy="use QEMU, which here emulates in software",
            evidence={**findings.evidence, "boot": error.to_dict()},
        )
    return KvmFindings(state=KvmState.USABLE, reason="a stock kernel boots", is_booted=True, evidence=findings.evidence)


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


def _cached(cache: Path | None, *, needs_boot: bool) -> KvmFindings | None:
    if cache is None:
        return None
    try:
        facts = json.loads(cache.read_bytes())
        findings = KvmFindings(**{**facts["findings"], "state": KvmState(facts["findings"]["state"])})
        is_fresh = facts["boot_id"] == _boot_id()
    except (OSError, ValueError, KeyError, TypeError):  # none, or of another version
        return None
    is_enough = findings.is_booted or not needs_boot or not findings.is_usable
    return findings if is_fresh and is_enough else None


def _keep(cache: Path | None, findings: KvmFindings) -> None:
    if cache is None:
        return
    text = json.dumps({"boot_id": _boot_id(), "findings": asdict(findings)})
    fresh = cache.with_name(f"{cache.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(cache)
