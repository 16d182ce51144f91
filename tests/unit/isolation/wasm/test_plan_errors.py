"""Errors of plans: message, hint, place and trace are those of the Python engine, but for calls that were given up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pytest
from tests.unit.isolation.wasm.running import error_of, python_error_of

from cloister.errors import CapabilityDenied, CloisterError, GuestError, ProviderError
from cloister.lang.host import StepOptions
from cloister.lang.values import Value


class Failing:
    """A host whose capabilities fail."""

    def call(self, capability_id: str, arguments: tuple[Value, ...]) -> Value:
        """Fail as the capability does."""
        errors: dict[str, CloisterError] = {
            "deny": CapabilityDenied("`deny` is not granted", hint="grant it"),
            "disk": ProviderError("the disk is full", kind="IoError", code="provider.io"),
            "fail": GuestError("it failed", kind="ScriptError", code="guest.script", details={"status": 3}),
        }
        raise errors[capability_id]

    def hints_changed(self, hints: Mapping[str, Value]) -> None:
        """Take note of nothing."""

    def step_started(self, name: str, options: StepOptions) -> None:
        """Take note of nothing."""

    def step_ended(self, name: str, error: CloisterError | None) -> None:
        """Take note of nothing."""

    def undo_started(self, name: str, place: int) -> None: ...

    def undo_ended(self, name: str, error: CloisterError | None) -> None: ...


TRACES: Final = {
    "(defn f [n] (+ 1 (g n))) (defn g [n] (/ n 0)) (f 3)": (
        "g at <plan>:1:38", "f at <plan>:1:18", "program at <plan>:1:47"),
    "(map (fn [x] (+ x (first x))) [1 2])": ("fn at <plan>:1:19", "program at <plan>:1:1"),
    "(defn f [x & more] (apply g x more)) (defn g [a b] (+ a b)) (f 1 2 3)": (
        "f at <plan>:1:20", "program at <plan>:1:61"),
    "(loop [i 0] (if (< i 5) (recur (inc i)) (nth [1] i)))": ("program at <plan>:1:41",),
    "(for [x [1 2 0]] (quot 4 x))": ("program at <plan>:1:18",),
    "(dotimes [i 3] (quot 4 (- 2 i)))": ("program at <plan>:1:16",),
    "(call :deny 1)": ("program at <plan>:1:1",),
    "(let [f (fn [x] (call :fail x))] [(f 1)])": ("f at <plan>:1:17", "program at <plan>:1:35"),
    '(try (call (str "di" "sk")) (catch e (throw e)))': ("program at <plan>:1:6",),
    '(step "a" (step "b" (throw {:message "m" :a [1 {:b 2}]})))': ("program at <plan>:1:21",),
    '(try (throw "a") (finally (throw "b")))': ("program at <plan>:1:27",),
    "(sort-by (fn [x] (f x)) [3 1]) (defn f [x] (- x nil))".replace("nil", "(identity nil)"): (
        "fn at <plan>:1:18", "program at <plan>:1:1"),
    "(+ 9223372036854775807 (count [1]))": ("program at <plan>:1:1",),
    "((identity (fn [a b] a)) 1)": ("program at <plan>:1:1",),
    "((identity 5) (throw 1))": ("program at <plan>:1:1",),
    "(let [{:keys [a]} (identity [1])] a)": ("program at <plan>:1:19",),
    '(match (identity 3) 1 "one" 2 "two")': ("program at <plan>:1:1",),
    "(defn f [x] (try (quot x 0) (finally 1))) (defn g [x] (+ 1 (try (f x) (finally 2)))) (g 3)": (
        "f at <plan>:1:18", "g at <plan>:1:65", "program at <plan>:1:86"),
    "(defn f [x] (try (quot x 0) (catch :TypeError e 1))) (+ 1 (f 3))": (
        "f at <plan>:1:18", "program at <plan>:1:59"),
    '(defn f [x] (step "a" (step "b" (+ 1 (quot x 0))))) (+ 1 (f 3))': (
        "f at <plan>:1:38", "program at <plan>:1:58"),
    "(defn f [x] (loop [i 0] (try (quot i 0) (finally (fn [] i))))) (+ 1 (f 3))": (
        "f at <plan>:1:30", "program at <plan>:1:69"),
    "(defn f [x] (try ((identity (fn [a b] a)) x) (finally 1))) (+ 1 (f 3))": (
        "f at <plan>:1:18", "program at <plan>:1:65"),
    "(defn f [x] (try (quot x 0) (catch e (throw e)))) (+ 1 (f 3))": (
        "f at <plan>:1:18", "program at <plan>:1:56"),
}  # fmt: skip
"""Programs in which no function ends with a call of another, and their traces."""

GIVEN_UP: Final = {
    "(defn f [n] (g n)) (defn g [n] (/ n 0)) (f 3)": (
        ("g at <plan>:1:32", "program at <plan>:1:41"),
        ("g at <plan>:1:32", "f at <plan>:1:13", "program at <plan>:1:41")),
    "(let [h (fn [x] (nth x 5))] (reduce (fn [a x] (h [a x])) [1 2 3]))": (
        ("h at <plan>:1:17", "program at <plan>:1:29"),
        ("h at <plan>:1:17", "fn at <plan>:1:47", "program at <plan>:1:29")),
    "(defn f [g n] (if (= n 0) (g) (f g (dec n)))) (f (fn [] (quot 1 0)) 3)": (
        ("fn at <plan>:1:57", "program at <plan>:1:47"),
        ("fn at <plan>:1:57", "f at <plan>:1:27", "f at <plan>:1:31",
         "\N{HORIZONTAL ELLIPSIS} the same 2 more times", "program at <plan>:1:47")),
}  # fmt: skip
"""Programs in which some do, their traces here, and those in the Python engine."""


@pytest.mark.parametrize("text", TRACES)
def test_an_error_is_the_same_as_in_the_python_engine(text: str) -> None:
    error, expected = error_of(text, Failing()), python_error_of(text, Failing())
    assert error.trace == TRACES[text]
    assert error.trace == expected.trace
    assert error.to_dict() == expected.to_dict()


@pytest.mark.parametrize("text", GIVEN_UP)
def test_calls_that_come_last_are_given_up_before_they_end(text: str) -> None:
    error, expected = error_of(text), python_error_of(text)
    assert (error.trace, expected.trace) == GIVEN_UP[text]
    assert error.message == expected.message
    assert error.span == expected.span


def test_of_deep_recursion_the_innermost_calls_are_told() -> None:
    """The machine tells of 20 frames, the runtime's among them; what is left out are the outer ones."""
    text = "(defn f [n] (if (= n 0) (nth [] n) (+ 1 (f (- n 1))))) (f 30)"
    error, expected = error_of(text), python_error_of(text)
    assert error.span == expected.span
    assert error.trace[:2] == expected.trace[:2]
    assert error.trace[2].startswith("\N{HORIZONTAL ELLIPSIS} the same ")


def test_an_error_that_was_caught_keeps_place_code_and_hint_on_its_way() -> None:
    text = "(defn f [] (call :deny)) (try (f) (catch e (let [[kept] (list e)] (throw kept))))"
    error, expected = error_of(text, Failing()), python_error_of(text, Failing())
    assert isinstance(error, CapabilityDenied)
    assert error.hint == "grant it"
    assert error.to_dict() == expected.to_dict()


def test_an_error_that_the_host_has_forgotten_keeps_message_and_kind() -> None:
    text = '(let [kept (try (nth [] 7) (catch e e))] (dotimes [i 1100] (try (throw "x") (catch e i))) (throw kept))'
    error, expected = error_of(text), python_error_of(text)
    assert error.message == expected.message
    assert error.kind == expected.kind
