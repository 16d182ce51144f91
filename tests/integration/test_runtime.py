"""The Python interface: `Runtime`, what it returns, and that record and authority hold on every way out."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.governed import run_governed, sign_rule
from typer.testing import CliRunner

import cloister
from cloister.audit.event import EventType
from cloister.audit.home import AuditHome
from cloister.audit.signer import PublicKey
from cloister.audit.verify import verify_chain
from cloister.authority.registry import CapabilityRegistry
from cloister.capabilities.catalog import Catalog
from cloister.cli.main import app
from cloister.editor.diagnostics import problems
from cloister.errors import AppendFailed, CapabilityDenied, IsolationUnavailable, PathDenied, flattened
from cloister.plan.observer import SilentObserver

ADD = cloister.RuntimeContext.controlled(capabilities=["ccos.math.add"])


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[cloister.Runtime]:
    with cloister.Runtime.open(tmp_path / "home") as opened:
        yield opened


def recorded(home: Path) -> list[tuple[str, str | None]]:
    """Return type and capability of each record, after verifying the chain."""
    place = AuditHome(home)
    verify_chain(place.chain_path, PublicKey.load(place.public_key_path))
    with cloister.Runtime.open(home) as runtime:
        records = list(runtime.records())
    return [(record.event.event_type.value, record.event.capability_id) for record in records]


@pytest.mark.parametrize("provider", ["process", "mock"])
def test_value_comes_back_as_python_objects(runtime: cloister.Runtime, provider: str) -> None:
    result = runtime.run('{:a [1 2.5 "x" nil true] "b" :k}', context=ADD, provider=provider)
    assert result.value == {cloister.Keyword("a"): [1, 2.5, "x", None, True], "b": cloister.Keyword("k")}
    assert result.value_text == '{:a [1 2.5 "x" nil true] "b" :k}'
    assert result.provider == provider


@pytest.mark.parametrize("provider", ["process", "mock"])
def test_modules_go_into_the_sandbox_with_the_plan(runtime: cloister.Runtime, provider: str, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    plan, module = tmp_path / "plan.rtfs", tmp_path / "lib" / "sums.rtfs"
    plan.write_text("(import sums :as s)\n(s/safe (s/add 1 2))\n(s/add 1 :x)", encoding="utf-8")
    module.write_text(
        "(module sums (:exports [add safe])\n  (defmacro safe [x] `(try ~x (catch e nil)))\n"
        "  (defn add [a b]\n    (call :ccos.math.add a (+ b 0))))",
        encoding="utf-8",
    )
    with pytest.raises(cloister.GuestError) as caught:
        runtime.run(plan, context=ADD, provider=provider, module_paths=[module.parent])
    assert str(caught.value.span) == f"{module}:4:28"
    plan.write_text("(import sums :as s)\n(s/safe (s/add 1 2))", encoding="utf-8")
    result = runtime.run(plan, context=ADD, provider=provider, module_paths=[module.parent])
    assert result.value == 3
    started = [record for record in runtime.records(result.run_id) if record.event.event_type is EventType.RUN_STARTED]
    assert started[0].event.body["plan_sha256"] == runtime.check(plan, module_paths=[module.parent]).sha256


@pytest.mark.parametrize(
    "plan",
    [
        "(call :ccos.math.add 1 2)",
        "(call :no.such.thing 1)",
        "(call :no.such.thing 1)\n(call :no.such.other 1)\n(call :ccos.math.add 1)",
        "(foo 1)\n(bar 2)",
        '(call :ccos.io.read-file "/etc/passwd")',
    ],
)
def test_check_says_what_the_command_and_the_editor_say(runtime: cloister.Runtime, plan: str, tmp_path: Path) -> None:
    file = tmp_path / "plan.rtfs"
    file.write_text(plan, encoding="utf-8")
    done = CliRunner().invoke(app, ["check", "--json", str(file)])
    said = [(error["code"], error["span"]["line"]) for error in json.loads(done.stdout)["errors"]]
    try:
        runtime.check(file)
        told = []
    except cloister.CloisterError as error:
        told = [(each["code"], each["span"]["line"]) for each in flattened(error.to_dict())]
    assert told == said
    seen = [(problem.code, problem.place and problem.place[0]) for problem in problems(plan, "plan.rtfs")]
    assert seen == said


def test_check_uses_the_catalog_of_the_runtime(tmp_path: Path) -> None:
    nothing = Catalog(capabilities={}, registry=CapabilityRegistry([]))
    with cloister.Runtime.open(tmp_path / "home", catalog=nothing) as runtime:
        assert runtime.check("(+ 1 2)").effects == ()
        with pytest.raises(CapabilityDenied) as caught:
            runtime.check("(call :ccos.math.add 1 2)")
        assert caught.value.code == "denied.unknown-capability"
        assert list(runtime.records()) == []


def test_inputs_are_values_of_the_plan(runtime: cloister.Runtime) -> None:
    result = runtime.run("(get config :port)", context=ADD, inputs={"config": {cloister.Keyword("port"): 80}})
    assert result.value == 80


def test_calls_are_reported_with_their_decision(runtime: cloister.Runtime) -> None:
    result = runtime.run("(call :ccos.math.add 1 (call :ccos.math.add 2 3))", context=ADD)
    assert result.value == 6
    assert [(call.capability_id, call.allowed, call.error_code) for call in result.calls] == [
        ("ccos.math.add", True, None)
    ] * 2


def test_arun_gives_the_same(runtime: cloister.Runtime) -> None:
    async def both() -> list[int]:
        runs = [runtime.arun(f"(call :ccos.math.add {n} 1)", context=ADD) for n in (1, 2)]
        return [result.value for result in await asyncio.gather(*runs)]

    assert asyncio.run(both()) == [2, 3]


def test_refused_call_can_be_caught_and_is_recorded(runtime: cloister.Runtime, tmp_path: Path) -> None:
    context = cloister.RuntimeContext.controlled(capabilities=["ccos.io.read-file"], read=[str(tmp_path)])
    plan = "(try (call :ccos.io.read-file (str path)) (catch :SecurityViolation e (getMessage e)))"
    result = runtime.run(plan, context=context, inputs={"path": "/etc/hostname"})
    assert "outside the granted paths" in result.value
    assert [call.allowed for call in result.calls] == [False]
    runtime.close()
    assert recorded(tmp_path / "home") == [
        ("run.started", None),
        ("call.intent", "ccos.io.read-file"),
        ("call.outcome", "ccos.io.read-file"),
        ("run.completed", None),
    ]


def test_uncaught_refusal_is_the_error_of_the_run(runtime: cloister.Runtime, tmp_path: Path) -> None:
    context = cloister.RuntimeContext.controlled(capabilities=["ccos.io.read-file"], read=[str(tmp_path)])
    with pytest.raises(PathDenied) as caught:
        runtime.run("(call :ccos.io.read-file (str path))", context=context, inputs={"path": "/etc/hostname"})
    assert caught.value.code == "denied.path"
    assert caught.value.hint == "grant it with --read /etc/hostname"
    runtime.close()
    assert recorded(tmp_path / "home")[-1] == ("run.failed", None)


def test_admission_names_every_missing_grant_at_once(runtime: cloister.Runtime, tmp_path: Path) -> None:
    plan = '(do (call :ccos.io.read-file "/etc/hostname")\n (call :ccos.io.log "x"))'
    with pytest.raises(CapabilityDenied) as caught:
        runtime.run(plan, context=ADD)
    assert caught.value.span is not None
    assert (caught.value.span.line, caught.value.span.column) == (1, 5)
    (other,) = caught.value.details["also_refused"]
    assert (other["hint"], other["span"]["line"]) == ("grant it with --allow ccos.io.log", 2)
    runtime.close()
    assert recorded(tmp_path / "home") == [
        ("run.started", None),
        ("call.intent", "ccos.io.read-file"),
        ("call.outcome", "ccos.io.read-file"),
        ("call.intent", "ccos.io.log"),
        ("call.outcome", "ccos.io.log"),
        ("run.refused", None),
    ]


def test_limit_is_not_caught_by_the_plan(runtime: cloister.Runtime) -> None:
    limits = cloister.ResourceLimits(steps_count=1_000)
    context = cloister.RuntimeContext.pure(limits=limits)
    loop = "(try (loop [i 0] (if (< i {n}) (recur (+ i 1)) i)) (catch e :caught) (finally 1))"
    with pytest.raises(cloister.LimitExceeded) as caught:
        runtime.run(loop.format(n=100_000), context=context)
    assert caught.value.limit == "steps_count"
    assert runtime.run(loop.format(n=100), context=context).value == 100


def test_weaker_provider_than_demanded_is_refused(runtime: cloister.Runtime) -> None:
    demanding = cloister.RuntimeContext.pure(minimum_isolation=cloister.IsolationLevel.PROCESS)
    with pytest.raises(IsolationUnavailable):
        runtime.run("1", context=demanding, provider="mock")
    assert runtime.run("1", context=demanding, provider="process").value == 1


class BreakTheRecord(SilentObserver):
    """An intruder who rewrites the end of the chain while the first call is on its way."""

    def __init__(self, chain: Path) -> None:
        self._chain = chain

    def call_started(self, capability_id: str) -> None:
        database = sqlite3.connect(self._chain)
        with database:
            database.execute("UPDATE records SET leaf = ? WHERE sequence = 0", (bytes(32),))
            database.execute("DELETE FROM records WHERE sequence > 0")
        database.close()


@pytest.mark.parametrize("broken", [True, False])
def test_run_that_cannot_be_recorded_stops(runtime: cloister.Runtime, tmp_path: Path, broken: bool) -> None:
    work = tmp_path / "work"
    work.mkdir()
    context = cloister.RuntimeContext.controlled(
        capabilities=["ccos.math.add", "ccos.io.write-file"], write=[str(work.resolve())]
    )
    plan = f'(do (try (call :ccos.math.add 1 2) (catch e 0)) (call :ccos.io.write-file "{work}/after" "x"))'
    observer = BreakTheRecord(AuditHome(tmp_path / "home").chain_path) if broken else SilentObserver()
    if broken:
        with pytest.raises(AppendFailed):
            runtime.run(plan, context=context, observer=observer)
    else:
        runtime.run(plan, context=context, observer=observer)
    assert (work / "after").exists() is not broken


def test_every_event_type_is_used_by_some_run(tmp_path: Path) -> None:
    sign_rule(tmp_path / "home")
    runtime = cloister.Runtime.open(tmp_path / "home")
    run_governed(runtime)
    runtime.run('(step "s" ^{:runtime.learning.metrics true} (call :ccos.math.add 1 2))', context=ADD)
    for plan in ("(/ 1 0)", "(call :ccos.io.log 1)"):
        with pytest.raises(cloister.CloisterError):
            runtime.run(plan, context=ADD)
    with runtime.session(context=cloister.RuntimeContext.controlled(capabilities=["cloister.exec"])) as session:
        session.upload("/tmp/given", b"given")
    with pytest.raises(cloister.AttestationError):
        runtime.run("1", context=ADD, expected={"snapshot": "none"})
    runtime.close()
    # What measures is a provider of virtual machines: test_attestation.py; keys are rotated between runs
    others = {EventType.ATTESTATION_MEASURED.value, EventType.KEY_ROTATED.value}
    page = Path("docs/audit-format.md").read_text(encoding="utf-8")
    others |= set(re.findall(r"^\| `([a-z.-]+)` \| [^|]* \| reserved: ", page, re.MULTILINE))
    assert {name for name, _ in recorded(tmp_path / "home")} == {member.value for member in EventType} - others


def test_malformed_call_is_recorded_too(runtime: cloister.Runtime, tmp_path: Path) -> None:
    with pytest.raises(cloister.GuestError):
        runtime.run("(call :ccos.math.add (str x))", context=ADD, inputs={"x": "text"})
    runtime.close()
    assert recorded(tmp_path / "home") == [
        ("run.started", None),
        ("call.intent", "ccos.math.add"),
        ("call.outcome", "ccos.math.add"),
        ("run.failed", None),
    ]


class Interrupt(SilentObserver):
    def call_started(self, capability_id: str) -> None:
        raise KeyboardInterrupt


def test_interrupt_is_recorded_and_leaves(runtime: cloister.Runtime, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        runtime.run("(call :ccos.math.add 1 2)", context=ADD, observer=Interrupt())
    assert runtime.run("(call :ccos.math.add 1 2)", context=ADD).value == 3
    runtime.close()
    call = [("run.started", None), ("call.intent", "ccos.math.add"), ("call.outcome", "ccos.math.add")]
    assert recorded(tmp_path / "home") == [*call, ("run.failed", None), *call, ("run.completed", None)]


def test_interrupted_command_has_its_outcome_on_record(runtime: cloister.Runtime, tmp_path: Path) -> None:
    def interrupt(stream: str, piece: bytes) -> None:
        raise KeyboardInterrupt

    context = cloister.RuntimeContext.controlled(capabilities=["cloister.exec"])
    with pytest.raises(KeyboardInterrupt):
        runtime.execute(["echo", "x"], context=context, on_output=interrupt)
    assert runtime.execute(["echo", "x"], context=context).stdout == b"x\n"
    runtime.close()
    call = [("run.started", None), ("call.intent", "cloister.exec"), ("call.outcome", "cloister.exec")]
    assert recorded(tmp_path / "home") == [*call, ("run.failed", None), *call, ("run.completed", None)]


def test_run_ends_at_its_deadline_though_it_only_waits(runtime: cloister.Runtime) -> None:
    limits = cloister.ResourceLimits(wall_ms=400)
    context = cloister.RuntimeContext.controlled(capabilities=["ccos.system.sleep-ms"], limits=limits)
    with pytest.raises(cloister.LimitExceeded) as caught:
        runtime.run("(do (call :ccos.system.sleep-ms 30000) 1)", context=context)
    assert caught.value.limit == "wall_ms"
    assert runtime.run("(do (call :ccos.system.sleep-ms 1) 1)", context=context).value == 1


def test_what_a_plan_prints_is_bounded(runtime: cloister.Runtime) -> None:
    limits = cloister.ResourceLimits(output_bytes=1_000)
    context = cloister.RuntimeContext.controlled(capabilities=["ccos.io.println"], limits=limits)
    plan = '(dotimes [i {n}] (call :ccos.io.println "123456789"))'
    with pytest.raises(cloister.LimitExceeded) as caught:
        runtime.run(plan.format(n=101), context=context)
    assert caught.value.limit == "output_bytes"
    assert runtime.run(plan.format(n=100), context=context).value is None


def test_plan_that_is_no_file_is_refused_and_not_waited_for(runtime: cloister.Runtime, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(cloister.InputError) as caught:
            runtime.run(path, context=ADD)
        assert caught.value.code == "plan.unreadable"
    (tmp_path / "file").write_text("1", encoding="utf-8")
    assert runtime.run(tmp_path / "file", context=ADD).value == 1


def test_closed_runtime_says_so(tmp_path: Path) -> None:
    runtime = cloister.Runtime.open(tmp_path / "home")
    assert repr(runtime).endswith("open)")
    runtime.close()
    runtime.close()
    for act in (lambda: runtime.run("1", context=ADD), runtime.records, runtime.__enter__):
        with pytest.raises(cloister.InputError) as caught:
            act()
        assert caught.value.code == "input.closed"


def test_forgotten_runtime_is_named(tmp_path: Path) -> None:
    runtime = cloister.Runtime.open(tmp_path / "home")
    with pytest.warns(ResourceWarning, match="Runtime"):
        del runtime


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        ("echo hi", "input.argv"),
        ([], "input.argv"),
        (["echo", "hi\ud800"], "input.argv"),
        (["echo", "hi"], None),
    ],
)
def test_command_is_a_list_of_words(runtime: cloister.Runtime, argv: list[str], code: str | None) -> None:
    context = cloister.RuntimeContext.controlled(capabilities=["cloister.exec"])
    if code is None:
        assert runtime.execute(argv, context=context).stdout == b"hi\n"
        return
    with pytest.raises(cloister.InputError) as caught:
        runtime.execute(argv, context=context)
    assert caught.value.code == code


@pytest.mark.parametrize(("directory", "code"), [("/tmp/\ud800", "input.argv"), ("/tmp", None)])
def test_a_working_directory_has_whole_characters(runtime: cloister.Runtime, directory: str, code: str | None) -> None:
    context = cloister.RuntimeContext.controlled(capabilities=["cloister.exec"])
    if code is None:
        assert runtime.execute(["pwd"], context=context, working_directory=directory).stdout == b"/tmp\n"
        return
    with pytest.raises(cloister.InputError) as caught:
        runtime.execute(["pwd"], context=context, working_directory=directory)
    assert caught.value.code == code


def test_misspelt_public_name_is_found_by_a_type_checker(tmp_path: Path) -> None:
    for name, status in (("Runtime", 0), ("Runtme", 1)):
        program = tmp_path / f"{name}.py"
        program.write_text(f"import cloister\ncloister.{name}.open().close()\n", encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "mypy", "--strict", program], capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stdout


def test_records_say_the_hints_of_a_call_and_the_options_of_a_step(runtime: cloister.Runtime) -> None:
    plan = """(step "s" :context-keys ["k"] ^{:runtime.timeout 5} (call :ccos.math.add 1 2))
      (step "t" (call :ccos.math.add 1 2))"""
    runtime.run(plan, context=ADD)
    bodies = [(record.event.event_type, record.event.body) for record in runtime.records()]
    assert [body.get("options") for kind, body in bodies if kind == "step.started"] == [
        {"place": 0, "context_keys": ["k"]}, {"place": plan.index('(step "t"')},
    ]  # fmt: skip
    assert [body.get("hints") for kind, body in bodies if kind == "call.intent"] == ['"runtime.timeout" 5', None]


def test_records_say_in_which_step_a_call_was_made(runtime: cloister.Runtime) -> None:
    runtime.run('(step "outer" (step "inner" (call :ccos.math.add 1 2)))', context=ADD)
    started, *profiles, outer, inner, intent, _, _, _, _ = [record.event for record in runtime.records()]
    assert {each.event_type for each in profiles} == {EventType.STEP_PROFILE_DERIVED}
    assert [each.event_type.value for each in (outer, inner, intent)] == ["step.started", "step.started", "call.intent"]
    assert [each.parent for each in (outer, inner, intent)] == [started.sequence, outer.sequence, inner.sequence]


def test_exit_status_of_a_command_is_on_record(runtime: cloister.Runtime) -> None:
    context = cloister.RuntimeContext.controlled(capabilities=["cloister.exec"])
    runtime.execute(["sh", "-c", "exit 7"], context=context)
    outcomes = [record.event.body for record in runtime.records() if record.event.event_type == "call.outcome"]
    assert [(body["ok"], body["exit_status"]) for body in outcomes] == [(True, 7)]
