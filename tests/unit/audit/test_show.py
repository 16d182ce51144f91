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
        chain.append(EventType.APPROVAL_GRANTED, run_id="r", body={"by": "ada", "reason": "it is needed"})
        chain.append(EventType.APPROVAL_DENIED, run_id="r", body={"by": "bob\x1b", "reason": ""})
        chain.append(EventType.GOVERNANCE_DECIDED, run_id="r", body={"decision": "deny"})
        bound = {"dimension": "calls", "unit": "count", "allowed": 2}
        chain.append(EventType.BUDGET_WARNED, run_id="r", body=bound | {"percent": 50})
        chain.append(EventType.BUDGET_EXTENDED, run_id="r", body=bound | {"amount": 2})
        storage = {"dimension": "storage", "unit": "bytes", "allowed": 9}
        chain.append(EventType.BUDGET_EXHAUSTED, run_id="r", body=storage)
        chain.append(EventType.RUN_RESUMED, run_id="r", body={"calls": 2, "abort": False})
        chain.append(EventType.RUN_RESUMED, run_id="r", body={"calls": 2, "abort": True})
        profile = {"step_name": None, "capabilities": ["c.a", "c.b"]}
        chain.append(EventType.STEP_PROFILE_DERIVED, run_id="r", body=profile)
        chain.append(EventType.STEP_PROFILE_DERIVED, run_id="r", body={"step_name": "s", "capabilities": []})
        loaded = {"policy": "constitution", "path": "/h/constitution.toml", "version": 3}
        chain.append(EventType.POLICY_LOADED, run_id="r", body=loaded)
        chain.append(EventType.HINT_APPLIED, run_id="r", body={"retry": {}, "cache": {}})
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
        ("allow", "by ada: it is needed"),
        ("deny", "by bob\N{REPLACEMENT CHARACTER}"),
        ("deny", ""),
        (None, "calls: 50 %, 2 allowed"),
        (None, "calls: 2 more, 2 allowed"),
        ("deny", "storage: all, 9 bytes allowed"),
        (None, "goes on after 2 calls"),
        (None, "to be ended after 2 calls"),
        (None, "outside of steps: c.a, c.b"),
        (None, "s: nothing"),
        (None, "constitution /h/constitution.toml, version 3"),
        (None, "cache, retry"),
    ]
    assert lines[2].to_dict()["capability_id"] == "c.a"
    assert [line.sequence for line in lines] == list(range(24))
