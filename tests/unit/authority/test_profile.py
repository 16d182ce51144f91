"""What a step may do: derived from what it needs, within the context, and bounded by what it declares."""

from __future__ import annotations

from typing import Any, Final

import pytest

from cloister.authority.authorizer import SecurityAuthorizer
from cloister.authority.context import RuntimeContext
from cloister.authority.decision import Decision
from cloister.authority.hosts import HostRule
from cloister.authority.level import IsolationLevel
from cloister.authority.profile import ClockUse, Feature, PlaceSet, StepProfile
from cloister.authority.profile_derivation import Derivation, derive_all
from cloister.authority.profile_stack import ProfileStack
from cloister.authority.registry import CapabilityRegistry
from cloister.errors import CloisterError, ProfileDenied
from cloister.lang.program import compile_program
from cloister.lang.step_effects import step_effects
from cloister.lang.values import Value
from cloister.limits import ResourceLimits

from .specs import ADD, FETCH, GET_ENV, READ_FILE, SCRIPT, WRITE_FILE, TableResolver, spec

MODEL = spec("ccos.ai.ask", effects=frozenset({":ai"}))
CLOCK = spec("ccos.system.current-time", effects=frozenset({":system"}))
REGISTRY: Final = CapabilityRegistry(
    [READ_FILE, WRITE_FILE, GET_ENV, ADD, SCRIPT, FETCH, MODEL, CLOCK], aliases={"ccos.fs.read": "ccos.io.read-file"}
)
AUTHORIZER: Final = SecurityAuthorizer(REGISTRY, TableResolver({"/srv/data/link": "/srv/data/real"}))
CONTEXT: Final = RuntimeContext.controlled(
    capabilities=["ccos.*"],
    read=["/srv/data"],
    write=["/srv/out"],
    connect=["api.example.com", "GET *.cdn.example.com:8443"],
    environment={"HOME": "/h", "LANG": "C"},
    allow_computed=True,
)


def derived(text: str, context: RuntimeContext = CONTEXT, **inputs: Value) -> dict[str, Derivation]:
    """Return what became of each step by name, and of what is outside by the empty one."""
    program = compile_program(text, inputs=("given", *inputs))
    first, *steps = derive_all(step_effects(program.core), context, AUTHORIZER, REGISTRY, inputs)
    return {"": first, **{each.profile.step_name or "?": each for each in steps}}


def profile_of(text: str, context: RuntimeContext = CONTEXT, **inputs: Value) -> StepProfile:
    """Return the profile of the step `s`, which must lack nothing."""
    found = derived(text, context, **inputs)["s"]
    assert found.shortages == ()
    return found.profile


def decided(capability_id: str, *arguments: Value, context: RuntimeContext = CONTEXT) -> Decision:
    decision = AUTHORIZER.authorize(context, capability_id, arguments)
    assert decision.allowed
    return decision


def code(profile: StepProfile, capability_id: str, *arguments: Value) -> str | None:
    found = profile.covers(decided(capability_id, *arguments))
    return None if found is None else found.code


def test_what_is_written_in_the_plan_is_taken_exactly() -> None:
    profile = profile_of("""(step "s" (call :ccos.fs.read "/srv/data/link") (call :ccos.io.write-file "/srv/out/a" "x")
        (call :ccos.system.get-env "HOME") (call :ccos.network.http-fetch "https://api.example.com/x"))""")
    assert profile.capabilities == {
        "ccos.io.read-file", "ccos.io.write-file", "ccos.system.get-env", "ccos.network.http-fetch"
    }  # fmt: skip
    assert profile.reads == PlaceSet(exact=frozenset({"/srv/data/real"}))
    assert profile.writes == PlaceSet(exact=frozenset({"/srv/out/a"}))
    assert profile.environment == {"HOME"}
    assert [str(place) for place in profile.destinations] == ["GET api.example.com:443"]
    assert (profile.hosts, profile.clock, profile.allows_computed) == ((), ClockUse.NONE, False)


CALLS: Final[dict[str, tuple[str, tuple[Value, ...], tuple[Value, ...]]]] = {
    "reading": ("ccos.io.read-file", ("/srv/data/a",), ("/srv/data/b",)),
    "writing": ("ccos.io.write-file", ("/srv/out/a", "x"), ("/srv/out/b", "x")),
    "variables": ("ccos.system.get-env", ("HOME",), ("LANG",)),
    "hosts": ("ccos.network.http-fetch", ("https://api.example.com",), ("http://api.example.com",)),
    "methods": ("ccos.network.http-fetch", ("https://api.example.com", "POST"), ("https://api.example.com", "GET")),
}
"""A capability, arguments as the plan writes them, and others that the context allows as well."""


@pytest.mark.parametrize("name", CALLS)
def test_a_call_outside_of_what_is_written_is_refused_though_the_context_allows_it(name: str) -> None:
    capability_id, inside, outside = CALLS[name]
    texts = " ".join(f'"{each}"' for each in inside)
    profile = profile_of(f'(step "s" (call :{capability_id} {texts}))')
    assert code(profile, capability_id, *inside) is None
    assert code(profile, capability_id, *outside) == "denied.profile"
    other = profile_of(f'(step "s" (call :ccos.math.add 1)) (call :{capability_id} {texts})')
    assert code(other, capability_id, *inside) == "denied.profile"
    unknown = " ".join(["given", *(f'"{each}"' for each in inside[1:])])
    computed = profile_of(f'(step "s" (call :{capability_id} {unknown}))')
    if name != "methods":
        assert code(computed, capability_id, *outside) is None


def test_the_refusal_names_the_step_the_capability_and_the_grant() -> None:
    profile = profile_of('(step "s" (call :ccos.io.read-file "/srv/data/a"))')
    found = profile.covers(decided("ccos.io.read-file", "/srv/data/b"))
    assert found is not None
    assert found.message == 'the step "s" may not read /srv/data/b, which ccos.io.read-file wants'
    assert "--read /srv/data/b" in found.hint
    assert isinstance(found.error(), ProfileDenied)
    found = profile.covers(decided("ccos.math.add", 1))
    assert found is not None
    assert found.message == 'the step "s" may not call ccos.math.add: the plan does not say that it does'


def test_what_is_computed_is_bounded_by_what_the_context_grants_of_that_kind() -> None:
    profile = profile_of('(step "s" (call :ccos.io.read-file given))')
    assert profile.reads.trees == ("/srv/data", "/srv/out")
    assert (profile.writes, profile.hosts, profile.environment) == (PlaceSet(), (), frozenset())
    fetching = profile_of('(step "s" (call :ccos.network.http-fetch given))')
    assert [str(rule) for rule in fetching.hosts] == ["GET *.cdn.example.com:8443", "api.example.com"]
    assert fetching.reads == PlaceSet()
    assert profile_of('(step "s" (call :ccos.sandbox.python "1" ["/srv/data/a" given]))').reads == PlaceSet(
        exact=frozenset({"/srv/data/a"}), trees=("/srv/data", "/srv/out")
    )
    everything = profile_of('(step "s" (call (str given)))')
    assert everything.allows_computed
    assert code(everything, "ccos.io.read-file", "/srv/data/x") is None


def test_an_input_that_is_known_is_as_good_as_written() -> None:
    assert profile_of('(step "s" (call :ccos.io.read-file path))', path="/srv/data/p").reads == PlaceSet(
        exact=frozenset({"/srv/data/p"})
    )


def test_features_and_the_clock_come_from_what_is_called() -> None:
    assert profile_of('(step "s" (call :ccos.ai.ask))').features == {Feature.MODEL}
    assert profile_of('(step "s" (call :ccos.system.current-time))').clock is ClockUse.REAL
    assert profile_of('(step "s" (call :ccos.system.get-env "HOME"))').clock is ClockUse.NONE
    assert profile_of('(step "s" (call :ccos.sandbox.python "1"))').clock is ClockUse.REAL


def test_what_the_context_does_not_allow_is_listed_precisely() -> None:
    text = '(step "s" (call :ccos.io.read-file "/etc/a") (call :ccos.math.add 1)) (call :ccos.system.get-env "PATH")'
    context = RuntimeContext.controlled(capabilities=["ccos.io.read-file", "ccos.system.get-env"], read=["/srv"])
    found = derived(text, context)
    step = found["s"].shortages
    assert [(each.capability_id, each.error.code, each.grants) for each in step] == [
        ("ccos.io.read-file", "denied.path", ("--read /etc/a",)),
        ("ccos.math.add", "denied.capability", ("--allow ccos.math.add",)),
    ]
    assert text[step[0].start : step[0].end] == '(call :ccos.io.read-file "/etc/a")'
    assert [each.grants for each in found[""].shortages] == [("--env PATH",)]
    assert found["s"].profile.reads == PlaceSet()  # nothing was made to fit
    assert derived('(step "s" (call (str given)))', context)["s"].shortages[0].error.code == "denied.computed"
    assert derived('(step "s" (call :ccos.math.add "x"))', CONTEXT)["s"].shortages[0].error.code == "guest.type"


DECLARED: Final[dict[str, tuple[str, str, str]]] = {
    "capabilities": (
        ":capabilities [:ccos.fs.read]", '(call :ccos.io.read-file "/srv/data/a")', "(call :ccos.math.add 1)"),
    "reading": (
        ':read ["/srv/data/a"]', '(call :ccos.io.read-file "/srv/data/a")', '(call :ccos.io.read-file "/srv/data/b")'),
    "writing": (
        ':write ["/srv/out/a"]', '(call :ccos.io.write-file "/srv/out/a" "x")',
        '(call :ccos.io.write-file "/srv/out/b" "x")'),
    "variables": (':env ["HOME"]', '(call :ccos.system.get-env "HOME")', '(call :ccos.system.get-env "LANG")'),
    "hosts": (
        ':hosts ["GET api.example.com"]', '(call :ccos.network.http-fetch "https://api.example.com")',
        '(call :ccos.network.http-fetch "https://api.example.com" "POST")'),
    "features": (":features [:model]", "(call :ccos.ai.ask)", "(call :ccos.ai.ask)"),
    "determinism": (":deterministic true", '(call :ccos.system.get-env "HOME")', "(call :ccos.system.current-time)"),
    "code of others": (":deterministic true", "(call :ccos.math.add 1)", '(call :ccos.sandbox.python "1")'),
    "computed ids": (":capabilities [:ccos.math.add]", "(call :ccos.math.add 1)", "(call (str given))"),
}  # fmt: skip
"""What is declared, a body that fits, and one that does not."""


def declaring(declared: str, body: str) -> Derivation:
    return derived(f"(with-security-profile {{{declared}}} {body})")["with-security-profile"]


@pytest.mark.parametrize("name", DECLARED)
def test_a_body_that_needs_more_than_it_declares_is_refused(name: str) -> None:
    declared, fitting, exceeding = DECLARED[name]
    assert declaring(declared, fitting).shortages == ()
    found = declaring(":features []" if name == "features" else declared, exceeding).shortages
    assert [type(each.error) for each in found] == [ProfileDenied]
    assert found[0].error.code == "denied.profile-needs"
    assert declaring("", exceeding).shortages == ()


@pytest.mark.parametrize(
    ("declared", "named"),
    [
        (":capabilities [:ccos.nothing]", "ccos.nothing"),
        (':read ["/etc"]', "/etc"),
        (':write ["/srv/data"]', "/srv/data"),
        (':env ["PATH"]', "PATH"),
        (':hosts ["POST *.cdn.example.com:8443"]', "POST"),
        (':hosts ["http://"]', "http://"),
        (":limits {:wall-ms 999999999}", "wall_ms"),
        (":features [:gpu]", "gpu"),
    ],
)
def test_declaring_more_than_the_context_has_is_refused(declared: str, named: str) -> None:
    found = declaring(declared, "1").shortages
    assert [each.error.code for each in found] == ["denied.profile-wider"]
    assert named in found[0].error.message


@pytest.mark.parametrize(
    ("declared", "message", "hint"),
    [
        (
            ":capabilities [:ccos.io.raed-file]",
            "ccos.io.raed-file, which is not known",
            "did you mean ccos.io.read-file?",
        ),
        (':read ["/etc"]', "the read path /etc, which the run was not granted", "grant it with --read /etc, or leave"),
        (':env ["PATH"]', "the variable PATH, which the run was not granted", "--env PATH"),
        (
            ":limits {:wall-ms 999999999}",
            "wall_ms of 999999999, which the run was not granted",
            "--limit wall-ms=999999999",
        ),
        (":features [:gpu]", "declares the feature gpu, which nothing here has", "leave it out: no grant opens it"),
    ],
)
def test_what_is_declared_beyond_says_what_would_grant_it(declared: str, message: str, hint: str) -> None:
    (found,) = declaring(declared, "1").shortages
    assert found.error.message.endswith(message)
    assert hint in (found.error.hint or "")
    assert "gpu, which nothing here has, which" not in found.error.message


def test_a_declaration_bounds_what_only_the_run_knows() -> None:
    found = declaring(
        ':read ["/srv/data/sub"] :env [] :hosts ["GET api.example.com"] :limits {:wall-ms 5} :isolation :wasm',
        "(call :ccos.io.read-file given) (call :ccos.system.get-env given) (call :ccos.network.http-fetch given)",
    )
    assert found.shortages == ()
    profile = found.profile
    assert profile.reads == PlaceSet(trees=("/srv/data/sub",))
    assert profile.environment == frozenset()
    assert [str(rule) for rule in profile.hosts] == ["GET api.example.com"]
    assert profile.limits == ResourceLimits(wall_ms=5)
    assert profile.minimum_isolation is IsolationLevel.WASM
    assert code(profile, "ccos.io.read-file", "/srv/data/sub/a") is None
    assert code(profile, "ccos.io.read-file", "/srv/data/a") == "denied.profile"
    weak, strong = profile.refuses_level(IsolationLevel.PROCESS), profile.refuses_level(IsolationLevel.WASM)
    assert (weak and weak.code, strong) == ("denied.profile-isolation", None)


def test_two_profiles_together_cover_what_both_do() -> None:
    wide = profile_of('(step "s" (call :ccos.io.read-file given) (call :ccos.network.http-fetch given))')
    small = profile_of("""(step "s" (call :ccos.io.read-file "/srv/data/a") (call :ccos.system.get-env "HOME")
        (call :ccos.network.http-fetch "https://api.example.com"))""")
    for both in (wide.intersect(small), small.intersect(wide)):
        assert both.capabilities == {"ccos.io.read-file", "ccos.network.http-fetch"}
        assert both.reads == PlaceSet(exact=frozenset({"/srv/data/a"}))
        assert both.environment == frozenset()
        assert both.destinations == small.destinations
        assert both.hosts == ()


def test_a_context_narrowed_to_a_profile_has_no_more_places_than_it() -> None:
    profile = profile_of("""(step "s" (call :ccos.io.read-file "/srv/data/a")
        (call :ccos.network.http-fetch "https://api.example.com") (call :ccos.system.get-env "HOME"))""")
    small = profile.narrow(CONTEXT)
    assert small.read_paths == ("/srv/data/a",)
    assert (small.write_paths, small.environment_names) == ((), ("HOME",))
    assert small.hosts == (HostRule(host="api.example.com", ports=frozenset({443})),)
    assert profile.narrow(RuntimeContext.unsafe_everything()).limits == profile.limits


def test_the_identity_of_a_profile_is_all_it_says() -> None:
    text = '(step "s" (call :ccos.io.read-file "/srv/data/a"))'
    profile, same, other = profile_of(text), profile_of(text), profile_of(text.replace("/a", "/b"))
    assert profile.profile_id == same.profile_id != other.profile_id
    data: dict[str, Any] = profile.to_dict()
    assert (data["profile_id"], data["place"]) == (profile.profile_id, 0)
    assert data["filesystem"]["reads"] == {"exact": ["/srv/data/a"], "trees": []}


# Which hold when

NESTED: Final = """(step "a" :undo (fn [] (call :ccos.io.read-file "/srv/data/u"))
  (call :ccos.io.read-file given) (step "b" :undo (fn [] 1) (call :ccos.io.read-file "/srv/data/b")))"""


def stack(text: str = NESTED) -> tuple[ProfileStack, dict[str, int]]:
    outside, *steps = (each.profile for each in derive_all(step_effects(compile_program(text, inputs=("given",)).core),
                                                            CONTEXT, AUTHORIZER, REGISTRY))  # fmt: skip
    return ProfileStack(outside, steps), {str(each.step_name): each.place or 0 for each in steps}


def reads(found: ProfileStack, path: str) -> bool:
    return found.violation(decided("ccos.io.read-file", path)) is None


def test_calls_are_held_to_every_open_step() -> None:
    found, places = stack()
    assert not reads(found, "/srv/data/x")
    found.step_started(places["a"], has_undo=True)
    assert reads(found, "/srv/data/x")
    found.step_started(places["b"], has_undo=True)
    assert (reads(found, "/srv/data/b"), reads(found, "/srv/data/x")) == (True, False)
    assert found.innermost.step_name == "b"
    found.step_ended(is_well=True)
    assert reads(found, "/srv/data/x")
    found.step_ended(is_well=True)
    assert not reads(found, "/srv/data/b")


def test_a_profile_around_bounds_the_steps_inside() -> None:
    text = '(with-security-profile {:read ["/srv/data/p"]} (step "b" (call :ccos.io.read-file given)))'
    found, places = stack(text)
    found.step_started(places["with-security-profile"])
    found.step_started(places["b"])
    assert (reads(found, "/srv/data/p/x"), reads(found, "/srv/data/x")) == (True, False)
    assert found.together.reads == PlaceSet(trees=("/srv/data/p",))
    assert found.together.step_name == "b"


def test_an_undo_has_what_its_step_had_and_no_more() -> None:
    text = f'(with-security-profile {{:read ["/srv/data/p"]}} {NESTED.replace("/srv/data/", "/srv/data/p/")})'
    found, places = stack(text)
    found.step_started(places["with-security-profile"])
    found.step_started(places["a"], has_undo=True)
    found.step_started(places["b"], has_undo=True)
    found.step_ended(is_well=True)
    found.step_ended(is_well=True)
    found.step_ended(is_well=False)
    assert not reads(found, "/srv/data/p/u")
    found.undo_started()
    assert (reads(found, "/srv/data/p/u"), reads(found, "/srv/data/u")) == (True, False)
    found.undo_ended()
    found.undo_started()
    assert (reads(found, "/srv/data/p/b"), reads(found, "/srv/data/p/u")) == (True, False)
    found.undo_ended()
    assert not reads(found, "/srv/data/p/u")


def test_a_step_the_plan_does_not_have_is_refused() -> None:
    found, places = stack()
    with pytest.raises(ProfileDenied) as caught:
        found.step_started(places["b"] + 1)
    assert caught.value.code == "denied.profile-unknown"
    assert isinstance(caught.value, CloisterError)
    found.step_started(places["b"])
