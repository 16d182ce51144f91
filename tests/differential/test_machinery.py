"""What compares engines finds planted defects, makes them small, and compares no more and no less than it says."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.differential.campaign import check, check_seeds, compiled
from tests.differential.engines import ENGINES, Fact
from tests.differential.explore import explore, main
from tests.differential.forms_tree import parse, to_text
from tests.differential.grammar import generate
from tests.differential.measure import Statistics
from tests.differential.outcome import Failure, Pair, Record, Verdict, compare, leaves_out, record
from tests.differential.planted import (
    WRONG_END,
    WRONG_VALUE,
    ends_process,
    never_returns,
    no_hints,
    wrong_place,
    wrong_value,
)
from tests.differential.shrink import shrink
from tests.differential.structure import structure
from tests.differential.workers import Task
from tests.differential.world import INPUTS, World

from cloister.errors import CloisterError, GuestError
from cloister.lang.growing import growing_vector
from cloister.lang.host import Host
from cloister.lang.program import Outcome, Program, run_program
from cloister.lang.values import ErrorValue, Keyword, List, Map, Symbol, Value
from cloister.limits import ResourceLimits

ALL = frozenset(Fact)
STOPPED = Failure(type="LimitExceeded", code="limit.steps", kind=None, message="", limit="steps_count")
TOO_LARGE = Failure(type="LimitExceeded", code="limit.value", kind=None, message="9 bytes", limit="value_bytes")
TOO_DEEP = Failure(type="LimitExceeded", code="limit.depth", kind=None, message="", limit="depth_count")
CALLED = ("call", "echo", ("vector",))
ENDED = ("step ended", "a", "limit.steps")


def test_a_wrong_value_is_found_and_shrinks_to_the_one_name_that_is_wrong() -> None:
    statistics, findings = check_seeds(Pair(ENGINES["python"](), wrong_value()), range(300))
    assert findings
    assert {finding.minimal for finding in findings} == {WRONG_VALUE}
    assert {finding.differs for finding in findings} == {"value"}
    assert statistics.compared > 250


def test_the_twin_of_a_planted_defect_shows_no_difference() -> None:
    _, findings = check_seeds(Pair(ENGINES["python"](), ENGINES["python"]()), range(300))
    assert not findings


def test_words_to_the_host_that_are_missing_are_found() -> None:
    _, findings = check_seeds(Pair(ENGINES["python"](), no_hints()), range(200))
    assert findings
    for finding in findings:
        assert finding.differs == "notes"
        assert "^{:runtime." in finding.minimal
        assert "(call" in finding.minimal
        assert len(finding.minimal) < 60


def test_calls_that_an_error_does_not_name_are_found() -> None:
    _, findings = check_seeds(Pair(ENGINES["python"](), wrong_place()), range(60))
    assert findings
    assert {finding.differs for finding in findings} == {"trace"}
    assert sum(len(finding.minimal) < 80 for finding in findings) > len(findings) // 2


def test_an_engine_that_ends_its_process_is_a_difference_and_the_rest_is_compared() -> None:
    first = _seed_of_wrong_end()
    out = io.StringIO()
    seeds = range(first - 30, first + 60)
    statistics, findings_count = explore(
        Task(left=ENGINES["python"], right=ends_process, seeds=seeds), out, io.StringIO()
    )
    assert findings_count >= 1
    assert f"seed {first} differs in crash:\n    {WRONG_END}\n  the process ended with 86\n" in out.getvalue()
    assert statistics.programs > 40


def test_an_engine_that_never_returns_is_a_difference() -> None:
    seed = _seed_of_wrong_end()
    out = io.StringIO()
    task = Task(left=ENGINES["python"], right=never_returns, seeds=range(seed, seed + 1), shrinks=False, hang_s=6)
    assert explore(task, out, io.StringIO())[1] == 1
    assert f"seed {seed} differs in hang:\n" in out.getvalue()


def _seed_of_wrong_end() -> int:
    """Return a seed whose program names the builtin that planted engines end their process at."""
    return next(seed for seed in range(20_000, 30_000) if f"({WRONG_END} " in generate(seed) and _is_program(seed))


def _is_program(seed: int) -> bool:
    try:
        compiled(generate(seed))
    except CloisterError:
        return False
    return True


def test_the_command_fails_only_when_there_is_a_difference(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--count", "60", "--seed", "5", "--jobs", "2", "--engine-b", "walk"]) == 0
    assert "differences 0" in capsys.readouterr().out
    assert main(["--count", "60", "--seed", "5", "--jobs", "1", "--engine-b", "planted-trace", "--no-shrink"]) == 1
    assert "differs in trace" in capsys.readouterr().out
    assert main(["--show", "5", "--engine-b", "walk"]) == 0
    assert "both: " in capsys.readouterr().out


def test_shrinking_ends_at_a_program_of_which_nothing_can_be_cut() -> None:
    text = '(let [a (map inc [1 2 3]) b "some text"] (if (> 5 (count a)) {:k [a b 123456]} (str b ~@c)))'
    assert shrink(text, lambda each: "inc" in each and "123" in each) == "(inc 123)"
    assert shrink(text, lambda each: "text" in each) == '"text"'
    assert shrink("(f 1)", lambda each: False) == "(f 1)"


def test_shrinking_puts_a_value_in_place_of_its_name() -> None:
    def shows(text: str) -> bool:
        try:
            return "reverse" in text and "7 " in text and record(ENGINES["python"](), compiled(text)).text == "[8 7]"
        except CloisterError:
            return False

    assert shrink("(let [x 7 y (inc x)] (reverse [x y]))", shows) == "(reverse [7 (inc 7)])"


def test_shrinking_asks_no_more_often_than_it_may() -> None:
    asked: list[str] = []

    def shows(text: str) -> bool:
        asked.append(text)
        return False

    shrink(generate(2), shows, 25)
    assert len(asked) == len(set(asked)) <= 25


@pytest.mark.parametrize("seed", range(0, 200, 7))
def test_a_tree_is_spelled_as_the_program_it_was_parsed_from(seed: int) -> None:
    text = generate(seed)
    spelled = to_text(parse(text))
    assert to_text(parse(spelled)) == spelled
    pair = Pair(ENGINES["walk"](), ENGINES["walk"]())
    statistics = Statistics()
    check(pair, text, statistics)
    check(pair, spelled, statistics)
    ends = statistics.ends + statistics.refused
    assert set(ends.values()) == {2}, "both texts end alike"


def test_limits_of_work_drop_the_end_but_not_what_the_host_was_told() -> None:
    stopped = Record(failure=STOPPED, notes=(CALLED, ENDED))
    assert compare(stopped, Record(text="1", value="1", notes=(CALLED, CALLED)), ALL) == Verdict(None, dropped=True)
    assert compare(stopped, Record(text="1", value="1", notes=()), ALL) == Verdict("notes", dropped=True)
    other = ("call", "other", ("vector",))
    assert compare(stopped, Record(text="1", value="1", notes=(other,)), ALL) == Verdict("notes", dropped=True)
    assert compare(stopped, Record(failure=TOO_DEEP, notes=(CALLED,)), ALL).dropped


def test_limits_of_meaning_must_be_reached_by_both_after_the_same_calls() -> None:
    left = Record(failure=TOO_LARGE, notes=(CALLED,))
    assert compare(left, Record(failure=replace(TOO_LARGE, message="10 bytes"), notes=(CALLED,)), ALL) == Verdict()
    assert compare(left, Record(failure=TOO_DEEP, notes=(CALLED,)), ALL).differs == "code"
    assert compare(left, Record(text="1", value="1", notes=(CALLED,)), ALL).differs == "end"
    assert compare(left, Record(failure=TOO_LARGE), ALL).differs == "notes"


def test_an_engine_that_fails_inside_is_wrong_even_when_both_do() -> None:
    broken = Record(failure=Failure(type="InternalError", code="internal.error", kind=None, message="TypeError"))
    assert compare(broken, broken, ALL).differs == "defect"

    def run(program: Program, host: Host, limits: ResourceLimits, inputs: Mapping[str, Value], /) -> Outcome:
        raise KeyError("x")

    engine = replace(ENGINES["python"](), run=run)
    assert record(engine, compiled("1")).failure == Failure(
        type="KeyError", code="unexpected", kind=None, message="'x'"
    )
    assert check(Pair(ENGINES["python"](), ENGINES["walk"]()), "(call :crash)", Statistics()) is None, "the host's"


@pytest.mark.parametrize("name", ["type", "code", "kind", "message", "details", "span", "trace", "hint"])
def test_every_part_of_an_error_counts_when_both_engines_tell_it(name: str) -> None:
    failure = Failure(
        type="GuestError", code="guest.type", kind="TypeError", message="m", hint="h", span=(1,), trace=("t",)
    )
    changed: dict[str, Any] = {name: ("x",) if name in ("span", "trace") else "x"}
    other = replace(failure, **changed)
    assert compare(Record(failure=failure), Record(failure=other), ALL).differs == name
    untold = name in ("span", "trace", "hint")
    assert compare(Record(failure=failure), Record(failure=other), frozenset()).differs == (None if untold else name)


def test_calls_that_one_engine_gave_up_are_no_difference_and_others_are() -> None:
    def ended(*lines: str) -> Record:
        failure = Failure(type="GuestError", code="guest.type", kind="TypeError", message="m", trace=lines)
        return Record(failure=failure)

    whole = ended("h at 1", "g at 2", "f at 3", "program at 4")
    for kept in (whole, ended("h at 1", "f at 3"), ended("h at 1")):
        assert not leaves_out(whole, kept)
    for other in (ended("h at 1", "f at 3", "g at 2"), ended("h at 1", "f at 9"), ended("h at 1", "e at 2")):
        assert leaves_out(whole, other)
    assert not leaves_out(whole, ended("h at 1", "\N{HORIZONTAL ELLIPSIS} the same 9 more times", "f at 9"))
    given_up = replace(ENGINES["python"](), tells=frozenset({Fact.PLACE, Fact.HINT}))
    forgetful = wrong_place()
    text = "(defn f [x] (+ 1 (quot x 0))) (+ 1 (f 1))"
    assert check(Pair(given_up, ENGINES["python"]()), text, Statistics()) is None
    found = check(Pair(forgetful, given_up), text, Statistics())
    assert found is not None
    assert found.differs == "trace"


def test_values_of_one_text_are_told_apart() -> None:
    alike = [
        (1, True), (0.0, -0.0), ((1,), List((1,))), (Symbol("a"), Keyword("a")), ("a", Symbol("a")), ({}, Map()),
        (growing_vector(tuple(range(40))), tuple(range(40))), (1, 1.0), (None, False), ([1], (1,)),
        (Map({"a": 1, "b": 2}), Map({"b": 2, "a": 1})),
        (ErrorValue(GuestError("m"), 1), ErrorValue(GuestError("m"), 2)),
    ]  # fmt: skip
    for left, right in alike:
        assert structure(left) != structure(right), (left, right)
        assert structure(left) == structure(left)
    assert structure(float("nan")) == structure(-float("nan"))


def test_two_worlds_answer_alike_and_remember_nothing_of_each_other() -> None:
    program = compiled("(map (fn [x] [(call :count) (call :tick) (call :edge)]) [1 2 3])")
    worlds = World(), World()
    values = [run_program(program, world, ResourceLimits(), INPUTS).value for world in worlds]
    assert values[0] == values[1]
    assert worlds[0].notes == worlds[1].notes
    assert len(worlds[0].notes) == 9
