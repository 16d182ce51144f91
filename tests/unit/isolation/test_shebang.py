"""The first line of a script, as the kernel reads it."""

import pytest

from cloister.errors import InputError
from cloister.isolation.shebang import LINE_BYTES_MAX, Shebang, read_shebang


@pytest.mark.parametrize(
    ("text", "program", "options"),
    [
        ("#!/bin/sh", "/bin/sh", ()),
        ("#!/bin/sh\n-x", "/bin/sh", ()),
        ("#! \t/bin/sh \t\n", "/bin/sh", ()),
        ("#!/bin/sh -e  -u \n", "/bin/sh", ("-e  -u",)),
        ("#!/bin/sh\t-e\r\n", "/bin/sh", ("-e",)),
        ("#!sh", "sh", ()),
        ("#!/usr/bin/env", "/usr/bin/env", ()),
        ("#!/usr/bin/env perl", "perl", ()),
        ("#!/usr/bin/env -S  perl -w  -T", "perl", ("-w", "-T")),
        ("#!/usr/bin/env -Sperl -w", "perl", ("-w",)),
        ("#!/usr/bin/env --split-string=perl -w", "perl", ("-w",)),
        ("#!/usr/bin/env -S", "/usr/bin/env", ("-S",)),
        ("#!/usr/bin/env -i", "/usr/bin/env", ("-i",)),
        ("#!/usr/bin/env -S -i perl", "/usr/bin/env", ("-S -i perl",)),
        ("#!/usr/bin/env -S perl -e'1 2'", "/usr/bin/env", ("-S perl -e'1 2'",)),
        ("#!/usr/bin/env -S ${HOME}/perl", "/usr/bin/env", ("-S ${HOME}/perl",)),
        ("#!/opt/env A=1", "/opt/env", ("A=1",)),
    ],
)
def test_program_and_options(text, program, options) -> None:
    assert read_shebang(text) == Shebang(program=program, options=options)


@pytest.mark.parametrize("text", ["", "#", "# !/bin/sh", " #!/bin/sh", "\n#!/bin/sh", "#!", "#!\n/bin/sh", "#! \t\r\n"])
def test_no_interpreter_is_named(text) -> None:
    assert read_shebang(text) is None


def test_a_line_the_kernel_would_cut_is_refused() -> None:
    longest = "#!/" + "x" * (LINE_BYTES_MAX - 3)
    assert read_shebang(longest + "\nrest").program == longest[2:]
    for line in (longest + "x", longest[:-1] + "é", "#!/bin/sh\0"):
        with pytest.raises(InputError) as caught:
            read_shebang(line + "\nrest")
        assert caught.value.code == "input.shebang"
