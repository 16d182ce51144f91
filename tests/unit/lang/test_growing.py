"""Programs see no difference between a growing collection and a plain one, except in what it costs."""

from __future__ import annotations

from typing import Any

import pytest

from cloister.errors import CloisterError, GuestError, LimitExceeded
from cloister.lang.bounds import check_crossing
from cloister.lang.growing import GROWING_MIN, GrowingMap, GrowingVector, growing_map, growing_vector
from cloister.lang.program import compile_program, run_program
from cloister.lang.stdlib.budget import Budget, install, uninstall
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.types.check import accepts
from cloister.lang.types.parse import parse_type_text
from cloister.lang.values import Growing, Keyword, List, Map, Value, settled, type_name
from cloister.limits import ResourceLimits

GROWN = "v (reduce conj [] (range 40)) m (reduce (fn [m i] (assoc m (str i) i)) {:a 1} (range 40))"
SAME_FOR_BOTH = [
    "(type-name v)",
    "[(vector? v) (list? v) (map? m) (map? v) (fn? v) (fn? m) (nil? m)]",
    "[(count v) (length v) (count m) (empty? v) (empty? m)]",
    "[v m]",
    "(str v m)",
    "(serialize-json {:v v :m m})",
    "[(= v (vec (range 40))) (= (vec (range 40)) v) (= [v] [(range 40)]) (= m v) (= 1 v) (= v 1)]",
    "[(not= m (assoc m :a 2)) (= m (assoc m :a 1))]",
    "(sort [(conj v 1) v])",
    "(sort-by identity [m {}])",
    "(distinct [v (vec (range 40)) m m])",
    "(let [[a b & more] v] [a b (count more) more])",
    "(let [[& more] v] more)",
    "(let [{a :a :keys [a] :as whole} m] [a whole])",
    "(let [{:keys [a missing]} m] [a missing])",
    "(for [x v] x)",
    "(match v [a & more] [a more] _ :none)",
    "(match [1 v] [x [0 & more]] more _ :none)",
    "(match m {:a x & others} [x others] _ :none)",
    "[(:a m) (:z m 5) (get m :a) (get v 3) (get-in {:m m} [:m :a]) (get-in [v] [0 3]) (find m :a)]",
    "(let [x :[:vector :int] v y :[:map {:a :int}] m] [x y])",
    "(try (throw v) (catch e (error-data e)))",
    "(try (throw m) (catch e [(getMessage e) (error-data e)]))",
    "(if v 1 2)",
    "(apply + v)",
    "(apply vector m)",
    "(map (fn [x y] [x y]) v (reverse v))",
    "(reduce + v)",
    "(flatten [v [[v]]])",
    "(concat v v [1])",
    "(into {} (map (fn [x] [(str x) v]) v))",
    "(into v m)",
    "(contains? v 39)",
    "(get m v)",
    "(v 1)",
    "(m :a)",
    "(:a v)",
    "(+ 1 v)",
    "(keys v)",
    "(first m)",
    "(nth v 40)",
    "(assoc v 40 1)",
    "(assoc m 1.5 1)",
    '(str "a" v)',
    '(join "," v)',
    "(select-keys m [:a])",
    "(merge-with + m m)",
    "(step-if v (step-if m 1 2) 3)",
    "(frequencies v)",
    "(group-by identity [v])",
    "[(peek v) (pop v) (seq v) (next v) (last v) (rest v) (subvec v 38) (subvec v 1 3)]",
]


def outcome(text: str) -> Any:
    try:
        return run_program(compile_program(text), PureRecorder(), ResourceLimits(), {}).value
    except CloisterError as error:
        return error.code, error.message


class PureRecorder:
    """A host that keeps what it is given."""

    def __init__(self) -> None:
        self.arguments: list[tuple[Value, ...]] = []

    def call(self, capability_id: str, arguments: tuple[Value, ...]) -> Value:
        self.arguments.append(arguments)
        return None

    def hints_changed(self, hints: Any) -> None: ...

    def step_started(self, name: str, options: Any) -> None: ...

    def step_ended(self, name: str, error: CloisterError | None) -> None: ...

    def undo_started(self, name: str, place: int) -> None: ...

    def undo_ended(self, name: str, error: CloisterError | None) -> None: ...


@pytest.mark.parametrize("expression", SAME_FOR_BOTH)
def test_no_difference(expression: str) -> None:
    grown = f"(let [{GROWN}] {expression})"
    entries = " ".join(f'"{key}" {key}' for key in range(40))
    # What identity gives is not known before the run, just as little as what reduce gives.
    plain = f"(let [v (identity (range 40)) m (identity {{:a 1 {entries}}})] {expression})"
    assert outcome(grown) == outcome(plain)


def holds_growing(value: Value) -> bool:
    if isinstance(value, Growing):
        return True
    parts = value if isinstance(value, tuple) else value.values() if isinstance(value, Map) else ()
    return any(holds_growing(part) for part in parts)


def test_nothing_that_grows_leaves_a_run() -> None:
    host = PureRecorder()
    program = f'(let [{GROWN} both {{:v v :in [m "x"]}}] (call :some.capability both v) both)'
    value = run_program(compile_program(program), host, ResourceLimits(), {}).value
    (given,) = host.arguments
    assert not holds_growing(value)
    assert not holds_growing(given)
    assert given == (value, tuple(range(40)))


def test_crossing_gives_a_plain_value_itself() -> None:
    value = (1, Map({Keyword("a"): (2,)}))
    assert check_crossing(value, ResourceLimits()) is value


def grown(count: int) -> GrowingVector:
    version: Value = tuple(range(GROWING_MIN + 1))
    for number in range(GROWING_MIN + 1, count):
        version = BUILTINS["conj"](version, number)
    assert isinstance(version, GrowingVector)
    return version


def test_types_are_those_of_the_plain_value() -> None:
    version, entries = grown(40), growing_map(Map({Keyword("a"): 1}))
    assert type_name(version) == "vector"
    assert type_name(growing_vector(List(range(40)))) == "list"
    assert type_name(entries) == "map"
    assert accepts(parse_type_text("[:vector :int]"), version)
    assert not accepts(parse_type_text("[:vector :string]"), version)
    assert accepts(parse_type_text("[:map {:a :int}]"), entries)
    assert hash(version) == hash(tuple(range(40)))
    assert repr(version) == repr(tuple(range(40)))
    assert version == grown(40)
    with pytest.raises(TypeError):
        hash(entries)


@pytest.fixture
def budget() -> Any:
    installed = Budget(ResourceLimits(steps_count=1_000_000))
    token = install(installed)
    yield installed
    uninstall(token)


def spent(budget: Budget, action: Any) -> int:
    before = budget.steps_count
    action()
    return budget.steps_count - before


@pytest.mark.parametrize(
    ("name", "start", "more"),
    [
        ("conj", tuple(range(500)), (1,)),
        ("cons", tuple(range(500)), None),
        ("assoc", tuple(range(500)), (5, 1)),
        ("rest", tuple(range(1_000)), ()),
        ("assoc", Map({str(key): 1 for key in range(500)}), ("new", 1)),
    ],
)
def test_a_step_for_each_change(budget: Budget, name: str, start: Value, more: tuple[Value, ...] | None) -> None:
    def changes(count: int) -> None:
        version = start
        for _ in range(count):
            version = BUILTINS[name](1, version) if more is None else BUILTINS[name](version, *more)

    size = len(start)
    assert spent(budget, lambda: changes(400)) <= 4 * 400 + 4 * size


def test_jumping_between_far_versions_is_charged(budget: Budget) -> None:
    old = grown(100)
    new = old
    for number in range(5_000):
        new = new.appended((number,))
    first = spent(budget, lambda: old[0])
    assert first >= 5_000
    assert spent(budget, lambda: new[0]) <= 5_100
    # By now at least one of them has a store of its own, so that looking at both in turn costs nothing more.
    spent(budget, lambda: (old[0], new[0]))
    assert spent(budget, lambda: [(old[0], new[0]) for _ in range(100)]) == 0


def test_going_back_costs_a_step_for_each_change(budget: Budget) -> None:
    old = grown(5_000)
    new = old
    for number in range(700):
        new = new.replaced(number, -1)
    assert 700 <= spent(budget, lambda: old[0]) <= 710
    assert 700 <= spent(budget, lambda: new[0]) <= 710


def test_a_queue_does_not_keep_what_left_it() -> None:
    queue: Value = tuple(range(100))
    for number in range(5_000):
        queue = BUILTINS["conj"](BUILTINS["rest"](queue), number)
    assert isinstance(queue, GrowingVector)
    assert len(queue) == 100
    assert len(queue.store) <= 300


def test_going_back_by_one_is_cheap(budget: Budget) -> None:
    old = grown(10_000)

    def try_and_give_up() -> None:
        for number in range(1_000):
            old.appended((number,))
            assert old[-1] == 9_999

    assert spent(budget, try_and_give_up) <= 3_000


def run(text: str, **limits: int) -> Value:
    return run_program(compile_program(text), PureRecorder(), ResourceLimits(**limits), {}).value


KEEP_ALL = "(loop [i 0 v (vec (range 2000)) all []] (if (= i 2000) {} (recur (inc i) (conj v i) (conj all v))))"


def test_reading_every_version_there_was_is_refused() -> None:
    assert run(KEEP_ALL.format("(count (map count all))"), steps_count=2_000_000) == 2_000
    with pytest.raises(LimitExceeded) as caught:
        run(KEEP_ALL.format("(map (fn [v] (map inc v)) all)"), steps_count=2_000_000)
    assert caught.value.code == "limit.steps"


GROW = {
    "vector": "(count (reduce conj (range 900) (range {})))",
    "front": "(count (reduce (fn [v i] (cons i v)) (range 900) (range {})))",
    "map": "(count (reduce (fn [m i] (assoc m (str i) i)) (zipmap (range 900) (range 900)) (range {})))",
}


@pytest.mark.parametrize("kind", GROW)
def test_growing_ends_at_the_size_of_one_value(kind: str) -> None:
    assert run(GROW[kind].format(100), value_bytes=8_000) == 1_000
    with pytest.raises(LimitExceeded) as caught:
        run(GROW[kind].format(101), value_bytes=8_000)
    assert caught.value.code == "limit.value"


def test_a_long_path_of_versions_is_freed_without_recursion() -> None:
    first = grown(50)
    version = first
    for number in range(300_000):
        version = version.replaced(number % 50, number)
    del version
    assert first[0] == 0
    del first


def test_an_index_outside_is_an_error_of_python_as_for_a_tuple() -> None:
    version = grown(40)
    assert (version[-1], version[39], version[-40]) == (39, 39, 0)
    for index in (40, -41):
        with pytest.raises(IndexError):
            version[index]


def test_a_settled_map_is_never_changed() -> None:
    version = growing_map(Map({str(key): key for key in range(40)})).with_entry("a", 1)
    seen = version.settled()
    newer = version.with_entry("b", 2)
    assert "b" not in seen
    assert isinstance(newer, GrowingMap)
    assert newer.get("b") == 2
    assert settled(version) is seen


def test_errors_are_those_of_the_plain_value() -> None:
    with pytest.raises(GuestError) as caught:
        BUILTINS["assoc"](grown(40), 40, 1)
    assert caught.value.message == "Index out of bounds in assoc: index 40, length 40"
