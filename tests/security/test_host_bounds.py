"""What hostile plans and guests cannot make the host spend, each with its permitted twin.

Nothing here is timed: a bound is met when what lies beyond it is refused, and work is counted, not clocked.
"""

from __future__ import annotations

import itertools
import json
import string
import sys
from collections.abc import Callable, Iterator
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

from cloister.audit.event import EventType
from cloister.errors import CloisterError, CompileError, GuestError, LimitExceeded, ReadError, WireError
from cloister.isolation.dialogue import Dialogue, start_message
from cloister.isolation.provider import PlanProgram
from cloister.isolation.wire import HEADER_BYTES, FrameDecoder, frame_elements, unpack
from cloister.isolation.wire_messages import GUEST_MESSAGES
from cloister.isolation.wire_values import parse_output
from cloister.lang import scope
from cloister.lang.evaluate import evaluate
from cloister.lang.host import PureHost
from cloister.lang.printer import to_text
from cloister.lang.program import compile_program, run_program
from cloister.lang.program_size import SIZE_MAX, ProgramSize, size_of
from cloister.lang.reader import DEFAULT_LIMITS, read
from cloister.lang.resolver import ERRORS_MAX, resolve
from cloister.lang.source import LINE_CHARS_MAX, Source
from cloister.limits import ResourceLimits
from cloister.plan.recorder import ARGUMENT_CHARS_MAX, RunRecorder
from cloister.testing import RecordingHost

LIMITS = ResourceLimits()
ELEMENTS = LIMITS.value_elements_count


def names(count: int) -> list[str]:
    return [
        "".join(letters) for letters in itertools.islice(itertools.product(string.ascii_lowercase, repeat=4), count)
    ]


# Programs: what is generated from a text, and when

BOMBS: dict[str, Callable[[int], str]] = {
    "functions": lambda n: "(do " + "(fn[]1)" * n + ")",
    "definitions": lambda n: "".join(f"(defn {name}[]1)" for name in names(n)),
    "short functions": lambda n: "(do " + "#(+ % 1)" * n + ")",
    "loops": lambda n: "(do " + "(loop[a 1](recur a))" * n + ")",
    "thread": lambda n: "(->> 1 " + "(+ 1) " * n + ")",
    "arithmetic": lambda n: "(do " + "(+ 1 (+ 2 (* 3 4)))" * n + ")",
    "keys": lambda n: "(let [{:keys [" + " ".join(names(n)) + "]} {}] 1)",
    "elements": lambda n: "(fn [[" + " ".join(names(n)) + "]] 1)",
    "parameters": lambda n: "(fn [" + " ".join(names(n)) + "] 1)",
    "bindings": lambda n: "(let [" + " ".join(f"{name} 1" for name in names(n)) + "] 1)",
    "tests": lambda n: "(cond " + "1 1 " * n + ")",
    "and": lambda n: "(and " + "1 " * n + ")",
    "tries": lambda n: "(do " + "(try 1 (catch e e))" * n + ")",
    "steps": lambda n: "(do " + '(step "x" 1)' * n + ")",
    "calls": lambda n: "(do " + "(call :a 1)" * n + ")",
}


@pytest.mark.parametrize("shape", BOMBS)
def test_a_program_too_large_to_generate_code_from_is_refused(shape: str) -> None:
    with pytest.raises((CompileError, ReadError)) as caught:
        compile_program(BOMBS[shape](50_001))
    assert caught.value.code in {"compile.too-large", "read.size"}
    assert caught.value.hint
    if caught.value.code == "compile.too-large":
        counted, allowed = caught.value.details["count"], caught.value.details["allowed"]
        assert counted > allowed
        assert str(counted) in caught.value.message
        assert str(allowed) in caught.value.message


@pytest.mark.parametrize(
    ("text", "few", "many", "word"),
    [
        # Each function is compiled with a copy of all names around it
        (lambda n: "(let [" + " ".join(f"{name} 1" for name in names(n)) + "] " + "(fn[]1)" * 3_000 + ")",
         5_000, 15_000, "see"),
        # Each name is handed through every function between its binding and its use
        (lambda n: "(let [" + " ".join(f"{name} 1" for name in names(n)) + "] " + "(fn[]" * 100
         + " ".join(names(n)) + ")" * 101, 1_000, 6_000, "hands"),
    ],
)  # fmt: skip
def test_names_and_functions_that_multiply_are_bounded(
    text: Callable[[int], str], few: int, many: int, word: str
) -> None:
    with pytest.raises(CompileError, match=word) as caught:
        compile_program(text(many))
    assert caught.value.code == "compile.too-large"
    assert compile_program(text(few)).code()


def test_a_plan_of_two_thousand_functions_runs() -> None:
    functions = [f"(defn f{n} [x y] (let [z (+ x y)] (if (> z 10) z (f{max(0, n - 1)} z y))))" for n in range(2_000)]
    program = compile_program("\n".join(functions) + "(f1999 1 2)")
    assert run_program(program, PureHost(), LIMITS, {}).value == 11


def test_a_program_of_a_megabyte_of_data_runs() -> None:
    records = [f'(def r{n} {{:id {n} :text "some text of record {n}" :next (+ {n} 1)}})' for n in range(14_000)]
    program = compile_program("\n".join(records) + "(:next r13999)")
    assert len(program.source.text) > 900_000
    assert run_program(program, PureHost(), LIMITS, {}).value == 14_000


@pytest.mark.parametrize("shape", BOMBS)
def test_a_moderate_program_of_the_same_shape_is_accepted_and_not_generated_before_it_runs(shape: str) -> None:
    assert not compile_program(BOMBS[shape](300)).is_generated


def test_code_is_generated_once_for_the_first_run() -> None:
    program = compile_program("(+ 1 2)", "generated once")
    assert not program.is_generated
    assert run_program(program, PureHost(), LIMITS, {}).value == 3
    assert program.is_generated
    assert program.code() is program.code()


@pytest.mark.parametrize(
    "text", ["(do " + "1 " * 400_000 + ")", "[" + "{}" * 400_000 + "]", "'(" + "a " * 400_000 + ")"]
)
def test_a_text_of_very_many_forms_is_not_read_to_its_end(text: str) -> None:
    with pytest.raises(ReadError, match="more than 400000 forms") as caught:
        compile_program(text)
    assert caught.value.code == "read.size"
    assert caught.value.span is not None


def test_a_text_of_as_many_forms_as_may_be_is_read() -> None:
    source = Source("plan", "[" + "1 " * (DEFAULT_LIMITS.forms_count - 1) + "]")
    assert len(read(source)) == 1


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("functions_count", lambda n: "(fn[]1)" * n),
        ("names_count", lambda n: "(fn [" + " ".join(names(n)) + "] 1)"),
        ("chain_count", lambda n: "(and " + "1 " * n + ")"),
        ("nodes_count", lambda n: "1 " * (n - 1)),
    ],
)
def test_a_program_as_large_as_may_be_is_accepted_and_one_larger_is_not(field: str, text: Callable[[int], str]) -> None:
    allowed: int = getattr(SIZE_MAX, field)
    assert getattr(size_of(compile_program(text(allowed)).core), field) == allowed
    with pytest.raises(CompileError) as caught:
        compile_program(text(allowed + 1))
    assert caught.value.code == "compile.too-large"
    assert caught.value.details == {"count": allowed + 1, "allowed": allowed}


def test_everything_a_program_holds_is_counted() -> None:
    text = """
    (defn f [a & b] (loop [c 1] (if (< c 2) (recur (+ c 1)) (for [d a e b] [d e]))))
    (try (dotimes [i 3] (case i 1 2 3 4 5)) (catch A x x) (catch y y))
    """
    assert size_of(compile_program(text).core) == ProgramSize(
        nodes_count=size_of(compile_program(text).core).nodes_count,
        names_count=11,
        functions_count=4,
        chain_count=2,
        visible_count=20,
        passed_count=0,
    )


def resolving(text: str) -> int:
    """Return how many lines of the scopes are executed for resolving a text."""
    source = Source("plan", text)
    forms = read(source)
    counted = 0

    def count(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal counted
        if frame.f_code.co_filename != scope.__file__:
            return None
        counted += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        resolve(forms, source)
    except CloisterError:
        pass
    finally:
        sys.settrace(before)
    return counted


@pytest.mark.parametrize(
    "unit",
    ["(def x 1) ", "(def x 1) x ", "(defn x [] 1) ", "(let [f (fn [] 1)] f) ", "x ", "(def str 1) (str 1) "],
)
def test_looking_names_up_takes_work_in_proportion_to_the_text(unit: str) -> None:
    small, large = resolving(unit * 200), resolving(unit * 800)
    assert large < 4.5 * small


def test_many_names_under_many_scopes_are_refused_before_all_are_looked_up() -> None:
    text = "(let [a 1] " * 190 + "{}" + ")" * 190
    with pytest.raises(CompileError, match="scopes") as caught:
        compile_program(text.format("str " * 19_000))
    assert caught.value.code == "compile.too-large"
    assert compile_program(text.format("str " * 5_000))


def test_a_text_of_errors_is_given_up_after_the_first_of_them() -> None:
    seen = 0

    class Counted(tuple[Any, ...]):
        __slots__ = ()

        def __iter__(self) -> Iterator[Any]:
            nonlocal seen
            for item in super().__iter__():
                seen += 1
                yield item

    source = Source("plan", "(if) " * 1_000)
    forms = Counted(read(source))
    with pytest.raises(CompileError) as caught:
        resolve(forms, source)
    assert len(caught.value.details["more"]) == ERRORS_MAX - 1
    assert seen == ERRORS_MAX


def test_the_place_of_an_error_carries_only_the_beginning_of_its_line() -> None:
    with pytest.raises(CompileError) as caught:
        compile_program("(if)" + " " * 500_000)
    assert caught.value.span is not None
    assert len(caught.value.span.text) == LINE_CHARS_MAX
    assert "(if)" in caught.value.render()


def test_a_suggestion_is_looked_for_among_a_bounded_number_of_names() -> None:
    many = " ".join(f"{name} 1" for name in names(9_000))
    with pytest.raises(CompileError, match="unknown name") as caught:
        compile_program(f"(let [{many}] {'zzzx ' * 19})")
    assert len(caught.value.details["more"]) == 18
    with pytest.raises(CompileError, match='did you mean "total"'):
        compile_program("(let [total 1] totla)")


def test_time_counts_from_before_a_program_is_generated() -> None:
    now = itertools.count(0, 3_000_000)
    program = compile_program("1")
    with pytest.raises(LimitExceeded) as caught:
        run_program(program, PureHost(), ResourceLimits(wall_ms=5), {}, lambda: next(now), began_ns=-10_000_000)
    assert caught.value.limit == "wall_ms"
    assert run_program(program, PureHost(), ResourceLimits(wall_ms=5), {}, lambda: next(now)).value == 1


# Values


def result(value: str) -> bytes:
    return b'{"type":"result","steps":null,"value":' + value.encode() + b"}"


@pytest.mark.parametrize("unit", ["{}", "[]", '{"a":0}', "0", '""', '{"~keyword":"a"}', '["a,"]'])
def test_a_frame_of_very_many_elements_is_refused_before_it_is_parsed(unit: str) -> None:
    body = result("[" + ",".join([unit] * (ELEMENTS + 2_000)) + "]")
    decoder = FrameDecoder(LIMITS.value_bytes, GUEST_MESSAGES)
    decoder.feed(len(body).to_bytes(HEADER_BYTES, "big") + body)
    with pytest.raises(WireError) as caught:
        decoder.next_message()
    assert caught.value.code == "provider.wire-oversize"


@pytest.mark.parametrize(
    "value",
    [
        "[" + ",".join(["0"] * ELEMENTS) + "]",
        json.dumps(",[{" * 1_000_000),
        json.dumps('\\"[,' * 200_000),
        json.dumps(["[,{}]" * 10] * 10_000),
    ],
)
def test_a_frame_of_as_many_elements_as_may_be_and_long_texts_are_accepted(value: str) -> None:
    assert unpack(result(value))["value"] == json.loads(value)


@pytest.mark.parametrize(
    "body", [b'"' * 3_000_000, b'"\\' * 2_000_000, b'{"a":"' + b'\\",' * 1_000_000, b"," * 3_000_000]
)
def test_what_only_looks_like_very_much_json_is_refused(body: bytes) -> None:
    with pytest.raises(WireError):
        unpack(body)


def test_the_bound_of_a_frame_follows_the_limits() -> None:
    limits = ResourceLimits(value_elements_count=10)
    value = "[" + ",".join(["0"] * (frame_elements(limits) + 1)) + "]"
    with pytest.raises(WireError, match="more than 1010 elements"):
        unpack(result(value), frame_elements(limits))
    assert unpack(result(value))


def test_a_result_of_too_many_elements_is_a_limit() -> None:
    limits = ResourceLimits(value_elements_count=5)
    message = {"type": "result", "value": [1, [2, []], 3], "steps": None}
    with pytest.raises(LimitExceeded) as caught:
        Dialogue(None, limits).handle(message)
    assert (caught.value.limit, caught.value.code) == ("value_elements_count", "limit.value-elements")
    dialogue = Dialogue(None, ResourceLimits(value_elements_count=6))
    dialogue.handle(message)
    assert dialogue.value == [1, [2, []], 3]


def test_arguments_of_too_many_elements_do_not_reach_the_host() -> None:
    host = RecordingHost({"test.call": 1})
    call = {"type": "call", "index": 0, "capability": "test.call", "arguments": [[{}, {}], {}]}
    with pytest.raises(LimitExceeded, match="more than 4 elements"):
        Dialogue(host, ResourceLimits(value_elements_count=4)).handle(call)
    assert host.calls == []
    assert Dialogue(host, ResourceLimits(value_elements_count=7)).handle(call)


def test_inputs_of_too_many_elements_do_not_start_a_guest() -> None:
    program = PlanProgram(source="x", name="p", inputs={"x": [1, 2, 3]})
    with pytest.raises(LimitExceeded, match="the inputs of p"):
        start_message(program, ResourceLimits(value_elements_count=3))
    assert start_message(program, ResourceLimits(value_elements_count=4))


def test_an_honest_program_hears_of_the_limit_with_its_place() -> None:
    limits = ResourceLimits(value_elements_count=1_000)
    with pytest.raises(LimitExceeded) as caught:
        evaluate("(range 0 1001)", limits=limits)
    assert caught.value.limit == "value_elements_count"
    assert evaluate("(range 0 1000)", limits=limits) == list(range(1_000))
    assert evaluate("(count (range 0 100000))", limits=limits) == 100_000  # inside the program it is no matter


@pytest.mark.parametrize(
    "function", ['(parse-json (str "[" (join "," (range 0 {})) "]"))', "(serialize-json (range 0 {}))"]
)
def test_json_builtins_take_and_make_bounded_values(function: str) -> None:
    limits = ResourceLimits(value_elements_count=1_000)
    with pytest.raises(LimitExceeded) as caught:
        evaluate(f"(count {function.format(1_001)})", limits=limits)
    assert caught.value.limit == "value_elements_count"
    assert evaluate(f"(count {function.format(1_000)})", limits=limits) >= 1_000


# What scripts print

SMALL = ResourceLimits(value_elements_count=10)


@pytest.mark.parametrize("data", [b"[" + b"{}," * 20 + b"{}]", b'{"a":' + b"[" * 20, b" [1,2,3,4,5,6,7,8,9,10,11]"])
def test_json_of_too_many_elements_from_a_script_is_refused(data: bytes) -> None:
    with pytest.raises(LimitExceeded) as caught:
        parse_output(data, SMALL)
    assert caught.value.limit == "value_elements_count"


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"[1,2,3,4,5,6,7,8,9,10]", list(range(1, 11))),
        (b"a,b,c\n" * 100, "a,b,c\n" * 100),
        (b"[info] a, b\n" * 100, "[info] a, b\n" * 100),
        (b"1,2,3\n" * 100, "1,2,3\n" * 100),
        (b'"a",' * 100, '"a",' * 100),
        (json.dumps("," * 100).encode(), "," * 100),
        (b"[" * 700 + b"]" * 700, "[" * 700 + "]" * 700),
        (b"[NaN]", "[NaN]"),
        (b"", ""),
        (b"true", True),
    ],
)
def test_other_output_of_a_script_is_its_json_or_its_text(data: bytes, value: object) -> None:
    limits = SMALL if data[:4] != b"[[[[" else LIMITS
    assert parse_output(data, limits) == value


def test_output_that_is_no_text_is_the_scripts_failure() -> None:
    with pytest.raises(GuestError) as caught:
        parse_output(b"\xff", LIMITS)
    assert caught.value.code == "guest.output"


# What is written down


class Walked(tuple[Any, ...]):
    """A vector that counts how many of its elements were looked at."""

    __slots__ = ()
    seen = 0

    def __iter__(self) -> Iterator[Any]:
        for item in super().__iter__():
            Walked.seen += 1
            yield item


def test_the_beginning_of_a_text_is_all_that_is_spelled() -> None:
    Walked.seen = 0
    assert to_text(Walked(range(1_000_000)), 20) == "[0 1 2 3 4 5 6 7 8 …"
    assert Walked.seen < 30
    assert to_text("x" * 10_000_000, 5) == '"xxx…'
    assert to_text((1, (2, "a")), 11) == '[1 [2 "a"]]'
    assert to_text((1, (2, "a")), 10) == '[1 [2 "a"…'


class Chain:
    """Keeps the body of the last record."""

    def append(self, event_type: EventType, **fields: Any) -> Any:
        assert event_type is EventType.CALL_INTENT
        self.body = fields["body"]
        return SimpleNamespace(event=SimpleNamespace(sequence=1))


def test_the_record_of_a_call_holds_the_beginning_of_its_arguments() -> None:
    chain: Any = Chain()
    recorder = RunRecorder(chain, "run-1")
    recorder.malformed_intent("a", [["x" * 1_000_000], *range(100_000)], 1)
    assert len(chain.body["arguments"]) == ARGUMENT_CHARS_MAX
    assert chain.body["arguments"].endswith("…")
    recorder.malformed_intent("a", ["a\x1b", {"b": [1]}], 1)
    assert chain.body["arguments"] == r'"a\u{1B}" {"b" [1]}'


# Steps


def test_steps_inside_one_another_are_bounded() -> None:
    dialogue = Dialogue(None, LIMITS)
    started = {"type": "step", "event": "started", "name": "s", "error": None, "options": {"place": 0}}
    for _ in range(256):
        dialogue.handle(started)
    with pytest.raises(WireError) as caught:
        dialogue.handle(started)
    assert caught.value.code == "provider.wire-order"
    assert "inside one another" in caught.value.message


def test_steps_in_all_are_bounded() -> None:
    dialogue = Dialogue(None, LIMITS)
    step = {"type": "step", "name": "s", "error": None}
    for _ in range(100_000):
        dialogue.handle(step | {"event": "started", "options": {"place": 0}})
        dialogue.handle(step | {"event": "ended"})
    with pytest.raises(WireError) as caught:
        dialogue.handle(step | {"event": "started", "options": {"place": 0}})
    assert caught.value.code == "provider.wire-order"
