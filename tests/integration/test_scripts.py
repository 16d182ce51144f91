"""`Runtime.execute_script`: every language, what a script is given, what comes back, and how it may end."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import cloister
from cloister.audit.event import EventType
from cloister.errors import CapabilityDenied, GuestCrashed, GuestError, InputError, LaunchError, LimitExceeded
from cloister.limits import MIB

Script = Callable[..., cloister.ScriptResult]


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cloister.Runtime]:
    with cloister.Runtime.open(tmp_path_factory.mktemp("home") / "home") as opened:
        yield opened


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path.resolve()


@pytest.fixture
def script(runtime: cloister.Runtime) -> Script:
    """Run a script; `limits`, `read` and `write` go into its context."""

    def execute(source: str | Path, **facts: Any) -> cloister.ScriptResult:
        grants = {name: [str(path) for path in facts.pop(name, ())] for name in ("read", "write")}
        limits = cloister.ResourceLimits(**facts.pop("limits", {}))
        context = cloister.RuntimeContext.controlled(capabilities=["cloister.exec"], limits=limits, **grants)
        return runtime.execute_script(source, context=context, **facts)

    return execute


SHOW = {
    "python": "import json, sys; print(json.dumps([sys.argv, sys.stdin.read()]))",
    "javascript": "console.log(JSON.stringify([process.argv.slice(1), require('fs').readFileSync(0, 'utf8')]))",
    "shell": """printf '[["%s", "%s", "%s"], "%s"]' "$0" "$1" "$2" "$(cat)" """,
    "ruby": "require 'json'\nputs [[__FILE__, *ARGV], $stdin.read].to_json",
    "lua": """print(string.format('[["%s", "%s", "%s"], "%s"]', arg[0], arg[1], arg[2], io.read("*a")))""",
}


@pytest.mark.parametrize("language", SHOW)
def test_every_language_gets_its_words_and_its_input(script: Script, language: str) -> None:
    result = script(SHOW[language], language=language, argv=["-v", "two words"], stdin=b"input")
    assert result.value == [["/script", "-v", "two words"], "input"]
    assert (result.language, result.exit_status, result.provider) == (language, 0, "process")
    assert result.usage.wall_us is not None


@pytest.mark.parametrize(
    ("source", "expected", "language"),
    [
        ("#!/usr/bin/perl -w\nprint qq(@ARGV $^W)", "a b 1", "/usr/bin/perl"),
        ("#!/usr/bin/env perl\nprint qq(@ARGV)", "a b", "perl"),
        ("#!/usr/bin/awk -f\nBEGIN { print ARGV[1] ARGV[2] }", "ab\n", "/usr/bin/awk"),
        ('#!/bin/bash\nwords=("$@"); echo "${words[1]}"', "b\n", "/bin/bash"),
        ("#!/usr/bin/env -S A=1 sh -u\necho $A $2", "1 b\n", "/usr/bin/env"),
    ],
)
def test_any_other_interpreter_is_run_as_the_kernel_would(
    script: Script, source: str, expected: str, language: str
) -> None:
    result = script(source, argv=["a", "b"])
    assert (result.value, result.language) == (expected, language)


def test_options_of_the_first_line_hold(script: Script) -> None:
    source = "#!/bin/sh -e\nfalse\necho still here"
    assert script(source).exit_status == 1
    assert script(source, language="shell").value == "still here\n"
    shows = "#!/usr/bin/env -S python3 {}\nimport sys; print(sys.flags.optimize)"
    assert script(shows.replace("{}", "-OO")).value == 2
    assert script(shows.replace("{}", "")).value == 0


def test_a_file_is_run_by_its_name_and_a_text_by_the_name_it_is_given(script: Script, place: Path) -> None:
    file = place / "answer.rb"
    file.write_text("print 6 * 7", encoding="utf-8")
    assert script(file).value == 42
    assert script("print(6 * 7)", name="answer.py").value == 42


def test_modern_javascript(script: Script) -> None:
    source = "import { basename } from 'path';\nconsole.log(basename('/a/b'), await Promise.resolve(1));"
    assert script(source, name="main.mjs").value == "b 1\n"


def test_a_missing_interpreter_is_named_with_its_package(
    script: Script, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("PATH", str(place))
        with pytest.raises(cloister.ProviderUnavailable) as caught:
            script("print(1)", language="lua")
        assert (caught.value.code, "apt-get install lua5.4" in str(caught.value.hint)) == ("provider.interpreter", True)
    assert script("print(1)", language="lua").value == 1


def test_a_missing_interpreter_of_the_first_line_too(script: Script) -> None:
    source = "#!/usr/bin/{}\nBEGIN { print 1 }"
    with pytest.raises(cloister.ProviderUnavailable) as caught:
        script(source.replace("{}", "none/perl"))
    assert caught.value.code == "provider.interpreter"
    assert '"/usr/bin/none/perl"' in caught.value.message
    assert "apt-get install perl" in str(caught.value.hint)
    assert script(source.replace("{}", "perl")).value == 1


def test_nothing_on_standard_input_unless_it_is_given(script: Script) -> None:
    echo = "import sys; print(repr(sys.stdin.read()))"
    assert script(echo, language="python").value == "''\n"
    assert script(echo, language="python", arguments={"a": [1, None]}).value == "'{\"a\": [1, null]}'\n"
    assert script(echo, language="python", stdin=b"null").value == "'null'\n"
    with pytest.raises(InputError) as caught:
        script(echo, language="python", arguments=1, stdin=b"1")
    assert caught.value.code == "input.stdin"


def test_large_input_travels_as_a_file(script: Script) -> None:
    limits = {"value_bytes": 64 * MIB, "memory_bytes": 1024 * MIB}
    length = "import json, sys; print(len(json.load(sys.stdin)['text']))"
    assert script(length, language="python", arguments={"text": "x" * (40 * MIB)}, limits=limits).value == 40 * MIB
    assert script("wc -c", language="shell", stdin=bytes(40 * MIB), limits=limits).value == 40 * MIB
    source = f"text = '{'x' * (20 * MIB)}'\nprint(len(text))"
    assert script(source, language="python", limits=limits).value == 20 * MIB
    with pytest.raises(LimitExceeded) as caught:
        script(source, language="python")
    assert (caught.value.limit, caught.value.allowed) == ("value_bytes", 16 * MIB)


def test_words_too_long_for_the_kernel(script: Script) -> None:
    with pytest.raises(LaunchError) as caught:
        script("echo ${#1}", language="shell", argv=["x" * MIB])
    assert (caught.value.code, "E2BIG" in caught.value.message) == ("provider.exec", True)
    assert "standard input" in str(caught.value.hint)
    assert script("echo ${#1}", language="shell", argv=["x" * 100_000]).value == 100_000


def test_a_word_with_a_nul(script: Script) -> None:
    with pytest.raises(InputError) as caught:
        script("echo", language="shell", argv=["a\0b"])
    assert caught.value.code == "config.argv"
    assert script("echo", language="shell", argv=["a b"]).exit_status == 0


def test_a_failing_script_comes_back_and_only_its_value_is_an_error(script: Script) -> None:
    result = script("import sys; print('half'); open('/none')", language="python")
    assert (result.exit_status, result.stdout) == (1, b"half\n")
    assert b"FileNotFoundError" in result.stderr
    with pytest.raises(GuestError) as caught:
        _ = result.value
    assert caught.value.code == "guest.script"
    assert "FileNotFoundError" in caught.value.message
    assert "granted paths" in str(caught.value.hint)
    assert script("print('half')", language="python").value == "half\n"


def test_output_that_is_no_text_comes_back_and_only_its_value_is_an_error(script: Script) -> None:
    result = script(r"printf '\377'", language="shell")
    assert (result.exit_status, result.stdout) == (0, b"\xff")
    with pytest.raises(GuestError) as caught:
        _ = result.value
    assert caught.value.code == "guest.output"


def test_a_script_killed_by_a_signal(script: Script) -> None:
    source = "#!/bin/sh\nkill -{} $$; exit 3"
    with pytest.raises(GuestCrashed) as caught:
        script(source.replace("{}", "USR1"))
    assert caught.value.code == "provider.crashed"
    assert "SIGUSR1" in caught.value.message
    assert (caught.value.details["signal"], caught.value.details["signal_number"]) == ("SIGUSR1", 10)
    assert script(source.replace("{}", "0")).exit_status == 3


@pytest.mark.parametrize(
    ("limits", "bomb", "harmless"),
    [
        ({"wall_ms": 1_000}, "import time; time.sleep(60)", "import time; time.sleep(0)"),
        ({"cpu_ms": 1_000}, "while True: pass", "while False: pass"),
        ({"memory_bytes": 64 * MIB}, "x = bytearray(200_000_000)", "x = bytearray(200)"),
        ({"output_bytes": 1_000}, "print('x' * 1_000)", "print('x' * 999)"),
        ({"file_bytes": 10_000}, "open('/tmp/f', 'w').write('x' * 20_000)", "open('/tmp/f', 'w').write('x')"),
    ],
)
def test_the_limit_that_ended_it_is_named(script: Script, limits: dict[str, int], bomb: str, harmless: str) -> None:
    ((name, allowed),) = limits.items()
    # Python ignores SIGXFSZ and sees an error instead; a script that leaves the signal alone is killed by it
    source = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"
    with pytest.raises(LimitExceeded) as caught:
        script(source + bomb, language="python", limits=limits)
    assert (caught.value.limit, caught.value.allowed) == (name, allowed)
    assert script(source + harmless, language="python", limits=limits).exit_status == 0


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_arrives_while_the_script_runs(script: Script, place: Path, stream: str) -> None:
    """The script goes on only when its first output has been seen, so without streaming it would never end."""
    gate = place / "gate"
    os.mkfifo(gate)
    seen: list[tuple[str, bytes]] = []

    def observe(name: str, piece: bytes) -> None:
        seen.append((name, piece))
        if piece == b"first\n":
            gate.write_text("second\n", encoding="utf-8")

    source = f"import sys\nprint('first', file=sys.{stream}, flush=True)\nprint(open('{gate}').read(), end='')"
    script(source, language="python", write=[place], on_output=observe)
    assert seen == [(stream, b"first\n"), ("stdout", b"second\n")]


def test_a_flood_of_output_is_shown_up_to_its_bound(script: Script) -> None:
    pieces: list[bytes] = []
    with pytest.raises(LimitExceeded) as caught:
        script(
            "yes",
            language="shell",
            limits={"output_bytes": 100_000},
            on_output=lambda _, piece: pieces.append(piece),
        )
    assert caught.value.limit == "output_bytes"
    assert sum(map(len, pieces)) == 100_000


def test_a_script_needs_the_grant_of_commands(runtime: cloister.Runtime) -> None:
    context = cloister.RuntimeContext.controlled(capabilities=["ccos.echo"])
    with pytest.raises(CapabilityDenied) as caught:
        runtime.execute_script("echo 1", language="shell", context=context)
    assert (caught.value.code, caught.value.hint) == ("denied.capability", "grant it with --allow cloister.exec")
    granted = cloister.RuntimeContext.controlled(capabilities=["ccos.echo", "cloister.exec"])
    assert runtime.execute_script("echo 1", language="shell", context=granted).value == 1


def test_a_script_sees_the_granted_paths_and_no_other(script: Script, place: Path) -> None:
    (place / "file").write_text("inside", encoding="utf-8")
    source = f"cat {place}/file"
    assert script(source, language="shell").exit_status == 1
    assert script(source, language="shell", read=[place]).value == "inside"
    assert script("pwd", language="shell", read=[place], working_directory=str(place)).value == f"{place}\n"


def test_a_script_is_on_record_with_its_words_and_its_digest(runtime: cloister.Runtime, script: Script) -> None:
    source = "print(6 * 7)"
    result = script(source, name="answer.py", argv=["word"], arguments=[7])
    records = [record.event for record in runtime.records(result.run_id)]
    assert [event.event_type for event in records] == [
        EventType.RUN_STARTED, EventType.CALL_INTENT, EventType.CALL_OUTCOME, EventType.RUN_COMPLETED,
    ]  # fmt: skip
    started, intent, outcome, _ = (event.body for event in records)
    assert (started["plan"], started["script"]) == (None, "answer.py")
    assert started["script_sha256"] == hashlib.sha256(source.encode()).hexdigest()
    assert intent["arguments"] == '"python" "answer.py" "word" "print(6 * 7)" [7]'
    assert "execute.script" in intent["permissions"]
    assert "execute.external" not in intent["permissions"]
    assert outcome["exit_status"] == 0


def test_a_plan_is_sent_to_run(runtime: cloister.Runtime, script: Script, place: Path) -> None:
    plan = place / "sum.rtfs"
    plan.write_text("(+ 1 2)", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        script(plan)
    assert caught.value.code == "input.language-rtfs"
    assert runtime.run(plan, context=cloister.RuntimeContext.pure()).value == 3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_bytes(b"echo \xff"), "byte 5 is 0xff"),
        (lambda path: path.mkdir(), "Is a directory"),
        (os.mkfifo, "regular file"),
        (lambda path: None, "No such file"),
    ],
    ids=["bytes", "directory", "pipe", "nothing"],
)
def test_what_is_no_text_file_is_refused(
    script: Script, place: Path, make: Callable[[Path], object], words: str
) -> None:
    path = place / "a.sh"
    make(path)
    with pytest.raises(InputError) as caught:
        script(path)
    assert caught.value.code == "input.script"
    assert words in caught.value.message


@pytest.mark.parametrize("source", [b"echo", "echo '\ud800'"])
def test_a_text_that_cannot_be_written_is_refused(script: Script, source: Any) -> None:
    with pytest.raises(InputError) as caught:
        script(source, language="shell")
    assert caught.value.code == "input.script"


@pytest.mark.parametrize("argv", ["word", [Path("word")], [1]])
def test_words_are_a_list_of_texts(script: Script, argv: Any) -> None:
    with pytest.raises(InputError) as caught:
        script("echo", language="shell", argv=argv)
    assert caught.value.code == "input.argv"
    assert script("echo", language="shell", argv=["word"]).exit_status == 0
