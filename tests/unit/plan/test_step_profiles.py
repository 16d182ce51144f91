"""From a compiled plan to profiles, and to refusals that point into its text."""

from __future__ import annotations

from pathlib import Path

from cloister.authority.authorizer import SecurityAuthorizer
from cloister.authority.context import RuntimeContext
from cloister.authority.level import IsolationLevel
from cloister.capabilities.catalog import builtin_catalog
from cloister.errors import CapabilityDenied, ProfileDenied
from cloister.isolation.host_paths import HostPathResolver
from cloister.lang.program import compile_program
from cloister.plan.step_profiles import PlanProfiles, derive_profiles

CONTEXT = RuntimeContext.controlled(capabilities=["ccos.math.add", "ccos.echo"])


def profiles(text: str, context: RuntimeContext = CONTEXT) -> PlanProfiles:
    registry = builtin_catalog().registry
    authorizer = SecurityAuthorizer(registry, HostPathResolver(Path("/")))
    return derive_profiles(compile_program(text), context, authorizer, registry)


def test_each_step_has_its_profile_and_the_rest_has_one() -> None:
    text = '(call :ccos.echo 1) (step "add" (call :ccos.math.add 1 2))'
    found = profiles(text)
    assert found.refusals == ()
    assert found.outside.capabilities == {"ccos.echo"}
    assert [(each.step_name, each.place, each.capabilities) for each in found.steps] == [
        ("add", text.index("(step"), {"ccos.math.add"})
    ]
    stack = found.stack()
    assert stack.innermost is found.outside
    assert stack.step_started(text.index("(step")) is found.steps[0]


def test_what_does_not_fit_is_refused_once_and_at_its_place() -> None:
    text = """(step "outer"
      (with-security-profile {:capabilities [:ccos.echo]} (call :ccos.math.add 1)))
      (step "time" (call :ccos.system.current-time))"""
    found = profiles(text).refusals
    assert [(type(each), each.code, each.span and each.span.line) for each in found] == [
        (ProfileDenied, "denied.profile-needs", 2),
        (CapabilityDenied, "denied.capability", 3),
    ]
    fitting = profiles(text.replace("[:ccos.echo]", "[:ccos.math.add]").replace("system.current-time", "echo 1"))
    assert fitting.refusals == ()


def test_a_provider_that_isolates_less_than_a_step_demands_is_named() -> None:
    found = profiles("(with-security-profile {:isolation :machine} 1)")
    weak = found.too_weak(IsolationLevel.PROCESS)
    assert weak is not None
    assert weak.code == "denied.profile-isolation"
    assert found.too_weak(IsolationLevel.MACHINE) is None
