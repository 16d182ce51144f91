"""Which language a script is written in: choice, first line, file name, cues of the text, in this order."""

import pytest

from cloister.errors import InputError
from cloister.isolation.languages import detect
from cloister.isolation.provider import ScriptLanguage

PYTHON, JAVASCRIPT, SHELL, RUBY, LUA = "python", "javascript", "shell", "ruby", "lua"


@pytest.mark.parametrize(
    ("chosen", "language"),
    [
        ("python", PYTHON), ("py", PYTHON), ("python3", PYTHON), ("PYTHON", PYTHON),
        ("javascript", JAVASCRIPT), ("js", JAVASCRIPT), ("node", JAVASCRIPT),
        ("shell", SHELL), ("sh", SHELL), ("ruby", RUBY), ("rb", RUBY), ("lua", LUA),
    ],
)  # fmt: skip
def test_a_choice_decides_alone(chosen, language) -> None:
    detected = detect("#!/usr/bin/env -S perl -w\nputs 1", name="a.js", chosen=chosen)
    assert (detected.language, detected.options, detected.name) == (language, (), language)


@pytest.mark.parametrize(
    ("chosen", "near"), [("pyton", '"python"'), ("bash", "#!/usr/bin/"), ("auto", "languages are")]
)
def test_an_unknown_choice_is_refused(chosen, near) -> None:
    with pytest.raises(InputError) as caught:
        detect("print(1)", name="a.py", chosen=chosen)
    assert caught.value.code == "input.language"
    assert near in caught.value.hint


@pytest.mark.parametrize(
    ("line", "language", "options"),
    [
        ("#!/usr/bin/env -S python3 -u", PYTHON, ("-u",)),
        ("#!/usr/bin/env python3", PYTHON, ()),
        ("#!/usr/bin/python", PYTHON, ()),
        ("#!/opt/py/bin/python3.11", PYTHON, ()),
        ("#! /usr/bin/python3 -u\r", PYTHON, ("-u",)),
        ("#!/usr/bin/node", JAVASCRIPT, ()),
        ("#!/usr/bin/env nodejs", JAVASCRIPT, ()),
        ("#!/bin/sh -eu", SHELL, ("-eu",)),
        ("#!/usr/bin/ruby", RUBY, ()),
        ("#!/usr/bin/ruby3.1", RUBY, ()),
        ("#!/usr/bin/env lua", LUA, ()),
        ("#!/usr/bin/lua5.4", LUA, ()),
        ("#!/usr/bin/lua5.3", LUA, ()),
    ],
)
def test_the_first_line_decides_before_the_name(line, language, options) -> None:
    detected = detect(f"{line}\nrest", name="a.rtfs")
    assert (detected.language, detected.options) == (ScriptLanguage(language), options)


@pytest.mark.parametrize(
    ("line", "program", "options"),
    [
        ("#!/usr/bin/perl -w", "/usr/bin/perl", ("-w",)),
        ("#!/bin/bash", "/bin/bash", ()),
        ("#!/usr/bin/env bash", "bash", ()),
        ("#!/usr/bin/awk -f", "/usr/bin/awk", ("-f",)),
        ("#!/usr/bin/python2.7", "/usr/bin/python2.7", ()),
        ("#!/usr/bin/lua5.1", "/usr/bin/lua5.1", ()),
        ("#!/usr/bin/env luajit", "luajit", ()),
        ("#!/usr/bin/env -S LANG=C python3", "/usr/bin/env", ("-S LANG=C python3",)),
        ("#!/usr/bin/env python3 -u", "/usr/bin/env", ("python3 -u",)),
    ],
)
def test_another_interpreter_is_run_as_it_is_named(line, program, options) -> None:
    detected = detect(f"{line}\nprint(1)", name="a.py")
    assert (detected.language.program, detected.options, detected.name) == (program, options, program)


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("a.py", PYTHON), ("dir.rb/A.PY", PYTHON), ("a.js", JAVASCRIPT), ("a.mjs", JAVASCRIPT), ("a.cjs", JAVASCRIPT),
        ("a.sh", SHELL), ("a.rb", RUBY), ("a.lua", LUA),
    ],
)  # fmt: skip
def test_the_name_decides_before_the_text(name, language) -> None:
    assert detect("puts 1\nlocal x = 1\nconst x = 1\nimport os\necho 1", name=name).language == language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ('puts "hi"', RUBY),
        ("# a comment\n  puts(1)\n", RUBY),
        ("def twice(n)\n  n * 2\nend\ntwice 4", RUBY),
        ("const x = 1", JAVASCRIPT),
        ("\n\tlet {a, b} = c", JAVASCRIPT),
        ("function f(a) {\n}", JAVASCRIPT),
        ("export async function f() { }", JAVASCRIPT),
        ("console.log(1)", JAVASCRIPT),
        ("x = require('fs')", JAVASCRIPT),
        ("import {a} from 'b'", JAVASCRIPT),
        ("import fs from 'fs'", JAVASCRIPT),
        ("import 'x'", JAVASCRIPT),
        ("import os", PYTHON),
        ("import os  # don't", PYTHON),
        ("from os.path import join", PYTHON),
        ("def f(x):\n    return x", PYTHON),
        ("async def f():   \n    pass\nend = 1", PYTHON),
        ("if True: print(1)", PYTHON),
        ("local x = 1\nprint(x)", LUA),
        ("local function f() end", LUA),
        ("function m.f(a, b)\n  return a\nend", LUA),
        ("echo hi", SHELL),
        ("set -eu\nls", SHELL),
        ("for f in *; do\n  cat $f\ndone", SHELL),
    ],
)
def test_cues_of_the_text_decide_at_last(text, language) -> None:
    assert detect(text, name="<script>").language == language


@pytest.mark.parametrize("text", ["", "hello", "the import of puts is const", "x" * 300, "#!\n1", "\n" * 100, "(f 1)"])
def test_what_nothing_tells_is_refused(text) -> None:
    with pytest.raises(InputError) as caught:
        detect(text, name="notes")
    assert caught.value.code == "input.language"
    assert "--lang" in caught.value.hint
    assert detect(text, name="notes", chosen="lua").language is ScriptLanguage.LUA


def test_cues_far_inside_are_not_looked_for() -> None:
    cue = "\necho 1"
    assert detect("x" * 1000 + cue, name="x").language is ScriptLanguage.SHELL
    with pytest.raises(InputError):
        detect("x" * 64 * 1024 + cue, name="x")


@pytest.mark.parametrize(
    ("text", "name", "chosen"),
    [
        ("1", "a", "rtfs"),
        ("1", "a.rtfs", None),
        ("#!/usr/bin/env rtfs\n1", "a.py", None),
        ("#!/usr/bin/env -S cloister run\n1", "a", None),
        ("; a comment\n\n  (let [x 1] x)", "a", None),
        ("(call :ccos.echo 1)", "a", None),
        ("; only a comment\n(do\n 1)", "a", None),
    ],
)
def test_a_plan_is_sent_to_run(text, name, chosen) -> None:
    with pytest.raises(InputError) as caught:
        detect(text, name=name, chosen=chosen)
    assert caught.value.code == "input.language-rtfs"
    assert "cloister run" in caught.value.hint
