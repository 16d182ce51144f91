"""The verifier printed in `docs/audit-format.md` accepts a chain of real runs and refuses tampered copies of it."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.governed import run_governed, sign_rule

from cloister.audit.event import PROVENANCE_NAMES, EventType
from cloister.audit.home import AuditHome, open_chain
from cloister.audit.rotation import rotate_key
from cloister.audit.schema import APPLICATION_ID, SCHEMA, SCHEMA_VERSION
from cloister.audit.signer import Signer
from cloister.authority.context import RuntimeContext
from cloister.clock import SystemClock
from cloister.errors import DeniedError, DigestMismatch, GuestError
from cloister.isolation.attestation import Attestation, Expectations, MeasuredEvent, TpmQuote
from cloister.isolation.provider import Usage
from cloister.plan.loading import load_plan
from cloister.plan.recorder import RunRecorder
from cloister.runtime import Runtime

PAGE = Path("docs/audit-format.md").read_text(encoding="utf-8")
(VERIFIER,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
PLAN = """
(step "outer"
  (step "inner" (call :ccos.io.read-file file))
  (try (call :ccos.io.read-file "/etc/not-granted") (catch e "refused"))
  (try (call :ccos.io.read-file 7) (catch e "malformed"))
  {:word 1.5 "text" [:a]})
"""


@dataclass(frozen=True)
class Recorded:
    home: Path
    verifier: Path

    @property
    def chain(self) -> Path:
        return self.home / "chain.sqlite3"

    def verify(self, *noted: str, key: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", str(self.verifier), str(self.chain), str(key or self.home / "keys/chain.pub")]
        return subprocess.run([*command, *noted], capture_output=True, text=True, timeout=60, check=False)

    def copy(self, to: Path) -> Recorded:
        return Recorded(shutil.copytree(self.home, to / "copy"), self.verifier)

    def execute(self, *statements: str) -> None:
        database = sqlite3.connect(self.chain)
        with database:
            for statement in statements:
                database.execute(statement)
        database.close()

    def events(self) -> list[dict[str, object]]:
        database = sqlite3.connect(self.chain)
        try:
            return [json.loads(event) for (event,) in database.execute("SELECT event FROM records ORDER BY sequence")]
        finally:
            database.close()


def record_attestations(home: Path) -> Attestation:
    """Record what a provider of virtual machines would have measured, and a refusal, as runs do."""
    digests = {name: "ab" * 32 for name in Attestation.__slots__ if name.endswith("_sha256")}
    texts = {"provider": "microvm", "vmm": "qemu", "vmm_version": "7.2", "accelerator": "tcg", "measured_at": "now"}
    measured, nothing = Attestation(**digests, **texts), Expectations()
    with open_chain(home, SystemClock()) as chain:
        recorder = RunRecorder(chain, "run-00")
        context = RuntimeContext.pure().to_dict()
        started = recorder.run_started(
            {"plan": None, "provider": "microvm", "isolation": "machine", "context": context}
        )
        recorder.attestation_measured(started, measured, nothing)
        recorder.attestation_refused(started, DigestMismatch("another kernel"), measured, nothing)
    rotate_key(AuditHome(home), SystemClock(), run_id="run-00")
    return measured


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Return the chain of a run of each kind: completed, failed, refused, and a command."""
    place = tmp_path_factory.mktemp("audit")
    verifier, file = place / "verifier.py", place / "file.txt"
    verifier.write_text(VERIFIER, encoding="utf-8")
    file.write_text("text", encoding="utf-8")
    context = RuntimeContext.controlled(capabilities=["ccos.io.read-file"], read=[str(file)])
    exec_context = RuntimeContext.controlled(capabilities=["cloister.exec"])
    record_attestations(place / "home")
    sign_rule(place / "home")
    with Runtime.open(place / "home") as runtime:
        plan = PLAN.replace('"/etc/not-granted"', '(str "/etc/" "not-granted")').replace(" 7)", " (+ 3 4))")
        runtime.run(plan, context=context, inputs={"file": str(file)})
        hinted = "(do ^{:runtime.learning.metrics true} (call :ccos.io.read-file file))"
        runtime.run(hinted, context=context, inputs={"file": str(file)})
        with pytest.raises(GuestError):
            runtime.run("(/ 1 0)", context=context)
        with pytest.raises(DeniedError):
            runtime.run('(call :ccos.io.read-file "/etc/not-granted")', context=context)
        run_governed(runtime)
        with runtime.session(context=exec_context, name="work") as session:
            session.upload("/tmp/f", b"content")
        runtime.execute(["true"], context=exec_context)
    return Recorded(place / "home", verifier)


def test_verifier_stands_alone() -> None:
    modules = set()
    for node in ast.walk(ast.parse(VERIFIER)):
        if isinstance(node, ast.Import):
            modules |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(str(node.module).partition(".")[0])
    assert modules == {"base64", "hashlib", "json", "sqlite3", "sys", "pathlib", "cryptography"}


def test_real_chain_verifies(recorded: Recorded) -> None:
    done = recorded.verify()
    assert (done.returncode, done.stderr) == (0, "")
    count, _, _ = done.stdout.strip().partition(":")
    assert int(count) == len(recorded.events())
    assert recorded.verify(done.stdout.strip()).returncode == 0
    assert recorded.verify("0:" + hashlib.sha256(b"").hexdigest()).returncode == 0


TAMPERINGS = {
    "content": ("UPDATE records SET event = replace(event, 'allow', 'deny ') WHERE sequence = 1",),
    "identifier": (
        "UPDATE records SET event = CAST(replace(CAST(event AS TEXT), 'run-', 'ran-') AS BLOB) WHERE sequence = 2",
    ),
    "removed in the middle": ("DELETE FROM records WHERE sequence = 3",),
    "removed at the end": ("DELETE FROM records WHERE sequence = (SELECT max(sequence) FROM records)",),
    "all removed": ("DELETE FROM records",),
    "exchanged": (
        "UPDATE records SET sequence = -1 WHERE sequence = 1",
        "UPDATE records SET sequence = 1 WHERE sequence = 2",
        "UPDATE records SET sequence = 2 WHERE sequence = -1",
    ),
    "misfiled": ("UPDATE records SET run_id = 'run-0' WHERE sequence = 0",),
    "filed under another type": ("UPDATE records SET event_type = 'run.failed' WHERE sequence = 0",),
    "filed under another plan": ("UPDATE records SET plan_id = 'p' WHERE sequence = 0",),
    "filed as a rotation": ("UPDATE records SET event_type = 'key.rotated' WHERE sequence = 4",),
    "leaf": ("UPDATE records SET leaf = zeroblob(32) WHERE sequence = 1",),
    "text as event": ("UPDATE records SET event = CAST(event AS TEXT) WHERE sequence = 1",),
    "signature": ("UPDATE head SET note = substr(note, 1, length(note) - 8) || CAST('AAAAAA=' || char(10) AS BLOB)",),
    "size in the head": (
        "UPDATE head SET note = CAST(replace(CAST(note AS TEXT), char(10), char(10) || '1') AS BLOB)",
    ),
    "text as head": ("UPDATE head SET note = CAST(note AS TEXT)",),
    "no head": ("DELETE FROM head",),
    "a checkpoint of no place": ("INSERT INTO checkpoints SELECT 3, note FROM head",),
    "a view": ("CREATE VIEW planted AS SELECT 1",),
}


@pytest.mark.parametrize("statements", TAMPERINGS.values(), ids=TAMPERINGS)
def test_tampered_chain_is_refused(recorded: Recorded, tmp_path: Path, statements: tuple[str, ...]) -> None:
    copy = recorded.copy(tmp_path)
    assert copy.verify().returncode == 0, "the untouched copy verifies"
    copy.execute(*statements)
    done = copy.verify()
    assert done.returncode == 1
    assert done.stderr.startswith("broken at record ")


def test_recomputed_leaves_do_not_help_without_the_key(recorded: Recorded, tmp_path: Path) -> None:
    copy = recorded.copy(tmp_path)
    database = sqlite3.connect(copy.chain)
    with database:
        for sequence, event in database.execute("SELECT sequence, event FROM records ORDER BY sequence").fetchall():
            forged = event.replace(b'"allow"', b'"deny "')
            leaf = hashlib.sha256(b"\0" + forged).digest()
            database.execute("UPDATE records SET event=?, leaf=? WHERE sequence=?", (forged, leaf, sequence))
    database.close()
    assert "no such checkpoint" in copy.verify().stderr


def test_foreign_key_is_refused(recorded: Recorded, tmp_path: Path) -> None:
    Signer.open(tmp_path / "other.key")
    assert "never signed" in recorded.verify(key=tmp_path / "other.pub").stderr


def test_rotations_are_followed_from_either_key(recorded: Recorded, tmp_path: Path) -> None:
    copy = recorded.copy(tmp_path)
    Signer.open(tmp_path / "other.key")
    with open_chain(copy.home, SystemClock()) as chain:
        for _ in range(260):
            chain.append(EventType.RUN_STARTED, run_id="run-01", durable=False)
    for _ in range(2):
        rotate_key(AuditHome(copy.home), SystemClock(), run_id="run-02")
        assert copy.verify().returncode == 0, "the head ends with the rotation"
        with open_chain(copy.home, SystemClock()) as chain:
            chain.append(EventType.RUN_STARTED, run_id="run-01")
    keys = sorted((copy.home / "keys").glob("chain*.pub"))
    assert len(keys) == 4
    assert {copy.verify(key=key).returncode for key in keys} == {0}
    assert "never signed" in copy.verify(key=tmp_path / "other.pub").stderr
    copy.execute("DELETE FROM checkpoints WHERE size > 256")
    assert {copy.verify(key=key).returncode for key in keys} == {1}


def test_noted_head_shows_a_rollback(recorded: Recorded, tmp_path: Path) -> None:
    earlier = recorded.copy(tmp_path)
    with Runtime.open(earlier.home) as runtime:
        runtime.run("1", context=RuntimeContext.pure())
    later = earlier.verify().stdout.strip()
    assert earlier.verify(later).returncode == 0
    assert "noted head" in recorded.verify(later).stderr


def described(heading: str) -> dict[str, tuple[str, ...]]:
    """Return the rows of the first table of a section that starts with a code span, by that span."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([a-z._-]+)` \| (.*?) \|$", section, re.MULTILINE)
    return {name: tuple(rest.split(" | ")) for name, rest in rows}


def test_event_types_and_bodies_are_the_described_ones(recorded: Recorded) -> None:
    rows = described("Events")
    types = {each.value for each in EventType}
    assert {name for name in rows if "." in name} == types
    assert all(f"`{name}`" in PAGE for name in PROVENANCE_NAMES)
    seen = set()
    for event in recorded.events():
        assert event.keys() == {name for name in rows if "." not in name}
        kind = str(event["event_type"])
        seen.add(kind)
        body = event["body"]
        assert isinstance(body, dict)
        words = set(re.findall(r"`(\w+)`", rows[kind][1]))
        assert body.keys() <= words, kind
        assert (event["parent"] is None) == (rows[kind][0] == "null"), kind
        assert set(event["provenance"]) <= set(PROVENANCE_NAMES)  # type: ignore[arg-type]
    reserved = {name for name, cells in rows.items() if cells[-1].startswith("reserved: ")}
    assert not reserved & seen, "these are written; say what their bodies hold"
    assert seen == types - reserved


def test_command_is_recorded_as_described(recorded: Recorded) -> None:
    *_, started, intent, outcome, completed = recorded.events()
    assert [each["event_type"] for each in (started, intent, outcome, completed)] == [
        "run.started",
        "call.intent",
        "call.outcome",
        "run.completed",
    ]
    assert started["body"].keys() == {"plan", "provider", "isolation", "context"}  # type: ignore[attr-defined]
    assert started["body"]["plan"] is None  # type: ignore[index]
    assert intent["capability_id"] == "cloister.exec"
    digest = hashlib.sha256(b'{"exit_status":0}').hexdigest()
    assert completed["body"]["result_sha256"] == outcome["body"]["result_sha256"] == digest  # type: ignore[index]


def test_shapes_inside_the_bodies_are_described(recorded: Recorded) -> None:
    contexts = [event["body"]["context"] for event in recorded.events() if event["event_type"] == "run.started"]  # type: ignore[index]
    for field in (*contexts[0], *Usage().to_dict()):
        assert f"`{field}`" in PAGE


def test_fields_of_an_attestation_are_described(tmp_path: Path) -> None:
    for name in (*record_attestations(tmp_path / "home").to_dict(), *TpmQuote.__slots__, *MeasuredEvent.__slots__):
        assert f"`{name}`" in PAGE


def test_schema_is_the_described_one() -> None:
    (block,) = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    assert block.splitlines() == list(SCHEMA.values())
    assert f"`0x{APPLICATION_ID:X}`" in PAGE
    assert f"`PRAGMA user_version` is {SCHEMA_VERSION}." in PAGE


def test_plan_digest_is_the_described_one(recorded: Recorded) -> None:
    digest = hashlib.sha256(b"cloister/program/v1\n")
    for part in ("(+ a b)", "a", "b"):
        digest.update(len(part.encode()).to_bytes(8, "big") + part.encode())
    assert load_plan("(+ a b)", ["b", "a"]).sha256 == digest.hexdigest()


def test_value_digests_are_the_described_ones(recorded: Recorded) -> None:
    completed = next(event["body"] for event in recorded.events() if event["event_type"] == "run.completed")
    value = {"~map": [[{"~keyword": "word"}, 1.5], ["text", [{"~keyword": "a"}]]]}
    data = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    assert isinstance(completed, dict)
    assert (completed["result_sha256"], completed["result_bytes"]) == (hashlib.sha256(data).hexdigest(), len(data))
