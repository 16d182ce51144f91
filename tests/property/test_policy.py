"""Path rules and narrowing hold for everything that can be generated, not only for the examples we thought of."""

from __future__ import annotations

from pathlib import PurePosixPath

from hypothesis import given
from hypothesis import strategies as st
from tests.property.exploring import examples

from cloister.authority.context import RuntimeContext
from cloister.authority.level import IsolationLevel
from cloister.authority.policy import (
    granted_path,
    intersect_roots,
    is_canonical,
    is_kernel_path,
    is_within,
    outermost,
    uncovered,
)
from cloister.limits import ResourceLimits

NAMES = st.sampled_from(["a", "b", "ab", "a.", "..a", "...", "é", " ", "\n"])
CANONICAL = st.lists(NAMES, max_size=5).map(lambda names: "/" + "/".join(names))
ANY_PATH = st.text(alphabet="/.ab\0", max_size=12)
ROOTS = st.lists(CANONICAL, max_size=4)
IDS = st.sets(st.sampled_from(["c.a", "c.b", "c.c", "c.d"]))
VARIABLES = st.dictionaries(st.sampled_from(["A", "B", "C"]), st.text(alphabet="xyz"))
LIMITS = st.builds(
    ResourceLimits, wall_ms=st.integers(1, 10**6), memory_bytes=st.integers(1, 10**9), depth_count=st.integers(1, 10**5)
)
LEVELS = st.sampled_from(list(IsolationLevel))


@examples()
@given(CANONICAL, CANONICAL)
def test_within_agrees_with_pathlib(path: str, root: str) -> None:
    assert is_canonical(path)
    assert is_within(path, root) is PurePosixPath(path).is_relative_to(PurePosixPath(root))


@examples()
@given(ANY_PATH, CANONICAL)
def test_nothing_uncanonical_is_within_anything(path: str, root: str) -> None:
    parts = path.split("/")
    clean = path == "/" or (path.startswith("/") and not {"", ".", ".."}.intersection(parts[1:]) and "\0" not in path)
    assert is_canonical(path) is clean
    if not clean:
        assert not is_within(path, root)


@examples()
@given(CANONICAL, CANONICAL, CANONICAL)
def test_within_is_an_order(first: str, second: str, third: str) -> None:
    assert is_within(first, first)
    if is_within(first, second) and is_within(second, first):
        assert first == second
    if is_within(first, second) and is_within(second, third):
        assert is_within(first, third)


@examples()
@given(ROOTS, ROOTS, CANONICAL)
def test_an_intersection_covers_exactly_what_both_cover(left: list[str], right: list[str], path: str) -> None:
    both = uncovered([path], left) is None and uncovered([path], right) is None
    assert (uncovered([path], intersect_roots(left, right)) is None) is both


@examples()
@given(ROOTS, CANONICAL)
def test_outermost_roots_cover_the_same(roots: list[str], path: str) -> None:
    assert (uncovered([path], outermost(roots)) is None) is (uncovered([path], roots) is None)


@examples()
@given(CANONICAL)
def test_a_canonical_grant_stays_as_it_is(path: str) -> None:
    if not is_kernel_path(path):
        assert granted_path(path) == path


CONTEXTS = st.one_of(
    st.builds(RuntimeContext.pure, limits=LIMITS, minimum_isolation=LEVELS),
    st.builds(
        RuntimeContext.controlled,
        capabilities=IDS,
        read=ROOTS,
        write=ROOTS,
        environment=VARIABLES,
        limits=LIMITS,
        minimum_isolation=LEVELS,
        allow_computed=st.booleans(),
    ),
)
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "capabilities": IDS,
        "read": ROOTS,
        "write": ROOTS,
        "environment": st.sets(st.sampled_from(["A", "B", "C", "D"])),
        "limits": LIMITS,
        "minimum_isolation": LEVELS,
        "allow_computed": st.booleans(),
    },
)


@examples()
@given(CONTEXTS, REQUESTS, CANONICAL)
def test_narrow_never_widens(context: RuntimeContext, request: dict[str, object], path: str) -> None:
    small = context.narrow(**request)  # type: ignore[arg-type]
    assert small.capabilities <= context.capabilities
    assert set(small.environment) <= set(context.environment)
    assert all(small.limits.to_dict()[name] <= allowed for name, allowed in context.limits.to_dict().items())
    assert small.minimum_isolation >= context.minimum_isolation
    assert context.allow_computed or not small.allow_computed
    assert uncovered(small.readable_paths, context.readable_paths) is None
    assert uncovered(small.writable_paths, context.writable_paths) is None
    if uncovered([path], context.readable_paths) is not None:
        assert uncovered([path], small.readable_paths) is not None


@examples()
@given(CONTEXTS, REQUESTS)
def test_narrowing_twice_is_narrowing_once(context: RuntimeContext, request: dict[str, object]) -> None:
    once = context.narrow(**request)  # type: ignore[arg-type]
    if "write" not in request or "read" in request:
        assert once.narrow(**request) == once  # type: ignore[arg-type]


@examples()
@given(REQUESTS.filter(lambda request: "capabilities" in request))
def test_narrowing_everything_gives_at_most_what_was_asked(request: dict[str, object]) -> None:
    small = RuntimeContext.unsafe_everything(environment={"A": "1"}).narrow(**request)  # type: ignore[arg-type]
    assert not small.is_unsafe
    assert small.capabilities == request["capabilities"]
    assert set(small.environment_names) <= {"A"}
    for option, held in (("read", small.read_paths), ("write", small.write_paths)):
        if option in request:
            assert uncovered(held, request[option]) is None  # type: ignore[arg-type]
