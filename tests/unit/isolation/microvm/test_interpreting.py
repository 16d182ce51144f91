"""Which program in a machine runs a script, and what is said when the image has it not."""

import errno

import pytest

from cloister.errors import CloisterError, ConfigError
from cloister.isolation.microvm.interpreting import (
    INTERPRETERS,
    NOT_IN_IMAGE,
    PACKAGES,
    command_for,
    explaining,
    missing,
)
from cloister.isolation.process import outcome
from cloister.isolation.process.spec import SCRIPT_PATH
from cloister.isolation.provider import CustomInterpreter, ScriptLanguage, ScriptSource


@pytest.mark.parametrize("language", ScriptLanguage)
def test_every_language_has_a_program_and_a_package(language) -> None:
    argv = command_for(ScriptSource(language=language, source=""))
    assert argv == (*INTERPRETERS[language], SCRIPT_PATH)
    assert f"--package {PACKAGES[argv[0]]}" in (missing(argv[0]).hint or "")


def test_options_come_before_the_script_and_words_after_it() -> None:
    script = ScriptSource(
        language=CustomInterpreter(program="/opt/x"), source="", options=("-a",), argv=("b",), is_checked=False
    )
    assert command_for(script) == ("/opt/x", "-a", SCRIPT_PATH, "b")


def test_words_that_no_program_can_have_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        command_for(ScriptSource(language=ScriptLanguage.PYTHON, source="", argv=("a\0b",), is_checked=False))
    assert caught.value.code == "config.argv"


def test_a_program_that_nobody_knows_is_named_clean() -> None:
    error = missing("/opt/\x1b[2J")
    assert error.code == "provider.interpreter"
    assert "\x1b" not in f"{error.message}{error.hint}"


def test_a_program_that_is_not_there_is_one_of_the_image() -> None:
    record = {"reported": {"failed": "exec", "program": "ls", "errno": errno.ENOENT}}
    with pytest.raises(CloisterError) as caught, explaining():
        raise outcome.set_up_failure(record) or AssertionError
    assert (caught.value.code, caught.value.hint) == ("provider.exec", NOT_IN_IMAGE)


def test_a_program_that_is_there_and_does_not_start_is_explained_as_everywhere() -> None:
    record = {"reported": {"failed": "exec", "program": "ls", "errno": errno.EACCES}}
    with pytest.raises(CloisterError) as caught, explaining():
        raise outcome.set_up_failure(record) or AssertionError
    assert caught.value.hint == outcome.EXEC_HINTS[errno.EACCES]
