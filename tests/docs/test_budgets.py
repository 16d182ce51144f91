"""`docs/budgets.md`: its table holds the defaults, its options can be typed, its program prints what the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from cloister.authority.budget import BudgetLimits, BudgetRules, Dimension
from cloister.cli.budget import UNLIMITED, amount_text, parse_budget, parse_rules

PAGE = Path("docs/budgets.md").read_text(encoding="utf-8")
(PROGRAM,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
OPTIONS, PRINTED = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)


def test_program_prints_what_the_page_says() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True, timeout=90, check=False
    )
    assert (done.stderr, done.stdout) == ("", PRINTED)


def test_the_table_has_every_dimension_with_its_default_and_its_rule() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .+ \| (\S+) \| `([\w-]+)` \|$", PAGE, re.MULTILINE)
    limits, rules = BudgetLimits(), BudgetRules()
    expected = []
    for dimension in Dimension:
        bound = limits.amount(dimension)
        text = UNLIMITED if bound is None else amount_text(dimension, bound)
        expected.append((dimension.value, text, rules.of(dimension).value))
    assert rows == expected


def test_the_options_can_be_typed() -> None:
    words = OPTIONS.split()
    pairs = list(zip(words[::2], words[1::2], strict=True))
    limits = parse_budget([value for option, value in pairs if option == "--budget"])
    rules = parse_rules([value for option, value in pairs if option == "--on-exhaustion"])
    assert {option for option, _ in pairs} == {"--budget", "--on-exhaustion"}
    assert (limits.calls_count, limits.cost_microusd, limits.wall_ms) == (100, 500_000, 120_000)
    assert limits.model_tokens_count is None
    assert (rules.calls.value, rules.storage.value) == ("approval", "warn")
