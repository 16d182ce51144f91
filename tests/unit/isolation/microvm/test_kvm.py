"""KVM is told apart: none, forbidden, crippled, usable; and the verdict is kept until the host boots again."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.isolation.microvm.other_user import as_another_user

from cloister.errors import LaunchError, ProviderUnavailable, SignatureInvalid
from cloister.isolation.microvm import kvm, kvm_trial
from cloister.isolation.microvm.kvm import BootProof, KvmFindings, KvmState

USABLE = KvmFindings(state=KvmState.USABLE, reason="instructions run as on hardware", evidence={"stage": "64-bit mode"})
BOOTED = replace(USABLE, reason="a stock kernel boots with qemu", booted_by=("qemu",))
REFUSED = KvmFindings(state=KvmState.CRIPPLED, reason="instructions stopped", evidence={"refused": True})
LATE = KvmFindings(state=KvmState.CRIPPLED, reason="the trial did not end in 15 s")


def kept(path: Path, findings: KvmFindings, boot_id: str | None = None) -> None:
    kvm._keep(path, findings)
    if boot_id is not None:
        facts = json.loads(path.read_text())
        path.write_text(json.dumps(facts | {"boot_id": boot_id}))


class Boots:
    """A VMM that boots, or fails."""

    def __init__(self, vmm: str = "qemu", error: Exception | None = None) -> None:
        self.count = 0
        self._error = error
        self.proof = BootProof(vmm=vmm, boot=self._boot)

    def _boot(self) -> None:
        self.count += 1
        if self._error is not None:
            raise self._error


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[KvmFindings], str]:
    """Make instructions show this, on a device that can be opened."""
    path = tmp_path / "kvm"
    path.touch()

    def shows(findings: KvmFindings) -> str:
        monkeypatch.setattr(kvm, "_tried", lambda _: findings)
        return str(path)

    return shows


def test_there_is_none(tmp_path: Path) -> None:
    findings = kvm.probe(device=str(tmp_path / "kvm"), cache=tmp_path / "cache")
    assert findings.state is KvmState.ABSENT
    assert not (tmp_path / "cache").exists()
    with pytest.raises(ProviderUnavailable) as caught:
        findings.require()
    assert caught.value.code == "provider.kvm"


def test_it_is_forbidden(tmp_path: Path) -> None:
    device = tmp_path / "kvm"
    device.touch()
    device.chmod(0)
    findings = as_another_user(lambda: (found := kvm.probe(device=str(device))).state + " " + str(found.remedy))
    assert findings.startswith("forbidden sudo usermod")


def test_what_is_no_kvm_is_crippled_and_says_where() -> None:
    findings = kvm.probe(device="/dev/null")
    assert findings.state is KvmState.CRIPPLED
    assert "(create)" in findings.reason


def test_a_kernel_that_does_not_boot_is_the_last_word_but_not_for_ever(tmp_path: Path, device) -> None:
    cache = tmp_path / "cache"
    broken = Boots(error=LaunchError("the kernel said nothing", code="provider.machine"))
    findings = kvm.probe(device=device(USABLE), cache=cache, proof=broken.proof)
    assert findings.state is KvmState.CRIPPLED
    assert "the kernel said nothing" in findings.reason
    assert not cache.exists()
    mended = Boots()
    assert kvm.probe(device=device(USABLE), cache=cache, proof=mended.proof) == BOOTED
    assert mended.count == 1


@pytest.mark.parametrize(
    "error",
    [
        ProviderUnavailable("there is no firecracker on PATH", hint="install it"),
        SignatureInvalid("the image is another's"),
        FileNotFoundError(2, "No such file or directory"),
    ],
)
def test_a_vmm_that_cannot_be_tried_says_nothing_of_kvm(tmp_path: Path, device, error: Exception) -> None:
    missing = Boots("firecracker", error)
    findings = kvm.probe(device=device(USABLE), cache=tmp_path / "cache", proof=missing.proof)
    assert (findings.is_usable, findings.booted_by, missing.count) == (True, (), 1)
    assert str(getattr(error, "message", error)) in findings.reason
    assert not (tmp_path / "cache").exists()


def test_what_is_neither_ours_nor_the_systems_is_a_defect_and_comes_out(device) -> None:
    with pytest.raises(ZeroDivisionError):
        kvm.probe(device=device(USABLE), proof=Boots(error=ZeroDivisionError()).proof)


def test_a_machine_that_booted_is_not_booted_again_until_the_host_is(tmp_path: Path, device) -> None:
    cache, boots = tmp_path / "cache", Boots()
    for _ in range(2):
        assert kvm.probe(device=device(USABLE), cache=cache, proof=boots.proof) == BOOTED
    assert boots.count == 1
    kept(cache, BOOTED, boot_id="another")
    assert kvm.probe(device=device(USABLE), cache=cache, proof=boots.proof) == BOOTED
    assert boots.count == 2


def test_another_vmm_is_tried_itself_and_both_are_kept(tmp_path: Path, device) -> None:
    cache, other = tmp_path / "cache", Boots("firecracker")
    kept(cache, BOOTED)
    findings = kvm.probe(device=device(LATE), cache=cache, proof=other.proof)
    assert (findings.booted_by, other.count) == (("qemu", "firecracker"), 1)
    assert kvm.probe(device=device(LATE), cache=cache, proof=Boots().proof) == findings


def test_another_vmm_that_fails_takes_nothing_from_the_first(tmp_path: Path, device) -> None:
    cache = tmp_path / "cache"
    kept(cache, BOOTED)
    failing = Boots("firecracker", LaunchError("it ended", code="provider.machine"))
    assert not kvm.probe(device=device(USABLE), cache=cache, proof=failing.proof).is_usable
    assert kvm.probe(device=device(USABLE), cache=cache, proof=Boots().proof) == BOOTED


def test_what_instructions_refuse_is_kept_and_no_machine_is_booted(tmp_path: Path, device) -> None:
    cache, boots = tmp_path / "cache", Boots()
    assert kvm.probe(device=device(REFUSED), cache=cache, proof=boots.proof) == REFUSED
    assert kvm.probe(device=device(USABLE), cache=cache, proof=boots.proof) == REFUSED
    assert boots.count == 0


def test_what_may_be_the_moments_is_not_kept(tmp_path: Path, device) -> None:
    cache = tmp_path / "cache"
    assert kvm.probe(device=device(LATE), cache=cache) == LATE
    assert kvm.probe(device=device(USABLE), cache=cache) == USABLE
    assert not cache.exists()
    assert kvm.probe(device=device(LATE), cache=cache) == LATE


@pytest.mark.parametrize("findings", [USABLE, LATE])
def test_what_should_not_have_been_kept_is_not_believed(tmp_path: Path, findings: KvmFindings) -> None:
    kept(tmp_path / "cache", findings)
    assert kvm._cached(tmp_path / "cache") is None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"boot_id": 1, "findings": {"state": "great"}}', "\xff"])
def test_a_damaged_verdict_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "cache").write_text(text)
    assert kvm._cached(tmp_path / "cache") is None


def test_a_verdict_of_an_earlier_version_is_none(tmp_path: Path) -> None:
    kept(tmp_path / "cache", BOOTED)
    facts = json.loads((tmp_path / "cache").read_text())
    del facts["findings"]["booted_by"]
    facts["findings"]["is_booted"] = True
    (tmp_path / "cache").write_text(json.dumps(facts))
    assert kvm._cached(tmp_path / "cache") is None


class Machine:
    """The trial's machine, that ends so."""

    def __init__(self, end: OSError | tuple[str, bytes]) -> None:
        self._end = end

    def __call__(self, _: int) -> Machine:
        return self

    def run(self) -> tuple[str, bytes]:
        if isinstance(self._end, OSError):
            raise self._end
        return self._end

    def address(self) -> int:
        return 0


@pytest.mark.parametrize(
    ("end", "used_s", "is_refused"),
    [
        (OSError(errno.EINTR, "interrupted"), kvm_trial.LOOP_LIMIT_S, True),
        (OSError(errno.EINTR, "interrupted"), 0.1, False),  # a busy host
        (OSError(errno.ENOMEM, "no memory"), 0.1, False),
        (OSError(errno.EIO, "refused"), 0.1, True),
        (("internal error", b""), 0.1, True),
    ],
)
def test_a_trial_says_whether_it_is_the_instructions_word(monkeypatch, end, used_s: float, is_refused: bool) -> None:
    monkeypatch.setattr(kvm_trial, "_Machine", Machine(end))
    for name in ("_real_mode", "_long_mode"):
        monkeypatch.setattr(kvm_trial, name, lambda _: None)
    monkeypatch.setattr(kvm_trial.fcntl, "ioctl", lambda *_: kvm_trial.API_VERSION)
    monkeypatch.setattr(kvm_trial.time, "process_time", lambda: used_s)
    facts = kvm_trial.trial("/dev/null")
    assert facts["error"]
    assert facts[kvm_trial.REFUSED] is is_refused


@pytest.mark.skipif(not os.access("/dev/kvm", os.R_OK | os.W_OK), reason="there is no /dev/kvm here")
def test_the_one_of_this_host_gets_a_verdict_with_evidence() -> None:
    findings = kvm.probe()
    assert findings.state in (KvmState.USABLE, KvmState.CRIPPLED)
    assert findings.evidence["stage"] in ("create", "real mode", "64-bit mode")


def test_what_was_found_before_does_not_hide_that_there_is_none_now(tmp_path: Path) -> None:
    kept(tmp_path / "cache", BOOTED)
    assert kvm.probe(device=str(tmp_path / "kvm"), cache=tmp_path / "cache").state is KvmState.ABSENT
    (tmp_path / "kvm").touch()
    assert kvm.probe(device=str(tmp_path / "kvm"), cache=tmp_path / "cache") == BOOTED
