"""Write the generated parts of `docs/`: help texts in cli.md, the table of builtins in language.md.

`make docs` runs it. With `--check` nothing is written; the exit status is 1 when a page is out of date.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from cloister.lang.stdlib.table import BUILTINS

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = ("cli.md", "language.md")
COLUMNS = "100"
SECTION = re.compile(
    r"(?P<begin><!-- begin (?P<kind>[a-z]+)(?: (?P<words>[a-z ]+))? -->\n).*?(?P<end><!-- end -->)", re.DOTALL
)


def help_of(words: str) -> str:
    """Return what a command prints for `--help`, fenced.

    Args:
        words: The words after `cloister`, for example `audit verify`; empty for the command itself.
    """
    command = [str(Path(sys.executable).with_name("cloister")), *words.split(), "--help"]
    environment = os.environ | {"COLUMNS": COLUMNS, "TERM": "dumb", "NO_COLOR": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)  # noqa: S603
    shown = "\n".join(line.rstrip() for line in done.stdout.rstrip().splitlines())
    return f"```text\n{shown}\n```\n"


def builtins_table(words: str) -> str:
    """Return one row for each builtin, by name; further names of one function share its row."""
    del words
    names_of: dict[int, list[str]] = {}
    for name, builtin in sorted(BUILTINS.items()):
        names_of.setdefault(id(builtin.fn), []).append(name)
    declared = list(BUILTINS)
    rows = ["| name | call | what it does |", "|---|---|---|"]
    for main, *others in sorted(sorted(names, key=declared.index) for names in names_of.values()):
        also = f", {', '.join(f'`{name}`' for name in others)}" if others else ""
        rows.append(f"| `{main}`{also} | `{BUILTINS[main].signature}` | {BUILTINS[main].summary} |")
    return "\n".join(rows) + "\n"


WRITERS: dict[str, Callable[[str], str]] = {"help": help_of, "builtins": builtins_table}


def rendered(text: str) -> str:
    """Return a page with its generated parts written anew."""

    def write(match: re.Match[str]) -> str:
        return match["begin"] + WRITERS[match["kind"]](match["words"] or "") + match["end"]

    return SECTION.sub(write, text)


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` say which are out of date."""
    stale = []
    for name in PAGES:
        page = DOCS / name
        text = page.read_text(encoding="utf-8")
        wanted = rendered(text)
        if wanted != text:
            stale.append(name)
            if "--check" not in arguments:
                page.write_text(wanted, encoding="utf-8")
    if "--check" not in arguments:
        return 0
    sys.stdout.write("".join(f"docs/{name} is out of date; run `make docs`\n" for name in stale))
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
