"""Write the generated parts of `docs/`: help texts, the table of builtins, tables of system calls and limits, attempts.

`make docs` runs it. With `--check` nothing is written; the exit status is 1 when a page is out of date.
"""

from __future__ import annotations

import dataclasses
import errno
import inspect
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from operator import attrgetter
from pathlib import Path

from cloister.isolation.process.lanes import Lane, PoolSettings
from cloister.isolation.process.mechanisms import Mechanism
from cloister.isolation.process.seccomp.calls import ALL, ONLY_PROGRAMS, PROGRAMS, Call, Profile, Refusal
from cloister.isolation.process.seccomp.refusals import REFUSALS
from cloister.isolation.process.seccomp.rules import RULES
from cloister.isolation.process.seccomp.table import ALLOWED, THEMES
from cloister.isolation.process.selftest.excesses import EXCESSES
from cloister.isolation.process.selftest.judging import TABLE
from cloister.lang.stdlib.table import BUILTINS
from cloister.limits import MIB, ResourceLimits

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = ("cli.md", "language.md", "system-calls.md", "threat-model.md", "providers/process.md")
COLUMNS = "100"
SECTION = re.compile(
    r"(?P<begin><!-- begin (?P<kind>[a-z]+)(?: (?P<words>[a-z]+(?:[ -][a-z]+)*))? -->\n).*?(?P<end><!-- end -->)",
    re.DOTALL,
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


def allowed_calls(words: str) -> str:
    """Return, by theme, one row for each reason with the calls it is for."""
    del words
    parts = []
    for theme, calls in THEMES.items():
        heads = "| everyone | programs and machines | programs only | reason |"
        rows = [f"### {theme.capitalize()}\n", heads, "|---|---|---|---|"]
        for reason, group in itertools.groupby(calls, key=attrgetter("reason")):
            members = list(group)
            columns = [[call for call in members if call.profiles == whom] for whom in (ALL, PROGRAMS, ONLY_PROGRAMS)]
            cells = map(_names, columns)
            rows.append(f"| {' | '.join(cells)} | {reason} |")
        parts.append("\n".join(rows))
    return "\n\n".join(parts) + "\n"


def refused_calls(words: str) -> str:
    """Return one row for each reason with the calls that are refused for it."""
    del words
    rows = ["| refused | error | reason |", "|---|---|---|"]
    for (reason, error), group in itertools.groupby(REFUSALS, key=attrgetter("reason", "error")):
        rows.append(f"| {_names(group)} | `{errno.errorcode[error]}` | {reason} |")
    return "\n".join(rows) + "\n"


def argument_rules(words: str) -> str:
    """Return one row for each rule about arguments."""
    del words
    rows = ["| call | refused | for | error | reason |", "|---|---|---|---|---|"]
    for rule in RULES:
        names = ", ".join(f"`{name}`" for name in rule.names)
        may = frozenset().union(*(call.profiles for call in ALLOWED if call.name in rule.names)) & rule.profiles
        whom = "everyone" if may == ALL else " and ".join(profile.value for profile in Profile if profile in may)
        rows.append(f"| {names} | {rule.refused} | {whom} | `{errno.errorcode[rule.error]}` | {rule.reason} |")
    return "\n".join(rows) + "\n"


def attempts_table(words: str) -> str:
    """Return one row for each mechanism with what the self-test attempts, and in which sandboxes."""
    del words
    lanes_of: dict[Mechanism, dict[str, set[Lane]]] = {}
    for row in TABLE:
        lanes_of.setdefault(row.mechanism, {}).setdefault(row.words, set()).update(row.lanes)
    for excess in EXCESSES:
        lanes_of.setdefault(Mechanism.SUPERVISOR, {})[excess.words] = {Lane.PYTHON}
    everywhere = set().union(*(row.lanes for row in TABLE))
    rows = ["| mechanism | attempted |", "|---|---|"]
    for mechanism in Mechanism:
        acts = [
            text if lanes == everywhere else f"{text} ({', '.join(lane.value for lane in Lane if lane in lanes)})"
            for text, lanes in lanes_of.get(mechanism, {}).items()
        ]
        if acts:
            rows.append(f"| {mechanism.value} | {'; '.join(acts)} |")
    return "\n".join(rows) + "\n"


def limits_table(words: str) -> str:
    """Return one row for each limit of an execution."""
    del words
    return _fields_table(ResourceLimits())


def pool_table(words: str) -> str:
    """Return one row for each setting of the sandboxes that wait."""
    del words
    return _fields_table(PoolSettings())


def _fields_table(settings: ResourceLimits | PoolSettings) -> str:
    """Return one row for each field, with its default and what the docstring of the class says of it."""
    described = inspect.cleandoc(str(type(settings).__doc__)).partition("Attributes:\n")[2]
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", described, re.MULTILINE)
    words_of = {name: " ".join(words.split()) for name, words in found}
    rows = ["| name | default | what it bounds |", "|---|---:|---|"]
    for field in dataclasses.fields(settings):
        value: int = getattr(settings, field.name)
        rows.append(f"| `{field.name}` | {_shown(field.name, value)} | {words_of[field.name]} |")
    return "\n".join(rows) + "\n"


def _shown(name: str, value: int) -> str:
    if name.endswith("_ms"):
        return f"{value // 1000} s"
    if name.endswith("_bytes"):
        return f"{value // MIB} MiB"
    return f"{value:,}"


def _names(rows: Iterable[Call | Refusal]) -> str:
    return " ".join(f"`{row.name}`" for row in rows)


WRITERS: dict[str, Callable[[str], str]] = {
    "help": help_of,
    "builtins": builtins_table,
    "allowed": allowed_calls,
    "refused": refused_calls,
    "rules": argument_rules,
    "attempts": attempts_table,
    "limits": limits_table,
    "pool": pool_table,
}


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
