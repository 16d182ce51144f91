"""What is decided before a run, from the text and the inputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloister.authority.authorizer import Reason, SecurityAuthorizer
from cloister.authority.context import RuntimeContext
from cloister.capabilities.catalog import builtin_catalog
from cloister.isolation.host_paths import HostPathResolver
from cloister.lang.program import compile_program
from cloister.lang.values import Value
from cloister.plan.admission import Requirement, argument_texts, refusals, requirements

CONTEXT = RuntimeContext.controlled(capabilities=["ccos.io.write-file"], write=["/srv/data"])


def required(text: str, context: RuntimeContext = CONTEXT, **inputs: Value) -> tuple[Requirement, ...]:
    authorizer = SecurityAuthorizer(builtin_catalog().registry, HostPathResolver(Path("/")))
    return requirements(compile_program(text, inputs=[*inputs, "given"]), context, authorizer, inputs)


@pytest.mark.parametrize("path", ['"/etc/passwd"', "out"])
def test_a_known_path_outside_the_grants_is_refused(path: str) -> None:
    (found,) = required(f"(call :ccos.io.write-file {{:path {path} :content (str 1)}})", out="/etc/passwd")
    assert found.decision.reason is Reason.PATH
    assert found.needed == ("--write /etc/passwd",)
    (allowed,) = required(f"(call :ccos.io.write-file {{:path {path} :content (str 1)}})".replace("/etc", "/srv/data"),
                          out="/srv/data/x")  # fmt: skip
    assert allowed.is_admissible
    assert not allowed.is_known


def test_a_refusal_and_what_is_needed_name_one_grant_in_the_same_words() -> None:
    reading = RuntimeContext.controlled(capabilities=["ccos.io.read-file"])
    (found,) = required('(call :ccos.io.read-file "/srv/a\x1b[31m b")', reading)
    assert found.decision.denied_grants == found.needed == ("--read '/srv/a\N{REPLACEMENT CHARACTER}[31m b'",)


def test_no_path_is_cut_to_another_one() -> None:
    path = "/srv" + "/directory" * 400
    (found,) = required(f'(call :ccos.io.write-file "{path}" "x")')
    assert found.needed == (f"--write {path}",)


def test_an_unknown_path_waits_for_the_run() -> None:
    (found,) = required("(call :ccos.io.write-file given (str 1))")
    assert found.is_admissible
    assert not found.is_known


@pytest.mark.parametrize(
    "call",
    ["(call :ccos.io.write-file)", "(call :ccos.io.write-file {:path given :contents 1})", "(call :ccos.echo 1 2)"],
)
def test_a_call_that_cannot_fit_is_a_problem_with_a_place(call: str) -> None:
    (found,) = required(f"(do\n  {call})")
    assert found.problem is not None
    error = found.error()
    assert error.span is not None
    assert (error.span.line, error.span.column) == (2, 3)


@pytest.mark.parametrize(
    ("call", "impossible"),
    [
        ("(call :no.such.thing 1)", True),
        ("(call :ccos.echo 1 2)", True),
        ("(call :ccos.io.log 1)", False),
        ('(call :ccos.io.write-file "/etc/passwd" "x")', False),
        ("(call given 1)", False),
    ],
)
def test_what_no_grant_could_allow_is_told_from_what_is_not_granted(call: str, impossible: bool) -> None:
    (found,) = required(call)
    assert (found.is_admissible, found.is_impossible) == (False, impossible)


def test_one_refusal_for_each_missing_grant() -> None:
    found = required('(do (call :ccos.io.log 1) (call :ccos.io.log 2) (call :ccos.io.read-file "/etc/x"))')
    assert [item.decision.capability_id for item in refusals(found)] == ["ccos.io.log", "ccos.io.read-file"]


def test_arguments_are_shown_as_far_as_they_are_known() -> None:
    (found,) = required('(call :ccos.sandbox.python {:code (str 1) :read [given "/a"]})')
    assert argument_texts(found.effect) == ('{:code … :read [given "/a"]}',)
