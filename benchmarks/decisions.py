"""What a decision costs: the same call under contexts with more and more to look at.

Owns the contexts and the calls. Paths are led by the resolver of this machine, as in a run, to a file that is there.
Each decision is timed alone; subjects take turns, round by round.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.rows import Row, value_row
from benchmarks.timing import WrongAnswer
from cloister.authority.authorizer import SecurityAuthorizer
from cloister.authority.context import RuntimeContext
from cloister.authority.rules import AccessRule, parse_rules
from cloister.capabilities.catalog import builtin_catalog
from cloister.isolation.host_paths import HostPathResolver

GROUP: Final = "governance decision"
ROUNDS: Final = 5_000
WARM_UP_ROUNDS: Final = 200
READ: Final = "ccos.io.read-file"
PLAIN: Final = "decision: no rules"
SPREAD: Final = "decision: 100 rules, 20 of them about the capability"
CROWDED: Final = "decision: 100 rules about one capability, with denials, patterns and effects"
REFUSED: Final = "decision: the same, refused by a rule"
CROWDED_P99: Final = CROWDED + ", p99"


def decision_rows() -> list[Row]:
    """Measure decisions about reading a file, in microseconds.

    Raises:
        WrongAnswer: When one decides otherwise than it should.
    """
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory).resolve()
        good, bad = root / "data" / "a.txt", root / "secret7" / "a.txt"
        for path in (good, bad):
            path.parent.mkdir()
            path.write_text("x", encoding="utf-8")
        authorizer = SecurityAuthorizer(builtin_catalog().registry, HostPathResolver(root))
        granted = contexts(root)
        calls = {name: _call(authorizer, context, good, allowed=True) for name, context in granted.items()}
        calls[REFUSED] = _call(authorizer, granted[CROWDED], bad, allowed=False)
        taken = each_timed(calls)
    rows = [value_row(GROUP, name, values, "us") for name, values in taken.items()]
    return [*rows, p99_row(GROUP, CROWDED_P99, taken[CROWDED])]


def p99_row(group: str, subject: str, taken: list[float]) -> Row:
    """Return the row of the 99th percentile of microseconds."""
    ordered = sorted(taken)
    worst = ordered[len(ordered) * 99 // 100]
    return Row(group=group, subject=subject, median=worst, p95=worst, rounds=len(taken), unit="us")


def contexts(root: Path) -> dict[str, RuntimeContext]:
    """Return the contexts by the name of their row; all of them grant reading below a directory."""
    grants: dict[str, Any] = {"read": [root]}
    return {
        PLAIN: RuntimeContext.controlled(capabilities=[READ], **grants),
        SPREAD: RuntimeContext.controlled(capabilities=[READ], rules=_rules(root, about_others=80), **grants),
        CROWDED: RuntimeContext.controlled(
            capabilities=["ccos.*"],
            deny=["ccos.io.delete-*", "ccos.sandbox.*"],
            allow_effects=[":compute", ":filesystem"],
            deny_effects=[":network"],
            rules=_rules(root, about_others=0),
            **grants,
        ),
    }


def _rules(root: Path, *, about_others: int) -> tuple[AccessRule, ...]:
    """Return a hundred rules: half deny directories, half allow some, of which the last holds."""
    rules: list[dict[str, Any]] = []
    for number in range(100):
        allows, last = number % 2 == 1, number == 99
        name = "data" if last else f"{'more' if allows else 'secret'}{number}"
        conditions: list[dict[str, Any]] = [{"argument": "path", "under": [str(root / name)]}]
        if number % 4 == 3:
            conditions.append({"argument": "path", "length-at-most": 4096})
        rules.append(
            {
                "id": f"rule-{number}",
                "capability": f"other.family{number}.*" if number < about_others else "ccos.io.*",
                "action": "allow" if allows else "deny",
                "when": conditions,
            }
        )
    rules[0]["when"] = [{"argument": "path", "under": [str(root / "secret7")]}]
    return parse_rules(rules)


def _call(authorizer: SecurityAuthorizer, context: RuntimeContext, path: Path, *, allowed: bool) -> Callable[[], None]:
    arguments = (str(path),)

    def decide() -> None:
        if authorizer.authorize(context, READ, arguments).allowed is not allowed:
            raise WrongAnswer(f"a decision about {path} is not {allowed}")

    return decide


def each_timed(calls: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Return what each call took, in microseconds, by name; they take turns."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(WARM_UP_ROUNDS + ROUNDS):
        for name, call in calls.items():
            started = time.perf_counter_ns()
            call()
            ended = time.perf_counter_ns()
            if number >= WARM_UP_ROUNDS:
                taken[name].append((ended - started) / 1000)
    return taken
