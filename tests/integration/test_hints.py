"""Hints of plans, run for real: retries, time limits, fallbacks and the cache, and what the record says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import cloister
from cloister.authority.capability import CapabilitySpec
from cloister.authority.contract import Idempotency, Impact
from cloister.authority.registry import CapabilityRegistry
from cloister.capabilities.capability import Capability, Invocation
from cloister.capabilities.catalog import Catalog, builtin_catalog
from cloister.capabilities.contracts import COMPUTES
from cloister.errors import CapabilityDenied, GuestError

ALL = sorted(builtin_catalog().capabilities)
Run = Callable[..., Any]
Records = Callable[[], list[tuple[str, dict[str, Any]]]]


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[cloister.Runtime]:
    with cloister.Runtime.open(tmp_path / "home") as opened:
        yield opened


@pytest.fixture
def run(runtime: cloister.Runtime, tmp_path: Path) -> Run:
    work = tmp_path.resolve() / "work"
    work.mkdir()

    def evaluate(plan: str, capabilities: list[str] = ALL) -> Any:
        context = cloister.RuntimeContext.controlled(capabilities=capabilities, write=[str(work)])
        return runtime.run(plan, context=context, inputs={"dir": str(work)}).value

    return evaluate


@pytest.fixture
def records(runtime: cloister.Runtime) -> Records:
    return lambda: [(record.event.event_type.value, dict(record.event.body)) for record in runtime.records()]


def hints(found: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    return [body for kind, body in found if kind == "hint.applied"]


def test_a_failed_read_is_made_again_and_the_record_says_so(run: Run, records: Records) -> None:
    plan = """
      (try
        (do ^{:runtime.learning.retry {:max-retries 2 :backoff-ms 1}} (call :ccos.io.read-file (str dir "/none")))
        (catch :IoError e "gave up"))"""
    assert run(plan) == "gave up"
    (body,) = hints(records())
    assert body == {"retry": {"failures": ["guest.io"] * 3, "waited_ms": 3}}


def test_a_script_is_not_made_again_since_nobody_knows_what_it_did(run: Run, records: Records) -> None:
    plan = """
      (try
        (do ^{:runtime.learning.retry {:max-retries 2}} (call :ccos.sandbox.python "import sys; sys.exit(1)"))
        (catch :ScriptError e "failed"))"""
    assert run(plan) == "failed"
    (body,) = hints(records())
    assert body["retry"]["failures"] == ["guest.script"]
    assert body["skipped"] == {"retry": "contract: ask"}


def test_a_hinted_time_ends_a_sandbox_and_the_plan_goes_on(run: Run, records: Records) -> None:
    plan = """
      (try
        (do ^{:runtime.learning.timeout {:absolute-ms 300}} (call :ccos.sandbox.python "while True: pass"))
        (catch :ResourceError e "took too long"))"""
    assert run(plan) == "took too long"
    assert hints(records()) == [{"timeout": {"timeout_ms": 300}}]


def test_it_ends_a_wait_in_the_host_too(run: Run) -> None:
    plan = "(do ^{:runtime.learning.timeout {:absolute-ms 20}} (call :ccos.system.sleep-ms 60000))"
    with pytest.raises(GuestError) as caught:
        run(plan)
    assert caught.value.code == "guest.timeout"
    assert run("(do ^{:runtime.learning.timeout {:absolute-ms 20000}} (call :ccos.system.sleep-ms 1))") is None


FALLBACK = """
  (do ^{:runtime.learning.fallback {:capability :ccos.echo :args ["nothing"]}}
    (call :ccos.io.read-file (str dir "/none")))"""


def test_a_fallback_is_a_call_of_its_own_on_the_record(run: Run, records: Records) -> None:
    assert run(FALLBACK) == "nothing"
    found = records()
    calls = [kind for kind, _ in found if kind.startswith(("call.", "hint."))]
    assert calls == [
        "call.intent", "call.intent", "call.outcome", "hint.applied", "call.outcome",
    ]  # fmt: skip
    assert hints(found) == [{"fallback": {"capability_id": "ccos.echo", "after": "guest.io"}}]


def test_a_fallback_needs_its_own_grant(run: Run) -> None:
    with pytest.raises(CapabilityDenied) as caught:
        run(FALLBACK, ["ccos.io.read-file"])
    assert caught.value.code == "denied.capability"
    assert run(FALLBACK, ["ccos.io.read-file", "ccos.echo"]) == "nothing"


def test_what_was_read_is_kept_until_something_changes(run: Run, records: Records) -> None:
    plan = """
      (let [path (str dir "/f")
            _ (call :ccos.io.write-file path "one")
            read (fn [] (do ^{:runtime.learning.cache {:ttl-ms 60000}} (call :ccos.io.read-file path)))
            first (read)
            again (read)
            _ (call :ccos.io.write-file path "two")]
        [first again (read)])"""
    assert run(plan) == ["one", "one", "two"]
    assert [body["cache"]["hit"] for body in hints(records())] == [False, True, False]


def test_all_attempts_of_a_call_have_one_key_and_no_other_call_has_it(tmp_path: Path) -> None:
    keys: list[str] = []

    def fail(call: Invocation) -> Any:
        keys.append(call.idempotency_key)
        raise GuestError("busy", kind="NetworkError")

    def note(call: Invocation) -> Any:
        keys.append(call.idempotency_key)

    pay, log = (
        Capability(
            spec=CapabilitySpec(
                id=name, summary="A test.", returns="nothing", effects=frozenset({":compute"}),
                contract=replace(COMPUTES, idempotency=Idempotency.KEYED, impact=Impact.CHANGES),
            ),
            run=run,
        )
        for name, run in (("t.pay", fail), ("t.log", note))
    )  # fmt: skip
    catalog = Catalog(capabilities={"t.pay": pay, "t.log": log}, registry=CapabilityRegistry([pay.spec, log.spec]))
    plan = """
      (let [_ (do ^{:runtime.learning.retry {:max-retries 1 :backoff-ms 0}
                    :runtime.learning.fallback {:capability :t.log :args []}} (call :t.pay))]
        (call :t.log))"""
    with cloister.Runtime.open(tmp_path / "other", catalog=catalog) as runtime:
        context = cloister.RuntimeContext.controlled(capabilities=["t.pay", "t.log"])
        runtime.run(plan, context=context, provider="mock")
    first, second, fallback, later = keys
    assert first == second
    assert len({first, fallback, later}) == 3


def test_hints_that_are_out_of_bounds_fail_the_call_and_nothing_is_done(run: Run, records: Records) -> None:
    plan = """
      (try
        (do ^{:runtime.learning.retry {:max-retries 6}} (call :ccos.io.write-file (str dir "/f") "x"))
        (catch :InvalidArgument e (call :ccos.io.file-exists (str dir "/f"))))"""
    assert run(plan) is False
    outcomes = [body for kind, body in records() if kind == "call.outcome"]
    assert outcomes[0]["error"]["code"] == "guest.hint"


def test_unknown_hints_stay_in_the_record_of_the_call_alone(run: Run, records: Records) -> None:
    assert run('(do ^{:runtime.learning.validation {:a 1}} (call :ccos.echo "x"))') == "x"
    found = records()
    assert hints(found) == []
    assert [body["hints"] for kind, body in found if kind == "call.intent"] == ['"runtime.learning.validation" {:a 1}']
