"""KVM is told apart: none, forbidden, crippled, usable; and the verdict is kept until the host boots again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.unit.isolation.microvm.other_user import as_another_user

from cloister.errors import LaunchError, ProviderUnavailable
from cloister.isolation.microvm import kvm
from cloister.isolation.microvm.kvm import KvmFindings, KvmState

USABLE = KvmFindings(state=KvmState.USABLE, reason="instructions run as on hardware", evidence={"stage": "64-bit mode"})


def kept(path: Path, findings: KvmFindings, boot_id: str | None = None) -> None:
    kvm._keep(path, findings)
    if boot_id is not None:
        facts = json.loads(path.read_text())
        path.write_text(json.dumps(facts | {"boot_id": boot_id}))


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


def test_a_kernel_that_does_not_boot_is_the_last_word(tmp_path: Path) -> None:
    kept(tmp_path / "cache", USABLE)

    def boot() -> None:
        raise LaunchError("the kernel said nothing", code="provider.machine")

    assert kvm.probe(cache=tmp_path / "cache") == USABLE
    findings = kvm._booted(USABLE, boot)
    assert findings.state is KvmState.CRIPPLED
    assert "the kernel said nothing" in findings.reason
    booted = kvm._booted(USABLE, lambda: None)
    assert booted.is_usable
    assert booted.is_booted


def test_the_verdict_is_kept_until_the_host_boots_again(tmp_path: Path) -> None:
    kept(tmp_path / "cache", USABLE)
    assert kvm._cached(tmp_path / "cache", needs_boot=False) == USABLE
    assert kvm._cached(tmp_path / "cache", needs_boot=True) is None  # nothing was booted then
    kept(tmp_path / "cache", USABLE, boot_id="another")
    assert kvm._cached(tmp_path / "cache", needs_boot=False) is None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"boot_id": 1, "findings": {"state": "great"}}', "\xff"])
def test_a_damaged_verdict_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "cache").write_text(text)
    assert kvm._cached(tmp_path / "cache", needs_boot=False) is None


@pytest.mark.skipif(not os.access("/dev/kvm", os.R_OK | os.W_OK), reason="there is no /dev/kvm here")
def test_the_one_of_this_host_gets_a_verdict_with_evidence() -> None:
    findings = kvm.probe()
    assert findings.state in (KvmState.USABLE, KvmState.CRIPPLED)
    assert findings.evidence["stage"] in ("create", "real mode", "64-bit mode")
