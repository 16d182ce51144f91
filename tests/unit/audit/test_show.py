from __future__ import annotations

from pathlib import Path

from cloister.audit.event import EventType
from cloister.audit.home import open_chain
from cloister.audit.show import shown
from cloister.clock import ManualClock


def test_each_record_becomes_one_line(tmp_path: Path) -> None:
    with open_chain(tmp_path / "home", ManualClock()) as chain:
        chain.append(EventType.RUN_STARTED, run_id="r", body={"plan": "report.rtfs"})
        chain.append(EventType.STEP_STARTED, run_id="r", body={"name": "list"})
        chain.append(
            EventType.CALL_INTENT, run_id="r", capability_id="c.a", body={"decision": "allow", "arguments": '"/a\x1b"'}
        )
        chain.append(EventType.CALL_OUTCOME, run_id="r", capability_id="c.a", body={"ok": True, "result_bytes": 12})
        failed = {"ok": False, "error": {"code": "denied.path", "message": "no"}}
        chain.append(EventType.CALL_OUTCOME, run_id="r", capability_id="c.a", body=failed)
        chain.append(EventType.STEP_ENDED, run_id="r", body={"name": "list", "ok": False, "error": "denied.path"})
        chain.append(EventType.RUN_REFUSED, run_id="r", body={"error": {"code": "denied.path", "message": "no"}})
        chain.append(EventType.RUN_FAILED, run_id="r", body={})
        chain.append(EventType.RUN_COMPLETED, run_id="r", body={"result_bytes": 3})
        machine = {"vmm": "qemu", "vmm_version": "7.2", "accelerator": "tcg", "image_sha256": "ab"}
        quoted = {"attestation": machine | {"tpm": {"nonce": "00"}}}
        chain.append(EventType.ATTESTATION_MEASURED, run_id="r", body={"attestation": machine | {"tpm": None}})
        chain.append(EventType.ATTESTATION_MEASURED, run_id="r", body=quoted)
        refused = {"error": {"code": "attestation.digest", "message": "no"}}
        chain.append(EventType.ATTESTATION_REFUSED, run_id="r", body=quoted | refused)
        chain.append(EventType.APPROVAL_GRANTED, run_id="r", body={"reason": "it is needed"})
        chain.append(EventType.APPROVAL_DENIED, run_id="r", body={"reason": "it is not"})
        chain.append(EventType.GOVERNANCE_DECIDED, run_id="r", body={"decision": "deny"})
        lines = list(shown(chain.records()))
    assert [(line.outcome, line.summary) for line in lines] == [
        (None, "report.rtfs"),
        (None, "list"),
        ("allow", '"/a\N{REPLACEMENT CHARACTER}"'),
        ("ok", "12 bytes"),
        ("error", "denied.path: no"),
        ("error", "list (denied.path)"),
        ("deny", "denied.path: no"),
        ("error", ""),
        ("ok", "3 bytes"),
        ("ok", "qemu 7.2 (tcg), image sha256:ab"),
        ("ok", "qemu 7.2 (tcg), image sha256:ab, quoted by its TPM"),
        ("deny", "attestation.digest: no"),
        ("allow", "it is needed"),
        ("deny", "it is not"),
        ("deny", ""),
    ]
    assert lines[2].to_dict()["capability_id"] == "c.a"
    assert [line.sequence for line in lines] == list(range(15))
