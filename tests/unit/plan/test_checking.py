"""What is wrong with a program, whatever it is granted."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloister.authority.authorizer import SecurityAuthorizer
from cloister.capabilities.catalog import builtin_catalog
from cloister.errors import CapabilityDenied, CloisterError, GuestError
from cloister.isolation.host_paths import HostPathResolver
from cloister.lang.program import compile_program
from cloister.plan.checking import CheckReport, check_program


def checked(text: str) -> CheckReport:
    authorizer = SecurityAuthorizer(builtin_catalog().registry, HostPathResolver(Path("/")))
    return check_program(compile_program(text, "t.rtfs"), authorizer)


def test_a_good_program_is_given_back() -> None:
    report = checked('(call :ccos.io.read-file "/etc/passwd")')
    assert (report.errors, report.warnings) == ((), ())
    assert report.checked() is report.program


def test_every_call_that_cannot_succeed_is_an_error_with_a_place() -> None:
    report = checked("(call :no.such.thing 1)\n(call :ccos.echo 1)\n(call :ccos.io.read-file 1 2)")
    assert [(type(error), error.code, error.span and error.span.line) for error in report.errors] == [
        (CapabilityDenied, "denied.unknown-capability", 1),
        (GuestError, "guest.arity", 3),
    ]


def test_the_first_error_is_raised_with_the_others() -> None:
    with pytest.raises(CapabilityDenied) as caught:
        checked("(call :no.such.thing 1)\n(call :no.such.other 1)\n(call :ccos.echo 1 2)").checked()
    assert [each["span"]["line"] for each in caught.value.details["more"]] == [2, 3]
    with pytest.raises(CloisterError) as caught:
        checked("(call :no.such.thing 1)").checked()
    assert "more" not in caught.value.details


def test_what_a_run_may_never_reach_is_a_warning() -> None:
    report = checked('(defn f [x] (+ x "a"))\n1')
    assert [(warning.code, warning.span and warning.span.column) for warning in report.warnings] == [
        ("compile.type", 18)
    ]
    assert report.checked() is report.program
