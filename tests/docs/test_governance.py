"""`docs/governance.md`: its commands print what the page says, and its tables are those of the code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

from cloister.authority.constitution import Action
from cloister.authority.contract import Determinism, Feature, Idempotency, Impact, Risk
from cloister.authority.mode import ExecutionMode, Verdict, mode_verdict
from cloister.capabilities.contracts import READS
from cloister.lang.evaluate import evaluate
from cloister.lang.transport import from_python
from cloister.plan.hints.hints import (
    CALLS_COUNT_MAX,
    FAILURES_COUNT_MAX,
    MULTIPLIER_MAX,
    RETRIES_COUNT_MAX,
    WAIT_MS_MAX,
    Hints,
    parse_hints,
)

PAGE = Path("docs/governance.md").read_text(encoding="utf-8")
(RULES,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
(PLAN,) = re.findall(r"```clojure\n(.*?)```", PAGE, re.DOTALL)
CONSOLE = "".join(re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL))
VERDICTS = {
    "performed": Verdict.PERFORM, "simulated": Verdict.SIMULATE, "refused": Verdict.REFUSE, "asked": Verdict.ASK_HUMAN,
}  # fmt: skip


def rows(first: str) -> Iterator[list[str]]:
    """Yield the cells of the rows of the table that begins with a heading."""
    table = PAGE.split(f"| {first} |")[1].split("\n\n")[0]
    for line in table.splitlines()[2:]:
        yield [cell.strip() for cell in line.strip("|").split(" | ")]


def pattern(printed: str) -> re.Pattern[str]:
    """Return a pattern for printed text: `…` is any text of one line, a line of it any number of lines."""
    lines = [
        r"(?:.*\n)*?" if line == "…" else ".*?".join(map(re.escape, line.split("…"))) + r"\n"
        for line in printed.splitlines()
    ]
    return re.compile("".join(lines))


def test_commands_print_what_the_page_says(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (place / "rules.toml").write_text(RULES, encoding="utf-8")
    (place / "plan.rtfs").write_text(PLAN, encoding="utf-8")
    environment = os.environ | {
        "CLOISTER_HOME": str(tmp_path / "home"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    parts = re.split(r"^\$ ", CONSOLE, flags=re.MULTILINE)[1:]
    assert len(parts) >= 8
    for part in parts:
        command, _, printed = part.partition("\n")
        done = subprocess.run(
            command, shell=True, cwd=place, env=environment, text=True, timeout=90, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert pattern(printed).fullmatch(done.stdout), f"$ {command}\n{done.stdout}"


def test_promises_are_those_of_a_contract() -> None:
    words = {title: set(re.findall(r"`([a-z]+)`", values)) for title, values in rows("promise")}
    assert words == {
        "repeated": set(Idempotency),
        "depends on": set(Determinism),
        "risk": {risk.label for risk in Risk},
        "changes": set(Impact),
        "consumes": set(),
        "needs": set(Feature),
    }


def test_actions_are_those_of_a_rule() -> None:
    assert [name.strip("`") for name, _ in rows("action")] == [action.label for action in Action]


def test_the_table_of_modes_is_what_they_do() -> None:
    found = {mode.strip("`"): verdicts for mode, *verdicts in rows("mode")}
    assert list(found) == list(ExecutionMode)
    for mode, (low, medium, high) in found.items():
        said = [VERDICTS[word] for word in (low, medium, high, high)]
        assert said == [mode_verdict(ExecutionMode(mode), replace(READS, risk=risk)) for risk in Risk], mode


def test_every_hint_has_a_row_whose_example_can_be_used() -> None:
    names = []
    for name, example, _ in rows("hint"):
        hints = from_python(evaluate(example.strip("`").removeprefix("^")))
        parsed = parse_hints({key.name: value for key, value in hints.items()})
        field = name.strip("`").replace("-", "_")
        names.append(field)
        assert getattr(parsed, field), name
    assert names == [each.name for each in fields(Hints)]


def test_the_bounds_of_the_page_are_those_of_the_code() -> None:
    bounds = {name.strip("`"): text for name, _, text in rows("hint")}
    wait = f"{WAIT_MS_MAX:,} ms"
    assert bounds["cache"] == f"1 to {wait}"
    assert bounds["circuit-breaker"] == f"1 to {FAILURES_COUNT_MAX} failures, 1 to {wait}"
    assert bounds["rate-limit"] == f"1 to {CALLS_COUNT_MAX:,} calls, 1 to {wait}"
    assert bounds["retry"] == f"0 to {RETRIES_COUNT_MAX} retries, 0 to {wait}, 1 to {MULTIPLIER_MAX}"
    assert bounds["timeout"] == f"1 to {wait}, or `:multiplier` from 0.001 to {MULTIPLIER_MAX}"
