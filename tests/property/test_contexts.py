"""Contexts only shrink, come back from their data, and rules decide as if each were looked at alone."""

from __future__ import annotations

import fnmatch
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.exploring import examples
from tests.unit.authority.specs import authorizer

from cloister.authority.condition import Condition, Operator, Truth, forbidding, granting, parse_conditions
from cloister.authority.context import RuntimeContext
from cloister.authority.destination import destination
from cloister.authority.exposure import ContextExposure
from cloister.authority.hosts import HostRule, denying_rule, granting_rule, intersect_hosts
from cloister.authority.level import IsolationLevel, StepIsolation
from cloister.authority.pattern import CapabilityPattern, Glob
from cloister.authority.rules import AccessRule, Moment, RuleAction, rules_about
from cloister.canonical import encode
from cloister.errors import ConfigError
from cloister.lang.effects import UNKNOWN
from cloister.lang.values import Keyword, Map
from cloister.limits import ResourceLimits

READ, WRITE, FETCH, ENV, ADD = (
    "ccos.io.read-file", "ccos.io.write-file", "ccos.network.http-fetch", "ccos.system.get-env", "ccos.math.add"
)  # fmt: skip
NAMES = st.sampled_from([READ, WRITE, FETCH, ENV, ADD, "ccos.fs.read", "ccos.fs.write", "ccos.sandbox.python"])
GLOBS = st.sampled_from(["ccos.*", "ccos.io.*", "ccos.fs.*", "*.read-file", "ccos.*-file", "ccos.network.*", "c*.m*"])
PATHS = st.sampled_from(["/", "/srv", "/srv/data", "/srv/data/a", "/etc"])
HOST_TEXTS = st.sampled_from(
    [
        "*",
        "a.example",
        "*.example",
        "GET a.example",
        "POST,GET *.example",
        "a.example:99",
        "*:*",
        "10.0.0.0/8",
        "10.1.2.3",
    ]
)
EFFECTS = st.sets(st.sampled_from([":compute", ":filesystem", ":network", ":system", ":process"]))
LIMITS = st.builds(ResourceLimits, wall_ms=st.integers(1, 10**6), depth_count=st.integers(1, 10**5))
EXPOSURES = st.builds(
    ContextExposure,
    capabilities=st.sets(NAMES, min_size=1).map(frozenset),
    prefixes=st.sets(st.sampled_from(["ccos.", "ccos.io."])).map(frozenset),
    tags=st.sets(st.sampled_from(["x", "y"])).map(frozenset),
)

# --- rules ----------------------------------------------------------------------------------------------------------

SCALARS = st.sampled_from(["a", "ab", "/srv/data", "https://a.example", 1, 2, 2.5, True])
TEXTS = st.lists(st.sampled_from(["a", "a*", "*b", "/srv/data/*", "c"]), min_size=1, max_size=3).map(tuple)
CONDITIONS = st.one_of(
    st.builds(dict, operator=st.sampled_from([Operator.EQUALS, Operator.NOT_EQUALS]), value=SCALARS),
    st.builds(dict, operator=st.sampled_from([Operator.IN, Operator.NOT_IN, Operator.MATCHES]), value=TEXTS),
    st.builds(dict, operator=st.just(Operator.UNDER), value=st.lists(PATHS, min_size=1, max_size=2).map(tuple)),
    st.builds(dict, operator=st.just(Operator.HOST_IN), value=st.sampled_from(["a.example", "*.example"])),
    st.builds(dict, operator=st.sampled_from([Operator.AT_MOST, Operator.AT_LEAST]), value=st.integers(0, 3)),
    st.builds(dict, operator=st.just(Operator.LENGTH_AT_MOST), value=st.integers(0, 3)),
    st.builds(dict, operator=st.sampled_from([Operator.PRESENT, Operator.ABSENT]), value=st.just(True)),
).flatmap(
    lambda fields: st.sampled_from(["path", "path", "url", "options.size"]).map(
        lambda argument: Condition(argument=argument, **fields)
    )
)


RULE_PATTERNS = st.sampled_from([READ, "ccos.*", "ccos.io.*", "ccos.fs.*", FETCH, "ccos.math.*"])


@st.composite
def rule_layers(draw: st.DrawFn, max_size: int = 6) -> tuple[AccessRule, ...]:
    found: list[AccessRule] = []
    for number in range(draw(st.integers(0, max_size))):
        try:
            rule = AccessRule(
                id=f"r{number}",
                pattern=CapabilityPattern(draw(RULE_PATTERNS)),
                action=draw(st.sampled_from(RuleAction)),
                conditions=tuple(draw(st.lists(CONDITIONS, max_size=2))),
            )
        except ConfigError:
            continue  # it could never hold
        others = {(each.pattern.text, frozenset(each.conditions)) for each in found}
        if (rule.pattern.text, frozenset(rule.conditions)) not in others:
            found.append(rule)
    return tuple(found)


ITEMS = st.one_of(SCALARS, st.just(None), st.just(UNKNOWN), SCALARS.map(str).map(Keyword))
VALUES = st.one_of(
    ITEMS, st.lists(ITEMS, max_size=3).map(tuple), st.builds(Map, st.dictionaries(st.just("size"), ITEMS))
)
ARGUMENTS = st.dictionaries(st.sampled_from(["path", "url", "name", "options"]), VALUES)


ALIKE = st.tuples(
    st.lists(
        st.tuples(st.sampled_from(RuleAction), st.sets(st.sampled_from(["/", "/a", "/b", "/c", "/a/b"]), min_size=1)),
        min_size=2,
        max_size=5,
        unique_by=lambda each: frozenset(each[1]),
    ),
    st.sampled_from([Operator.UNDER, Operator.IN]),
).map(
    lambda found: tuple(
        AccessRule(
            id=f"r{number}",
            pattern=CapabilityPattern(READ),
            action=action,
            conditions=(Condition(argument="path", operator=operator, value=tuple(sorted(roots))),),
        )
        for number, (action, roots) in enumerate(found[0])
        for operator in [found[1]]
    )
)
"""Rules that are looked at together; those of `rule_layers` rarely are."""
PLACED = st.one_of(
    st.just(UNKNOWN), st.sampled_from(["/", "/a", "/a/b/x", "/a/x", "/ab", "/b", "/d", "/a/../d", "x", 1, Keyword("x")])
)
PLACED_ARGUMENTS = st.builds(dict, path=st.one_of(PLACED, st.lists(PLACED, max_size=3).map(tuple)))


@examples(200)
@given(
    st.one_of(rule_layers(12), ALIKE), st.one_of(ARGUMENTS, PLACED_ARGUMENTS, PLACED_ARGUMENTS), st.sampled_from(Moment)
)
def test_rules_in_groups_decide_as_each_alone(
    rules: tuple[AccessRule, ...], arguments: dict[str, Any], moment: Moment
) -> None:
    names = frozenset({READ, "ccos.fs.read"})
    named = [rule for rule in rules if any(map(rule.pattern.matches, names))]
    against = {Truth.HOLDS, Truth.OPEN} if moment is Moment.CALL else {Truth.HOLDS}
    enough = {Truth.HOLDS} if moment is Moment.CALL else {Truth.HOLDS, Truth.OPEN}
    denying = [
        rule for rule in named
        if rule.action is RuleAction.DENY and forbidding(rule.conditions, arguments) in against
    ]  # fmt: skip
    allowing = [rule for rule in named if rule.action is RuleAction.ALLOW]
    missing = bool(allowing) and not any(granting(rule.conditions, arguments) in enough for rule in allowing)
    found = rules_about(rules, names)
    refusal = found.refusal(arguments, moment) if found else ()
    if denying:
        assert len(refusal) == 1
        assert refusal[0] in denying
    else:
        assert set(refusal) == (set(allowing) if missing else set())


@examples()
@given(st.lists(CONDITIONS, min_size=1, max_size=3), ARGUMENTS)
def test_doubt_counts_against_the_call(conditions: list[Condition], arguments: dict[str, Any]) -> None:
    truths = {condition.judge(arguments) for condition in conditions}
    if Truth.UNFIT in truths:
        assert granting(conditions, arguments) is not Truth.HOLDS
        if truths <= {Truth.UNFIT, Truth.HOLDS}:
            assert forbidding(conditions, arguments) is Truth.HOLDS
    if granting(conditions, arguments) is Truth.HOLDS:
        assert truths == {Truth.HOLDS}


@examples()
@given(CONDITIONS)
def test_a_condition_comes_back_from_its_data(condition: Condition) -> None:
    data = json.loads(encode([condition.to_dict()]))
    assert parse_conditions(data, "a rule") == (condition,)


# --- patterns and hosts ---------------------------------------------------------------------------------------------


@examples()
@given(st.text("ab.*", min_size=1, max_size=8), st.text("ab.", max_size=10))
def test_a_glob_agrees_with_fnmatch(pattern: str, text: str) -> None:
    assert Glob(pattern).matches(text) is fnmatch.fnmatchcase(text, pattern)


@examples()
@given(st.text("ab*", min_size=1, max_size=6), st.text("ab*", min_size=1, max_size=6), st.text("ab", max_size=8))
def test_a_glob_that_covers_another_matches_what_it_matches(wide: str, small: str, text: str) -> None:
    if Glob(wide).covers(Glob(small)) and Glob(small).matches(text):
        assert Glob(wide).matches(text)


URLS = st.builds(
    "{}://{}{}".format,
    st.sampled_from(["http", "https"]),
    st.sampled_from(["a.example", "b.a.example", "example", "10.1.2.3", "localhost", "11.0.0.1"]),
    st.sampled_from(["", ":99", ":443"]),
)
METHODS = st.sampled_from(["", "GET", "POST", "PUT"])


@examples()
@given(st.lists(HOST_TEXTS), st.lists(HOST_TEXTS), URLS, METHODS)
def test_the_intersection_of_hosts_is_what_both_allow(left: list[str], right: list[str], url: str, method: str) -> None:
    place = destination(url, method)
    assert place is not None
    ours, theirs = (tuple(map(HostRule.allowing, texts)) for texts in (left, right))
    both = granting_rule(place, ours) is not None and granting_rule(place, theirs) is not None
    assert (granting_rule(place, intersect_hosts(ours, theirs)) is not None) is both


@examples(300)
@given(HOST_TEXTS, URLS, METHODS)
def test_a_denial_denies_at_least_what_a_grant_of_the_same_text_grants(text: str, url: str, method: str) -> None:
    place = destination(url, method)
    assert place is not None
    if HostRule.allowing(text).covers(place):
        assert denying_rule(place, [HostRule.denying(text)])


# --- contexts -------------------------------------------------------------------------------------------------------


ASKED: dict[str, st.SearchStrategy[Any]] = {
    "capabilities": st.sets(st.one_of(NAMES, GLOBS), min_size=1, max_size=3),
    "deny": st.sets(st.one_of(NAMES, GLOBS), max_size=2),
    "allow_effects": EFFECTS,
    "deny_effects": EFFECTS.filter(lambda found: len(found) < 3),
    "rules": rule_layers(3),
    "read": st.sets(PATHS, min_size=1, max_size=2),
    "write": st.sets(PATHS, min_size=1, max_size=2),
    "connect": st.sets(HOST_TEXTS, min_size=1, max_size=3),
    "deny_hosts": st.sets(HOST_TEXTS, max_size=2),
    "environment": st.sets(st.sampled_from(["A", "B", "C"])),
    "limits": LIMITS,
    "minimum_isolation": st.sampled_from(IsolationLevel),
    "step_isolation": st.sets(st.sampled_from(StepIsolation)),
    "allow_computed": st.booleans(),
    "expose": EXPOSURES,
    "parameters": st.sets(st.sampled_from(["p", "q", "r"])),
}
REQUESTS = st.lists(st.sampled_from(sorted(ASKED)), min_size=1, max_size=3, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: ASKED[name] for name in names})
)
"""A few parts at a time: when everything is narrowed at once, hardly a call is allowed and nothing is compared."""
WIDE = RuntimeContext.controlled(
    capabilities=["ccos.*"],
    read=["/"],
    write=["/"],
    connect=["*:*", "localhost:*", "0.0.0.0/0:*"],
    environment={"A": "1", "B": "2"},
    allow_computed=True,
    expose=ContextExposure(prefixes=frozenset({"ccos."}), tags=frozenset({"x"})),
    parameters={"p": 1, "q": [None, "x"]},
)
CONTEXTS = st.one_of(
    st.builds(
        lambda capabilities, request: replace(WIDE, capabilities=frozenset(capabilities), patterns=frozenset()).narrow(
            **{name: value for name, value in request.items() if name != "capabilities"}
        ),
        ASKED["capabilities"],
        REQUESTS,
    ),
    st.builds(lambda request: narrowed(RuntimeContext.unsafe_everything(environment={"A": "1"}), request), REQUESTS),
)


def narrowed(context: RuntimeContext, request: dict[str, Any]) -> RuntimeContext:
    if context.is_unsafe and "capabilities" not in request:
        request = request | {"capabilities": {READ, FETCH}}
    return context.narrow(**request)


PLACES = st.sampled_from(["/srv/data/a", "/srv/x", "/etc/passwd", "/srv/data/../x", "/other"])
CALLS = st.one_of(
    st.tuples(st.sampled_from([READ, "ccos.fs.read"]), st.tuples(PLACES)),
    st.tuples(st.sampled_from([WRITE, "ccos.fs.write"]), st.tuples(PLACES, st.just("x"))),
    st.tuples(st.just(FETCH), st.tuples(URLS, st.sampled_from(["GET", "POST", Keyword("put")]))),
    st.tuples(st.just(ENV), st.tuples(st.sampled_from(["A", "B", "C"]))),
    st.tuples(st.just(ADD), st.tuples(st.integers(0, 3))),
    st.tuples(st.just("ccos.sandbox.python"), st.tuples(st.just("1"), st.lists(PLACES, max_size=2).map(tuple))),
)


@examples(500)
@given(CONTEXTS, REQUESTS, CALLS)
def test_what_a_narrower_context_allows_the_wider_one_allows(
    context: RuntimeContext, request: dict[str, Any], call: tuple[str, tuple[Any, ...]]
) -> None:
    small = narrowed(context, request)
    if authorizer().authorize(small, *call).allowed:
        assert authorizer().authorize(context, *call).allowed
    for capability_id in (READ, FETCH, "other"):
        if small.is_context_exposure_allowed_for(capability_id, ["x"]):
            assert context.is_context_exposure_allowed_for(capability_id, ["x"])
    assert small.step_isolation <= context.step_isolation
    assert small.allow_computed <= context.allow_computed
    assert small.minimum_isolation >= context.minimum_isolation
    assert small.parameters.items() <= context.parameters.items()


@examples()
@given(CONTEXTS, REQUESTS, CALLS)
def test_what_is_asked_for_bounds_what_a_narrower_context_allows(
    context: RuntimeContext, request: dict[str, Any], call: tuple[str, tuple[Any, ...]]
) -> None:
    small = narrowed(context, request)
    if not authorizer().authorize(small, *call).allowed:
        return
    asked = {name: request[name] for name in ("deny", "allow_effects", "deny_effects", "rules") if name in request}
    everything = RuntimeContext.unsafe_everything().narrow(**asked)
    assert authorizer().authorize(everything, *call).allowed


@examples()
@given(CONTEXTS, REQUESTS, CALLS)
def test_a_child_is_as_narrow_or_refused(
    context: RuntimeContext, request: dict[str, Any], call: tuple[str, tuple[Any, ...]]
) -> None:
    if context.is_unsafe:
        request = request | {"capabilities": {READ, FETCH}}
    try:
        child = context.child(**request)
    except ConfigError as error:
        assert error.code == "config.wider"  # noqa: PT017
        return
    assert child.parent_id == context.context_id
    if authorizer().authorize(child, *call).allowed:
        assert authorizer().authorize(context, *call).allowed


@examples()
@given(CONTEXTS, REQUESTS)
def test_narrowing_twice_is_narrowing_once(context: RuntimeContext, request: dict[str, Any]) -> None:
    if "write" in request and "read" not in request:
        return  # giving up writing gives up the reading in it
    once = narrowed(context, request)
    assert narrowed(once, request) == once


@examples()
@given(CONTEXTS, REQUESTS, st.sampled_from(["1", "2"]))
def test_a_context_comes_back_from_its_data(context: RuntimeContext, request: dict[str, Any], value: str) -> None:
    small = narrowed(context, request)
    data = json.loads(encode(small.to_dict()))
    again = RuntimeContext.from_dict(data, dict(small.environment))
    assert again == small
    assert again.sha256 == small.sha256
    other = RuntimeContext.from_dict(data, dict.fromkeys(small.environment_names, value))
    assert other.sha256 == small.sha256


@examples(300)
@given(CONTEXTS, CALLS)
def test_what_is_refused_before_the_run_is_refused_at_the_call(
    context: RuntimeContext, call: tuple[str, tuple[Any, ...]]
) -> None:
    capability_id, arguments = call
    for number in range(len(arguments) + 1):
        outline = tuple(UNKNOWN if place == number else value for place, value in enumerate(arguments))
        if not authorizer().foresee(context, capability_id, outline).allowed:
            assert not authorizer().authorize(context, capability_id, arguments).allowed


def test_the_pure_context_stays_pure() -> None:
    with pytest.raises(ConfigError):
        RuntimeContext.from_dict(RuntimeContext.pure().to_dict() | {"patterns": ["ccos.*"]})
