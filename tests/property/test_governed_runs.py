"""Nothing is ever done that lies outside of what the run was granted and of what each step around it may do.

Plans are drawn with steps in steps, narrowed parts, computed ids and places, undos, fallbacks, shared functions and
caught failures, and are run through the real runtime. The witness is the world: its capabilities note what was done and
which steps were open then. What a plan may do is told by a model of the text as it was drawn, not by the analysis.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, event, given, seed
from hypothesis import strategies as st
from tests.integration.governing import CONTRACTS, Home, rule
from tests.property.exploring import examples

from cloister.authority.context import RuntimeContext
from cloister.authority.contract import Impact, Risk
from cloister.authority.mode import ExecutionMode
from cloister.errors import ApprovalRequired, DeniedError, GuestError
from cloister.plan.observer import SilentObserver
from cloister.plan.terms import RunTerms

pytestmark = pytest.mark.timeout(600)  # one that fails looks for the smallest plan for five minutes

WORLD: Final = ("look", "put", "send", "delete", "fail")
WRITES: Final = "ccos.io.write-file"
PLACES: Final = ("/srv/a", "/srv/b")
DEPTH_MAX: Final = 4
Draw = Callable[[st.SearchStrategy[Any]], Any]
ANY: Final = frozenset({*WORLD, WRITES})


@dataclass(frozen=True)
class Part:
    """What a narrowed part may do, or a function does, as the text says.

    Attributes:
        capabilities: What it may call; None when it declares nothing about that.
        writes: Where it may write; None likewise.
    """

    capabilities: frozenset[str] | None = None
    writes: tuple[str, ...] | None = None

    def is_within(self, other: Part) -> bool:
        """Whether another may do all this."""
        return (other.capabilities is None or (self.capabilities or frozenset()) <= other.capabilities) and (
            other.writes is None or set(self.writes or ()) <= set(other.writes)
        )


@dataclass
class Text:
    """A plan as it was drawn, with the model of what it may do.

    Attributes:
        narrowed: What each narrowed part declares, by the name of the step around it.
        inside: The narrowed parts around each step, by its name.
        reach: What is written in each step, by its name.
        undoes: The sites of calls in undos, with the names of the steps that they undo.
        has_catch: Whether a failure is caught somewhere.
    """

    narrowed: dict[str, Part] = field(default_factory=dict)
    inside: dict[str, tuple[str, ...]] = field(default_factory=dict)
    reach: dict[str, set[str]] = field(default_factory=dict)
    undoes: dict[int, str] = field(default_factory=dict)
    has_catch: bool = False


class Writer:
    """Draws one plan.

    What its text names outright mostly fits the context and the narrowed parts around it, so that most plans are
    admitted; what it computes is anything.

    Args:
        draw: Draws a choice.
        context: What is granted.
    """

    def __init__(self, draw: Draw, context: RuntimeContext) -> None:
        self._draw = draw
        self._may_compute = draw(st.integers(0, 3 if context.allow_computed else 9)) == 0
        granted = frozenset(each for each in ANY if full(each) in context.capabilities)
        self._parts = [Part(granted, tuple(context.write_paths))]
        self._numbers = count(1)
        self.text = Text()
        self._functions: dict[str, Part] = {}
        self._fallbacks: list[str] = []

    def plan(self) -> str:
        """Return a plan."""
        end = "(/ 1 0)" * self._draw(st.booleans())  # a failure has undos run
        functions = []
        for name in ("f", "g"):
            reach: set[str] = set()
            body = self._call([reach])
            functions.append(f"(defn {name} [] {body})")
            self._functions[name] = Part(frozenset(reach), tuple(each for each in PLACES if f'"{each}/f"' in body))
        first = self._draw(st.sampled_from([self._step, self._step, self._narrowed, self._form]))
        return f"(do {' '.join(functions)} {first((), [], DEPTH_MAX)} {self._body((), [], DEPTH_MAX)} {end})"

    def _pick(self, *choices: str) -> str:
        return str(self._draw(st.sampled_from(choices)))

    def _fitting(self, choices: tuple[str, ...], *bounds: Collection[str] | None) -> tuple[str, ...]:
        """Return those that are within all bounds; now and then, and where there is none, all."""
        fitting = tuple(each for each in choices if all(bound is None or each in bound for bound in bounds))
        return fitting if fitting and self._draw(st.integers(0, 99)) < 99 else choices

    def _capabilities(self, *choices: str) -> tuple[str, ...]:
        return self._fitting(choices, *(part.capabilities for part in self._parts))

    def _places(self) -> tuple[str, ...]:
        return self._fitting(PLACES, *(part.writes for part in self._parts))

    def _body(self, around: tuple[str, ...], reaches: list[set[str]], depth: int) -> str:
        return " ".join(self._form(around, reaches, depth) for _ in range(self._draw(st.integers(1, 3))))

    def _form(self, around: tuple[str, ...], reaches: list[set[str]], depth: int) -> str:
        if depth <= 0:
            return self._call(reaches)
        match self._pick("call", "call", "step", "step", "narrowed", "narrowed", "caught", "fallback", "function"):
            case "step":
                return self._step(around, reaches, depth - 1)
            case "narrowed":
                return self._narrowed(around, reaches, depth - 1)
            case "caught":
                self.text.has_catch = True
                return f'(try (do {self._body(around, reaches, depth - 1)}) (catch anything e "caught"))'
            case "fallback":
                return self._fallback(around, reaches, depth - 1)
            case "function":
                return self._function(reaches)
        return self._call(reaches)

    def _fallback(self, around: tuple[str, ...], reaches: list[set[str]], depth: int) -> str:
        other, site = self._pick(*self._capabilities("put", "send", "look")), next(self._numbers)
        self._reached(reaches, other)
        self._fallbacks.append(other)
        body = self._body(around, reaches, depth)
        self._fallbacks.pop()
        return f"^{{:runtime.learning.fallback {{:capability :world.{other} :args [{site}]}}}} (do {body})"

    def _function(self, reaches: list[set[str]]) -> str:
        fitting = [
            name for name, needs in self._functions.items() if all(needs.is_within(each) for each in self._parts)
        ]
        chosen = self._pick(*self._fitting(tuple(self._functions), fitting))
        for each in self._functions[chosen].capabilities or ():
            self._reached(reaches, each)
        return f"({chosen})"

    def _call(self, reaches: list[set[str]], *, undoes: str | None = None) -> str:
        site = next(self._numbers)
        if undoes is not None:
            self.text.undoes[site] = undoes
        kinds = ["plain", *["computed"] * self._may_compute]
        if WRITES in self._capabilities(*sorted(ANY)):
            kinds += ["place", *["computed place"] * (2 if undoes is None else 4)]
        match self._pick(*kinds):
            case "plain":
                capability = self._pick(*self._capabilities(*WORLD))
                self._reached(reaches, capability)
                return f"(call :world.{capability} {site})"
            case "computed":
                for each in ANY:
                    self._reached(reaches, each)
                return f'(call (str "world." "{self._pick(*WORLD)}") {site})'
            case "place":
                self._reached(reaches, WRITES)
                return f'(call :{WRITES} "{self._pick(*self._places())}/f" "{site}")'
        self._reached(reaches, WRITES)
        beyond = [each for each in PLACES if self._parts[-1].writes is not None and each not in self._parts[-1].writes]
        place = self._pick(*PLACES, *(beyond * 3 if undoes else ()))
        return f'(call :{WRITES} (str "{place}" "/f") "{site}")'

    @staticmethod
    def _reached(reaches: list[set[str]], capability: str) -> None:
        for each in reaches:
            each.add(capability)

    def _step(self, around: tuple[str, ...], reaches: list[set[str]], depth: int) -> str:
        name = f"s{next(self._numbers)}"
        inside = [*reaches, self._opened(name, around)]
        undo = f":undo (fn [] {self._call(inside, undoes=name)})" if self._draw(st.integers(0, 3)) else ""
        return f'(step "{name}" {undo} {self._body(around, inside, depth)})'

    def _opened(self, name: str, around: tuple[str, ...]) -> set[str]:
        """Note a step; a call that fails in it may end in the innermost fallback around it, while it is open."""
        self.text.inside[name] = around
        self.text.reach[name] = set(self._fallbacks[-1:])
        return self.text.reach[name]

    def _narrowed(self, around: tuple[str, ...], reaches: list[set[str]], depth: int) -> str:
        name = f"n{next(self._numbers)}"
        inside = [*reaches, self._opened(name, around)]
        declared: list[str] = []
        capabilities, writes = None, None
        if self._draw(st.integers(0, 3)) == 0:
            capabilities = frozenset(self._capabilities(*sorted(ANY))) - {self._pick(*WORLD)}
            declared.append(f":capabilities [{' '.join(':' + full(each) for each in sorted(capabilities))}]")
        if self._draw(st.integers(0, 3)):
            most = self._draw(st.sampled_from([1, 1, 2]))
            writes = tuple(sorted(self._draw(st.sets(st.sampled_from(self._places()), min_size=1, max_size=most))))
            declared.append(":write [" + " ".join(f'"{each}"' for each in writes) + "]")
        self.text.narrowed[name] = Part(capabilities, writes)
        self._parts.append(self.text.narrowed[name])
        first = self._step((*around, name), inside, 0) if self._draw(st.integers(0, 3)) else ""  # it may be undone
        body = f"{first} {self._body((*around, name), inside, depth)}"
        self._parts.pop()
        return f'(step "{name}" (with-security-profile {{{" ".join(declared)}}} {body}))'


def full(capability: str) -> str:
    """Return an id as a plan has it."""
    return capability if "." in capability else f"world.{capability}"


class Stack(SilentObserver):
    """Knows which steps are open."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def step_started(self, name: str, depth: int) -> None:
        self.names.append(name)

    def step_ended(self, name: str, depth: int, error_code: str | None, elapsed_us: int) -> None:
        self.names.pop()


@dataclass(frozen=True)
class Act:
    """Something that was done.

    Attributes:
        capability: What.
        place: Where it wrote, or None.
        site: Which call of the text it was.
        steps: The steps that were open.
    """

    capability: str
    place: str | None
    site: int
    steps: tuple[str, ...]


class WatchedDone(list[tuple[Any, ...]]):
    """The world's memory, which notes the open steps with each act."""

    def __init__(self, stack: Stack) -> None:
        super().__init__()
        self._stack = stack
        self.acts: list[Act] = []

    def append(self, entry: tuple[Any, ...]) -> None:
        """Note an act."""
        place = str(entry[1]) if entry[0] == WRITES else None
        self.acts.append(Act(entry[0], place, int(entry[-1]), tuple(self._stack.names)))


@contextmanager
def home(rules: str = "") -> Iterator[Home]:
    """A home that is gone afterwards."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as place:
        yield Home(Path(place) / "home", rules)


def acts_of(at: Home, plan: str, context: RuntimeContext, mode: ExecutionMode = ExecutionMode.FULL) -> list[Act]:
    """Run a plan and return what was done; it may fail."""
    stack = Stack()
    at.world.done = WatchedDone(stack)
    with at.open() as runtime:
        try:
            runtime.run(plan, context=context, provider="mock", observer=stack, terms=RunTerms(mode=mode))
        except (GuestError, DeniedError, ApprovalRequired) as error:
            event(error.code)
    return at.world.done.acts


def require_within(act: Act, text: Text, context: RuntimeContext) -> None:
    """Demand that an act is one of the context, and one of every step and narrowed part that is around it."""
    capability, place = act.capability, act.place
    assert full(capability) in context.capabilities
    assert place is None or any(place.startswith(f"{root}/") for root in context.write_paths)
    undone = [text.undoes[act.site]] if act.site in text.undoes else []
    assert [name for name in act.steps if name.startswith("undo ")] == [f"undo {name}" for name in undone]
    names = [name.removeprefix("undo ") for name in act.steps if name in text.reach or name.startswith("undo ")]
    narrowed = {each for name in names for each in text.inside[name]} | {n for n in names if n in text.narrowed}
    for part in (text.narrowed[name] for name in narrowed):
        assert part.capabilities is None or capability in part.capabilities
        assert place is None or part.writes is None or any(place.startswith(f"{root}/") for root in part.writes)
    for name in names:
        assert capability in text.reach[name]


def contexts(draw: Draw) -> RuntimeContext:
    """Draw grants: most of everything, so that most plans are admitted."""
    left_out = draw(st.sets(st.sampled_from(sorted(ANY)), max_size=1))
    return RuntimeContext.controlled(
        capabilities=[full(each) for each in ANY - left_out],
        write=PLACES[: draw(st.sampled_from([2, 2, 2, 1]))],
        allow_computed=draw(st.sampled_from([True, True, True, False])),
    )


SLOW: Final = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)


def drawn_run(draw: Draw) -> tuple[list[Act], Text, RuntimeContext]:
    """Draw grants and a plan; return what it did, its text and the grants."""
    context = contexts(draw)
    writer = Writer(draw, context)
    plan = writer.plan()
    with home() as at:
        return acts_of(at, plan, context), writer.text, context


@given(st.data())
@examples(150, suppress=SLOW)
def test_nothing_is_done_outside_of_context_and_profile(data: st.DataObject) -> None:
    acts, text, context = drawn_run(data.draw)
    event(f"acts: {min(len(acts), 5)}")
    for act in acts:
        require_within(act, text, context)


def test_most_of_the_drawn_plans_act_and_most_of_them_within_steps() -> None:
    """Otherwise the property above would judge nothing."""
    drawn: list[tuple[bool, ...]] = []

    @seed(1)
    @given(st.data())
    @examples(75, suppress=SLOW)
    def act(data: st.DataObject) -> None:
        acts, text, _ = drawn_run(data.draw)
        narrowed = set(text.narrowed)
        drawn.append((
            bool(acts),
            any(each.steps for each in acts),
            any(narrowed & set(each.steps) for each in acts),
            any(each.site in text.undoes for each in acts),
        ))  # fmt: skip

    act()
    acted, in_step, in_narrowed, in_undo = (sum(column) / len(drawn) for column in zip(*drawn, strict=True))
    assert acted >= 2 / 3
    assert in_step >= 1 / 2
    assert in_narrowed >= 1 / 5
    assert in_undo >= 1 / 10


@given(st.data())
@examples(60, suppress=SLOW)
def test_narrowing_the_whole_run_never_widens_it(data: st.DataObject) -> None:
    """The same plan with less does the same up to where it is stopped, and nothing else; its undos are judged alone."""
    wide = contexts(data.draw)
    writer = Writer(data.draw, wide)
    plan = writer.plan()
    kept = [full(each) for each in data.draw(st.sets(st.sampled_from(sorted(ANY)), min_size=3))]
    narrow = wide.narrow(
        capabilities=kept,
        write=data.draw(st.sampled_from([PLACES, PLACES[:1]])),
        allow_computed=None if data.draw(st.booleans()) else False,
    )
    declared = f"{{:capabilities [{' '.join(':' + each for each in sorted(wide.capabilities & set(kept)))}]}}"
    with home() as at:
        all_acts = acts_of(at, plan, wide)
        fewer = acts_of(at, plan, narrow)
        declaring = acts_of(at, f"(with-security-profile {declared} {plan})", wide)
    for act in (*fewer, *declaring):
        assert full(act.capability) in kept
    for act in fewer:
        require_within(act, writer.text, narrow)
    if not writer.text.has_catch:
        for some in (fewer, declaring):
            done = [act.site for act in some if act.site not in writer.text.undoes]
            whole = [act.site for act in all_acts if act.site not in writer.text.undoes]
            assert done == whole[: len(done)]


@given(st.data())
@examples(60, suppress=SLOW)
def test_a_constitution_and_a_mode_only_take_away(data: st.DataObject) -> None:
    context = contexts(data.draw)
    writer = Writer(data.draw, context)
    plan = writer.plan()
    denied, asked = data.draw(st.sampled_from(WORLD)), data.draw(st.sampled_from(WORLD))
    mode = data.draw(st.sampled_from(ExecutionMode))
    rules = rule("deny", "deny", full(denied)) + (
        rule("ask", "require-human-approval", full(asked)) * (asked != denied)
    )
    with home(rules) as at:
        acts = acts_of(at, plan, context, mode)
    for act in acts:
        require_within(act, writer.text, context)
        assert act.capability != denied
        if act.capability == WRITES:
            assert mode is ExecutionMode.FULL
            continue
        contract = CONTRACTS[act.capability]
        is_simulated = mode is ExecutionMode.DRY_RUN and (
            contract.impact is Impact.CHANGES or contract.risk >= Risk.HIGH
        )
        assert not is_simulated
        assert act.capability != asked
        assert mode in (ExecutionMode.FULL, ExecutionMode.DRY_RUN) or contract.risk is Risk.LOW
