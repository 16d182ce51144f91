"""What is measured before a run is compared, recorded before anything is admitted, and can be verified afterwards."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.isolation.microvm.tpm.tpms import Started, attestation, quoted
from typer.testing import CliRunner, Result

import cloister
from cloister.audit.chain import CausalChain
from cloister.audit.home import open_chain
from cloister.authority.token import TokenIssuer, TokenVerifier
from cloister.canonical import encode, sha256_hex
from cloister.capabilities.catalog import builtin_catalog
from cloister.cli.main import app
from cloister.clock import ManualClock, SystemClock
from cloister.errors import (
    AppendFailed,
    AttestationError,
    CapabilityDenied,
    CloisterError,
    DigestMismatch,
    LaunchError,
    ProviderUnavailable,
)
from cloister.isolation.attestation import Attestation, Expectations
from cloister.isolation.microvm.tpm.quote import public_key_pem
from cloister.isolation.microvm.tpm.swtpm import SoftwareTpm
from cloister.isolation.mock import MockProvider
from cloister.isolation.process.provider import ProcessProvider
from cloister.isolation.provider import ExecutionContext, ExecutionResult, IsolationProvider
from cloister.limits import ResourceLimits
from cloister.plan.attesting import quote_machine
from cloister.plan.command import Surroundings, run_command
from cloister.plan.constitution_file import home_constitution
from cloister.plan.host_authorizer import make_authorizer
from cloister.plan.journal.store import RunStore
from cloister.plan.loading import load_plan
from cloister.plan.observer import SilentObserver
from cloister.plan.parts import Journal, RunParts
from cloister.plan.recorder import RunRecorder
from cloister.plan.result import RunResult
from cloister.plan.run import run_plan
from cloister.plan.session import SessionTerms, open_session
from cloister.plan.terms import RunTerms

OTHER = "ff" * 32
MEASURED = replace(attestation(None), tpm=None)
ADD = cloister.RuntimeContext.controlled(capabilities=["ccos.math.add"])
EXEC = cloister.RuntimeContext.controlled(capabilities=["cloister.exec"])
NOTHING = Expectations()
KERNEL = Expectations.parse({"kernel": f"sha256:{MEASURED.kernel_sha256}"})
OTHER_KERNEL = Expectations.parse({"kernel": f"sha256:{OTHER}"})


class Attesting(MockProvider):
    """A provider that says what it is told to have measured."""

    def __init__(self, verifier: TokenVerifier, said: Attestation | CloisterError) -> None:
        super().__init__(verifier, answers={("true",): ExecutionResult(value=None, exit_status=0)})
        self.said = said
        self.executions: list[ExecutionContext] = []
        self.asked: list[ResourceLimits] = []

    def attest(self, limits: ResourceLimits) -> Attestation:
        self.asked.append(limits)
        if isinstance(self.said, CloisterError):
            raise self.said
        return self.said

    def quote(self, nonce: bytes, limits: ResourceLimits) -> Attestation:
        del nonce
        return self.attest(limits)

    def execute(self, context: ExecutionContext, **named: Any) -> ExecutionResult:
        self.executions.append(context)
        return super().execute(context, **named)


class AttestingSessions(ProcessProvider):
    """The process provider, as if it measured."""

    def attest(self, limits: ResourceLimits) -> Attestation:
        del limits
        return MEASURED


@dataclass
class Bench:
    home: Path
    parts: RunParts
    verifier: TokenVerifier

    @property
    def chain(self) -> CausalChain:
        return self.parts.chain

    def provider(self, said: Attestation | CloisterError = MEASURED) -> Attesting:
        return Attesting(self.verifier, said)

    def run(self, plan: str, provider: IsolationProvider, expected: Expectations = NOTHING) -> RunResult:
        return run_plan(
            self.parts,
            load_plan(plan, (), ()),
            context=ADD,
            provider=provider,
            inputs={},
            observer=SilentObserver(),
            expected=expected,
            terms=RunTerms(),
        )

    def command(self, provider: IsolationProvider, expected: Expectations) -> ExecutionResult:
        around = Surroundings(
            context=EXEC, provider=provider, on_output=None, working_directory=None, expected=expected
        )
        return run_command(self.parts, ("true",), around, stdin=b"")

    def types(self) -> list[str]:
        return [record.event.event_type.value for record in self.chain.records()]

    def bodies(self, event_type: str) -> list[dict[str, Any]]:
        events = (record.event for record in self.chain.records())
        return [dict(event.body) for event in events if event.event_type.value == event_type]

    def cli(self, *words: str) -> Result:
        return CliRunner().invoke(app, ["attest", *words, "--home", str(self.home)])

    def json(self, *words: str) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.cli(*words, "--json").stdout)
        return data


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    clock, catalog = SystemClock(), builtin_catalog()
    issuer = TokenIssuer(clock.random_bytes(32), clock)
    with open_chain(tmp_path / "home", ManualClock()) as chain:
        parts = RunParts(
            chain=chain,
            clock=clock,
            catalog=catalog,
            authorizer=make_authorizer(catalog, protected=()),
            issuer=issuer,
            journal=Journal(RunStore.open(tmp_path / "home" / "runs.sqlite3")),
            constitution=home_constitution(tmp_path / "home"),
            verify_guardian=lambda signature, message: False,
        )
        yield Bench(tmp_path / "home", parts, issuer.verifier())


def test_it_is_recorded_before_anything_is_admitted(bench: Bench) -> None:
    provider = bench.provider()
    result = bench.run("(+ 1 2)", provider, KERNEL)
    assert bench.types() == ["run.started", "attestation.measured", "run.completed"]
    (body,) = bench.bodies("attestation.measured")
    assert body == {
        "sha256": MEASURED.sha256,
        "attestation": MEASURED.to_dict(),
        "expected": {"kernel": MEASURED.kernel_sha256},
    }
    assert (result.value, result.attestation, provider.asked) == (3, MEASURED, [ADD.limits])


def test_what_admission_refuses_was_attested_before(bench: Bench) -> None:
    with pytest.raises(CapabilityDenied):
        bench.run('(call :ccos.io.read-file "/x")', bench.provider())
    assert bench.types()[:3] == ["run.started", "attestation.measured", "call.intent"]


def test_a_provider_that_does_not_attest_leaves_no_such_record(bench: Bench) -> None:
    assert bench.run("1", MockProvider(bench.verifier)).attestation is None
    assert bench.types() == ["run.started", "run.completed"]


def start_session(bench: Bench, expected: Expectations) -> None:
    provider = AttestingSessions(bench.verifier)
    try:
        terms = SessionTerms(name="s")
        open_session(bench.parts, context=EXEC, provider=provider, terms=terms, expected=expected).close()
    finally:
        provider.close()


STARTS: dict[str, tuple[Callable[[Bench, Expectations], object], list[str]]] = {
    "plan": (lambda bench, expected: bench.run("1", bench.provider(), expected), ["run.started", "run.refused"]),
    "command": (
        lambda bench, expected: bench.command(bench.provider(), expected),
        ["run.started", "call.intent", "call.outcome", "run.failed"],
    ),
    "session": (start_session, ["session.started", "session.ended"]),
}


@pytest.mark.parametrize("kind", STARTS)
def test_another_digest_than_expected_is_refused_and_the_right_one_is_not(bench: Bench, kind: str) -> None:
    start, others = STARTS[kind]
    with pytest.raises(DigestMismatch) as caught:
        start(bench, OTHER_KERNEL)
    assert (caught.value.code, caught.value.exit_status) == ("attestation.digest", 7)
    types = bench.types()
    assert [each for each in types if each != "attestation.refused"] == others
    (body,) = bench.bodies("attestation.refused")
    assert (body["error"]["code"], body["attestation"]["kernel_sha256"]) == (
        "attestation.digest",
        MEASURED.kernel_sha256,
    )
    assert body["expected"] == {"kernel": OTHER}
    before = len(types)
    start(bench, KERNEL)
    assert "attestation.measured" in bench.types()[before:]


def test_nothing_is_executed_in_what_was_refused(bench: Bench) -> None:
    provider = bench.provider()
    with pytest.raises(DigestMismatch):
        bench.command(provider, OTHER_KERNEL)
    assert provider.executions == []
    bench.command(provider, KERNEL)
    assert len(provider.executions) == 1


@pytest.mark.parametrize("error", [DigestMismatch("the kernel was changed"), LaunchError("no", code="provider.exec")])
def test_a_measurement_that_fails_stops_the_run_and_is_recorded(bench: Bench, error: CloisterError) -> None:
    provider = bench.provider(error)
    with pytest.raises(type(error)) as caught:
        bench.run("1", provider)
    assert (caught.value, provider.executions) == (error, [])
    assert bench.types() == ["run.started", "attestation.refused", "run.refused"]
    (body,) = bench.bodies("attestation.refused")
    assert (body["error"]["code"], body["attestation"]) == (error.code, None)


@pytest.mark.parametrize("kind", ["plan", "command"])
def test_nothing_can_be_expected_of_a_provider_that_measures_nothing(bench: Bench, kind: str) -> None:
    answers = {("true",): ExecutionResult(value=None, exit_status=0)}
    provider = MockProvider(bench.verifier, answers=answers)
    start = (lambda e: bench.run("1", provider, e)) if kind == "plan" else (lambda e: bench.command(provider, e))
    with pytest.raises(AttestationError) as caught:
        start(KERNEL)
    assert (caught.value.code, caught.value.exit_status) == ("attestation.absent", 7)
    start(NOTHING)


def test_a_run_whose_measurement_cannot_be_recorded_stops(bench: Bench) -> None:
    provider = bench.provider()
    database = sqlite3.connect(bench.home / "chain.sqlite3")

    class Cut(Attesting):
        def attest(self, limits: ResourceLimits) -> Attestation:
            with database:  # the end of the chain is taken away meanwhile
                database.execute("DELETE FROM records")
            return super().attest(limits)

    cut = Cut(bench.verifier, MEASURED)
    bench.run("1", provider)
    with pytest.raises(AppendFailed):
        bench.run("1", cut)
    database.close()
    assert (len(provider.executions), cut.executions) == (1, [])


@pytest.fixture(scope="module")
def quoted_machine() -> Attestation:
    with SoftwareTpm.start(Started) as tpm:
        return attestation(quoted(tpm))


def test_a_quote_is_verified_before_it_is_recorded(bench: Bench, quoted_machine: Attestation) -> None:
    bench.run("1", bench.provider(quoted_machine))
    provider = bench.provider(replace(quoted_machine, agent_tree_sha256=OTHER))
    with pytest.raises(DigestMismatch):
        bench.run("1", provider)
    assert provider.executions == []
    assert bench.types()[2:] == ["run.completed", "run.started", "attestation.refused", "run.refused"]


def test_quoting_verifies_the_challenge_and_is_recorded(bench: Bench, quoted_machine: Attestation) -> None:
    nonce = bytes.fromhex(quoted_machine.tpm.nonce) if quoted_machine.tpm else b""
    made = quote_machine(bench.parts, bench.provider(quoted_machine), nonce)
    assert made.attestation == quoted_machine
    with pytest.raises(AttestationError, match="does not answer this challenge"):
        quote_machine(bench.parts, bench.provider(quoted_machine), bytes(32))
    with pytest.raises(AttestationError, match="no quote"):
        quote_machine(bench.parts, bench.provider(MEASURED), nonce)
    with pytest.raises(ProviderUnavailable) as caught:
        quote_machine(bench.parts, MockProvider(bench.verifier), nonce)
    assert caught.value.code == "provider.no-quotes"
    assert bench.types() == ["attestation.measured", "attestation.refused", "attestation.refused"]
    assert bench.json("verify", "--run", made.run_id)["quote_verified"] is True


def test_show_prints_digests_as_expect_takes_them(bench: Bench, quoted_machine: Attestation) -> None:
    result = bench.run("1", bench.provider(quoted_machine))
    shown = bench.cli("show", result.run_id)
    assert shown.exit_code == 0
    assert f"kernel        sha256:{MEASURED.kernel_sha256}" in shown.stdout
    assert "pcr 9         agent sha256:" in shown.stdout
    data = bench.json("show")
    assert data["attestation"] == quoted_machine.to_dict()
    assert (data["run"], data["error"]) == (result.run_id, None)
    assert data["tpm_public_key_pem"].startswith("-----BEGIN PUBLIC KEY-----\n")
    assert bench.cli("show", "run-0").exit_code == 6


def test_show_tells_of_a_refusal_and_verify_refuses_it(bench: Bench) -> None:
    with pytest.raises(DigestMismatch):
        bench.run("1", bench.provider(), OTHER_KERNEL)
    assert "refused: attestation.digest: kernel is not" in bench.cli("show").stdout
    refused = bench.json("verify")
    assert refused["error"]["code"] == "attestation.rejected"
    assert bench.cli("verify").exit_code == 7
    bench.run("1", bench.provider(), KERNEL)
    assert bench.cli("verify").exit_code == 0


def test_verify_compares_with_what_is_expected_now(bench: Bench, quoted_machine: Attestation) -> None:
    bench.run("1", bench.provider(quoted_machine))
    good = bench.cli("verify", "--expect", f"kernel=sha256:{MEASURED.kernel_sha256}", "--expect", "snapshot=none")
    assert (good.exit_code, "verified" in good.stdout, "quote         verified" in good.stdout) == (0, True, True)
    bad = bench.json("verify", "--expect", f"kernel=sha256:{OTHER}")
    assert (bad["ok"], bad["error"]["code"]) == (False, "attestation.digest")
    assert bench.cli("verify", "--expect", f"kernel=sha256:{OTHER}").exit_code == 7
    assert bench.cli("verify", "--expect", "kernel").exit_code == 2


def test_a_run_without_measurements_does_not_verify(bench: Bench) -> None:
    run_id = bench.run("1", MockProvider(bench.verifier)).run_id
    assert bench.json("verify", "--run", run_id)["error"]["code"] == "attestation.absent"
    assert bench.json("verify")["error"]["code"] == "attestation.absent"


def test_a_changed_record_does_not_verify(bench: Bench) -> None:
    bench.run("1", bench.provider())
    assert bench.cli("verify").exit_code == 0
    database = sqlite3.connect(bench.home / "chain.sqlite3")
    with database:
        database.execute("UPDATE records SET event = replace(event, 'a3a3', 'a3b3') WHERE sequence = 1")
    database.close()
    assert bench.json("verify")["error"]["code"] == "audit.broken"
    assert bench.json("show")["error"]["code"] == "audit.broken"


def test_verify_looks_at_the_whole_chain_and_show_at_records(bench: Bench) -> None:
    bench.run("1", bench.provider())
    database = sqlite3.connect(bench.home / "chain.sqlite3")
    with database:
        database.execute("UPDATE records SET event = x'7b7d' WHERE sequence = 2")
    database.close()
    assert bench.cli("show").exit_code == 0
    assert bench.json("verify")["error"]["code"] == "audit.broken"


@pytest.mark.parametrize(("expected", "code"), [(KERNEL, None), (OTHER_KERNEL, "attestation.digest")])
def test_a_record_that_contradicts_itself_does_not_verify(
    bench: Bench, expected: Expectations, code: str | None
) -> None:
    """Whoever held the key may have written it; what it says is still held against itself."""
    RunRecorder(bench.chain, "run-0").attestation_measured(None, MEASURED, expected)
    assert bench.json("verify").get("error", {}).get("code") == code


@pytest.mark.parametrize("agent", [None, OTHER])
def test_a_recorded_quote_is_verified_again(bench: Bench, quoted_machine: Attestation, agent: str | None) -> None:
    said = replace(quoted_machine, agent_tree_sha256=agent or quoted_machine.agent_tree_sha256)
    RunRecorder(bench.chain, "run-0").attestation_measured(None, said, NOTHING)
    verdict = bench.json("verify")
    if agent is None:
        assert verdict["quote_verified"] is True
    else:
        assert (verdict["error"]["code"], verdict["error"]["details"]["part"]) == ("attestation.digest", "agent")


def write_image(bench: Bench, **change: Any) -> str:
    """Put an image into the home whose manifest names what was measured, and return its digest."""
    manifest = {
        "format": "cloister-vm-image/1",
        "kernel": {"sha256": MEASURED.kernel_sha256},
        "initramfs": {"sha256": MEASURED.initramfs_sha256},
        "rootfs": {"sha256": MEASURED.rootfs_sha256},
        "agent": {"sha256": MEASURED.agent_sha256},
        "command_line_sha256": MEASURED.command_line_sha256,
    }
    data = encode(manifest | change)
    place = bench.home / "images" / "base"
    place.mkdir(parents=True, exist_ok=True)
    (place / "manifest.json").write_bytes(data)
    return sha256_hex(data)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"kernel": {"sha256": OTHER}}, "kernel"),
        ({"initramfs": {"sha256": OTHER}}, "initramfs"),
        ({"rootfs": None}, "rootfs"),
        ({"agent": {"sha256": OTHER}}, "agent"),
        ({"command_line_sha256": OTHER}, "command-line"),
    ],
)
def test_verify_compares_with_the_manifest_of_the_image(bench: Bench, change: dict[str, Any], part: str) -> None:
    bench.run("1", bench.provider(replace(MEASURED, image_sha256=write_image(bench, **change))))
    refused = bench.json("verify")["error"]
    assert (refused["code"], refused["details"]["part"]) == ("attestation.digest", part)
    bench.run("1", bench.provider(replace(MEASURED, image_sha256=write_image(bench))))
    assert bench.json("verify")["image"] == "base"


def test_a_manifest_that_is_none_is_refused(bench: Bench) -> None:
    bench.run("1", bench.provider(replace(MEASURED, image_sha256=write_image(bench, agent=1))))
    assert bench.json("verify")["error"]["code"] == "attestation.format"


@pytest.fixture
def handed_over(bench: Bench, quoted_machine: Attestation, tmp_path: Path) -> Path:
    """Return a file with what somebody printed elsewhere."""
    bench.run("1", bench.provider(quoted_machine))
    file = tmp_path / "attestation.json"
    file.write_text(bench.cli("show", "--json").stdout)
    return file


@pytest.fixture
def tpm_key(quoted_machine: Attestation, tmp_path: Path) -> Path:
    file = tmp_path / "tpm.pub"
    assert quoted_machine.tpm is not None
    file.write_bytes(public_key_pem(bytes.fromhex(quoted_machine.tpm.public_key)))
    return file


def test_a_file_is_verified_with_a_key_from_elsewhere(bench: Bench, handed_over: Path, tpm_key: Path) -> None:
    good = bench.json("verify", str(handed_over), "--public-key", str(tpm_key))
    assert (good["ok"], good["quote_verified"], good["chain_key_id"]) == (True, True, None)
    assert bench.json("verify", str(handed_over))["error"]["code"] == "attestation.key"
    chain_key = str(bench.home / "keys" / "chain.pub")
    assert bench.json("verify", str(handed_over), "--public-key", chain_key)["error"]["code"] == "attestation.key"
    with SoftwareTpm.start(Started) as other:
        tpm_key.write_bytes(public_key_pem(other.key.public_key))
    wrong = bench.cli("verify", str(handed_over), "--public-key", str(tpm_key))
    assert (wrong.exit_code, "attestation.signature" in wrong.stderr) == (7, True)


@pytest.mark.parametrize(
    "name", ["agent_tree_sha256", "boot_line_sha256", "policy_sha256", "rootfs_sha256", "capabilities_sha256"]
)
def test_a_file_that_says_something_else_than_its_quote_is_refused(
    bench: Bench, handed_over: Path, tpm_key: Path, name: str
) -> None:
    data = json.loads(handed_over.read_text())
    data["attestation"][name] = OTHER
    handed_over.write_text(json.dumps(data))
    assert bench.json("verify", str(handed_over), "--public-key", str(tpm_key))["error"]["code"] == "attestation.digest"


def test_a_file_without_quote_needs_an_expectation(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "attestation.json"
    file.write_text(json.dumps(MEASURED.to_dict() | {"attestation": MEASURED.to_dict()}))
    assert bench.json("verify", str(file))["error"]["code"] == "input.attestation"
    assert bench.json("verify", str(file), "--expect", f"agent=sha256:{MEASURED.agent_sha256}")["ok"] is True
    assert bench.cli("verify", str(file), "--expect", f"agent=sha256:{OTHER}").exit_code == 7


@pytest.mark.parametrize("text", ["", "{", "[]", '{"attestation": {}}', "[" * 100_000])
def test_a_file_that_is_no_attestation_is_refused(bench: Bench, tmp_path: Path, text: str) -> None:
    file = tmp_path / "attestation.json"
    file.write_text(text)
    result = bench.cli("verify", str(file), "--expect", f"agent=sha256:{OTHER}")
    assert result.exit_code in {2, 7}
    assert bench.cli("verify", str(tmp_path / "absent")).exit_code == 2


@pytest.mark.parametrize("words", [["--nonce", "zz"], ["--nonce", "00"]])
def test_a_nonce_of_another_form_is_refused(bench: Bench, words: list[str]) -> None:
    bench.chain.close()
    assert bench.json("quote", "--provider", "mock", *words)["error"]["code"] == "input.attestation"
    right = bench.json("quote", "--provider", "mock", "--nonce", "00" * 32)
    assert right["error"]["code"] == "provider.no-quotes"


def test_expect_on_the_command_line_reaches_the_run(tmp_path: Path) -> None:
    plan = tmp_path / "plan.rtfs"
    plan.write_text("(+ 1 2)")
    words = ["run", str(plan), "--provider", "mock", "--home", str(tmp_path / "home")]
    assert CliRunner().invoke(app, words).exit_code == 0
    for expected, status in ((f"kernel=sha256:{OTHER}", 7), ("kernel=abc", 2), ("kernel", 2)):
        assert CliRunner().invoke(app, [*words, "--expect", expected]).exit_code == status
    command = ["exec", "--expect", f"kernel=sha256:{OTHER}", "--home", str(tmp_path / "home"), "--", "true"]
    assert CliRunner().invoke(app, command).exit_code == 7
    session = ["session", "new", "--expect", f"kernel=sha256:{OTHER}", "--home", str(tmp_path / "home")]
    assert CliRunner().invoke(app, session).exit_code == 7
