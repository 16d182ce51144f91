"""Two profiles together never cover what one of them does not, and all that both do."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from hypothesis import event, example, given
from hypothesis import strategies as st
from tests.property.exploring import examples

from cloister.authority.context import RuntimeContext
from cloister.authority.decision import Decision, Reason
from cloister.authority.destination import Destination
from cloister.authority.hosts import HostRule
from cloister.authority.profile import PlaceSet, StepProfile

PATHS = ("/a", "/a/b", "/a/b/c", "/ab", "/d")
HOSTS = ("x.example", "y.x.example", "z.example")
IDS = ("t.one", "t.two", "t.three")
METHODS = ("GET", "POST")
CONTEXT = RuntimeContext.unsafe_everything()

paths = st.sets(st.sampled_from(PATHS), max_size=3)
places = st.builds(
    lambda exact, trees: PlaceSet(exact=frozenset(exact), trees=tuple(sorted(trees))), exact=paths, trees=paths
)
destinations = st.builds(
    Destination,
    scheme=st.sampled_from(("http", "https")),
    host=st.sampled_from(HOSTS[:2]),
    port=st.sampled_from((80, 443)),
    method=st.sampled_from(("", *METHODS)),
)
rules = st.builds(
    HostRule,
    host=st.sampled_from((*HOSTS, "*.example", "*.x.example", "*")),
    ports=st.none() | st.sets(st.sampled_from((80, 443, 8443)), min_size=1).map(frozenset),
    methods=st.none() | st.sets(st.sampled_from(METHODS), min_size=1).map(frozenset),
)
profiles = st.builds(
    StepProfile,
    step_name=st.none(),
    place=st.none(),
    capabilities=st.just(frozenset(IDS)) | st.sets(st.sampled_from(IDS)).map(frozenset),
    allows_computed=st.booleans(),
    reads=places,
    writes=places,
    destinations=st.sets(destinations, max_size=2).map(frozenset),
    hosts=st.lists(rules, max_size=2).map(tuple),
    environment=st.sets(st.sampled_from("AB")).map(frozenset),
)
asked = st.sets(st.sampled_from(PATHS), max_size=1).map(tuple)
calls = st.builds(
    partial(Decision, allowed=True, reason=Reason.ALLOWED, context=CONTEXT),
    capability_id=st.sampled_from(IDS),
    read_paths=asked,
    write_paths=asked,
    environment=st.sets(st.sampled_from("AB"), max_size=1).map(tuple),
    hosts=st.lists(destinations.filter(lambda place: place.method != ""), max_size=1).map(tuple),
)


POST = Destination(scheme="http", host="x.example", port=80, method="POST")
ANY_METHOD = StepProfile(
    step_name=None, place=None, capabilities=frozenset(IDS), destinations=frozenset({replace(POST, method="")})
)
BY_RULE = StepProfile(
    step_name=None, place=None, capabilities=frozenset(IDS), hosts=(HostRule(host="*", methods=frozenset({"POST"})),)
)
POSTING = Decision(allowed=True, reason=Reason.ALLOWED, context=CONTEXT, capability_id="t.one", hosts=(POST,))


@example(ANY_METHOD, BY_RULE, POSTING)
@examples(1_000)
@given(profiles, profiles, calls)
def test_both_together_cover_exactly_what_each_covers(left: StepProfile, right: StepProfile, call: Decision) -> None:
    expected = left.covers(call) is None and right.covers(call) is None
    event(f"covered: {expected}")
    assert (left.intersect(right).covers(call) is None) is expected
    assert (right.intersect(left).covers(call) is None) is expected
    assert (left.intersect(left).covers(call) is None) is (left.covers(call) is None)
