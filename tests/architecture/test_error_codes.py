"""`docs/errors.md` lists exactly the codes that the source can raise, with their classes and exit statuses."""

from __future__ import annotations

import ast
import importlib
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import cloister
from cloister.audit.event import EventType
from cloister.authority.budget import Dimension
from cloister.authority.decision import Reason
from cloister.errors import (
    BudgetExhausted,
    CapabilityDenied,
    CloisterError,
    CompileError,
    EgressDenied,
    LimitExceeded,
    PathDenied,
    ProfileDenied,
    ReadError,
)
from cloister.isolation.process.outcome import LIMITS
from cloister.limits import ResourceLimits

ROOT = Path(cloister.__file__).parent
DOC = Path("docs/errors.md")
TESTING = {"testing.py", "testing_harness.py"}  # they compare codes and raise none that a user could see
DENIALS = {"denied.path": PathDenied, "denied.host": EgressDenied, "denied.profile": ProfileDenied}
"""The class a reason becomes, by how its code begins; every other is a `CapabilityDenied`."""
RESERVED = "Reserved"
NOT_A_LIMIT = {"input_bytes", "journal_bytes"}
"""What `cloister exec --stdin` and the journal report; every other limit is a field of `ResourceLimits`."""


@dataclass(frozen=True)
class Row:
    classes: tuple[str, ...]
    exit_status: int
    meaning: str


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        if path.name not in TESTING:
            yield path, ast.parse(path.read_bytes())


TREES = dict(modules())


def error_classes() -> dict[str, type[CloisterError]]:
    """Return every error class of the package by name, those outside `errors` too."""
    for path, tree in TREES.items():
        if any(isinstance(node, ast.ClassDef) and "Error" in ast.unparse(node) for node in tree.body):
            importlib.import_module(".".join(("cloister", *path.relative_to(ROOT).with_suffix("").parts)))
    found: dict[str, type[CloisterError]] = {}
    pending: list[type[CloisterError]] = [CloisterError]
    while pending:
        each = pending.pop()
        if each.__module__.startswith("cloister."):
            found[each.__name__] = each
            pending.extend(each.__subclasses__())
    return found


CLASSES = error_classes()
FAMILIES = {each.default_code.partition(".")[0] for each in CLASSES.values()}
CODE = re.compile(rf"(?:{'|'.join(sorted(FAMILIES))})\.[a-z][a-z0-9-]*")


def literal(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def literal_name(node: ast.expr | None) -> str | None:
    return node.id if isinstance(node, ast.Name) else None


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((each.value for each in call.keywords if each.arg == name), None)


def limit_code(limit: str) -> str:
    return LimitExceeded("", limit=limit, allowed=1, unit="").code


def constructions(node: ast.AST, around: str | None = None) -> Iterator[tuple[str, ast.Call]]:
    """Yield each construction of an error class with the name of the class; `super().__init__` counts as one."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            function = child.func
            if isinstance(function, ast.Name) and function.id in CLASSES:
                yield function.id, child
            elif isinstance(function, ast.Attribute) and function.attr == "__init__" and around in CLASSES:
                yield str(around), child
        yield from constructions(child, child.name if isinstance(child, ast.ClassDef) else around)


def helpers() -> dict[str, int]:
    """Return the functions that take a code, with the position of that argument in a call."""
    found: dict[str, int] = {}
    for tree in TREES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name != "__init__":
                parameters = [each for each in node.args.args if each.arg != "self"]
                names = [
                    each.arg for each in parameters if literal_name(each.annotation) == "str" or each.arg != "code"
                ]
                if "code" in names:
                    assert found.setdefault(node.name, names.index("code")) == names.index("code"), node.name
    return found


def literals() -> set[str]:
    """Return every text in the source that is a code; names of events look like some."""
    texts = {literal(node) for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    return {text for text in texts if text and CODE.fullmatch(text)} - {each.value for each in EventType}


def passed() -> dict[str, set[str]]:
    """Return the codes that are passed to errors or to functions that build them, with the classes that are known."""
    found: dict[str, set[str]] = defaultdict(set)
    for each in CLASSES.values():
        if "default_code" in vars(each) and each is not CloisterError:
            found[each.default_code].add(each.__name__)
    for code, name in (*constructed(), *built()):
        found[code].add(name)
    for reason in Reason:
        if reason.value.startswith("denied."):
            family = next((each for start, each in DENIALS.items() if reason.value.startswith(start)), CapabilityDenied)
            found[reason.value].add(family.__name__)
    for limit in LIMITS:
        found[limit_code(limit)].add(LimitExceeded.__name__)
    for dimension in Dimension:
        found[f"budget.{dimension.value}"].add(BudgetExhausted.__name__)
    return found


def constructed() -> Iterator[tuple[str, str]]:
    """Yield code and class of each construction of an error that names both."""
    for tree in TREES.values():
        for name, call in constructions(tree):
            code, limit = literal(keyword(call, "code")), literal(keyword(call, "limit"))
            if code:
                yield code, name
            elif _takes_default(name, call):
                yield CLASSES[name].default_code, name
            if limit:
                yield limit_code(limit), LimitExceeded.__name__


def built() -> Iterator[tuple[str, str]]:
    """Yield code and class of each call of a function that builds an error of a plan's text."""
    takers, families = helpers(), {"read": ReadError, "compile": CompileError}
    for tree in TREES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                position = takers.get(name, len(node.args))
                code = literal(node.args[position]) if position < len(node.args) else None
                if code:
                    yield code, families[code.partition(".")[0]].__name__


def raised_by_default() -> set[str]:
    """Return the default codes of classes that are constructed somewhere without a code."""
    return {
        CLASSES[name].default_code
        for tree in TREES.values()
        for name, call in constructions(tree)
        if _takes_default(name, call)
    }


def _takes_default(name: str, call: ast.Call) -> bool:
    """Say whether an error is made with the code of its class; classes with a constructor of their own name one."""
    return "__init__" not in vars(CLASSES[name]) and keyword(call, "code") is None


def documented() -> dict[str, Row]:
    rows: dict[str, Row] = {}
    pattern = r"^\| `([a-z.-]+)` \| ([A-Za-z, `]+) \| (\d+) \| (.+?) \|(.*)\|$"
    for code, classes, exit_status, meaning, _ in re.findall(pattern, DOC.read_text(encoding="utf-8"), re.MULTILINE):
        assert code not in rows, f"{code} is listed twice"
        rows[code] = Row(tuple(re.findall(r"\w+", classes)), int(exit_status), meaning)
    return rows


def test_every_code_is_documented_and_no_other() -> None:
    found = literals() | passed().keys()
    assert set(documented()) == found


def test_codes_are_of_known_families() -> None:
    """Otherwise the search for texts that are codes would miss one."""
    assert {code for code in passed() if not CODE.fullmatch(code)} == set()


def test_classes_are_the_ones_that_raise_it() -> None:
    rows = documented()
    wrong = {
        code: names - set(rows[code].classes) for code, names in passed().items() if names - set(rows[code].classes)
    }
    assert wrong == {}


def test_exit_statuses_are_those_of_the_classes() -> None:
    for code, row in documented().items():
        assert {CLASSES[name].exit_status for name in row.classes} == {row.exit_status}, code


def test_reserved_codes_are_those_that_nothing_raises() -> None:
    used = raised_by_default() | literals_outside_classes()
    unused = {each.default_code for each in CLASSES.values()} - used - {limit_code(name) for name in LIMITS}
    assert {code for code, row in documented().items() if row.meaning.startswith(RESERVED)} == unused


def literals_outside_classes() -> set[str]:
    """Return the codes that stand somewhere else than in `default_code`."""
    found: set[str] = set()
    for tree in TREES.values():
        defaults = {
            id(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign | ast.AnnAssign) and "default_code" in ast.unparse(node)
        }
        for node in ast.walk(tree):
            text = literal(node) if isinstance(node, ast.Constant) else None
            if text and CODE.fullmatch(text) and id(node) not in defaults and not _compared(tree, node):
                found.add(text)
    return found


def _compared(tree: ast.Module, wanted: ast.AST) -> bool:
    """Say whether a text is only compared with: `code.startswith("provider.wire")`."""
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "startswith"
        and wanted in node.args
        for node in ast.walk(tree)
    )


def test_limits_are_fields_of_the_limits() -> None:
    names = {each.name for each in fields(ResourceLimits)} | NOT_A_LIMIT
    for tree in TREES.values():
        for name, call in constructions(tree):
            limit = literal(keyword(call, "limit"))
            assert name != LimitExceeded.__name__ or limit is None or limit in names


def test_the_search_sees_what_it_is_for() -> None:
    tree = ast.parse(
        'raise GuestError("x", code="guest.new")\nclass ReadError:\n def f(self): super().__init__(code="a")'
    )
    assert [(name, literal(keyword(call, "code"))) for name, call in constructions(tree)] == [
        ("GuestError", "guest.new"),
        ("ReadError", "a"),
    ]
