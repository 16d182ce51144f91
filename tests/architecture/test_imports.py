"""The order of the house: who may import whom, and how large anything may be."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import cloister

ROOT = Path(cloister.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

ORDER = [
    {"spans", "version"},
    {"errors"},
    {"clock", "canonical", "interrupts", "limits", "resident"},
    {"lang"},
    {"authority"},
    {"audit"},
    {"isolation"},
    {"egress"},
    {"capabilities"},
    {"plan"},
    {"config"},
    {"agents"},
    {"runtime_life"},
    {"runtime_runs", "runtime_sessions"},
    {"runtime", "testing_harness"},
    {"sessions"},
    {"testing"},
    {"editor"},
    {"repl"},
    {"serve", "mcp", "cluster"},
    {"cli"},
    {"__main__"},
]
RANKS = {name: rank for rank, names in enumerate(ORDER) for name in names}

GUEST = ("isolation.guest", "isolation.wire", "isolation.wire_messages", "isolation.wire_errors")
GUEST_MAY_IMPORT = ("spans", "errors", "clock", "limits", "lang", *GUEST)

PROVIDERS = {"isolation.mock", "isolation.process", "isolation.microvm"}

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60


def dotted(path: Path) -> str:
    """Return the module's name below `cloister`, without it."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Yield what a module imports of the package, below `cloister`; type-checking blocks and functions count too."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name.removeprefix("cloister.") for name in names if name.startswith("cloister."))


def is_below(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def provider_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def bases(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the names that the classes of a module inherit from, with the part of the isolation they come from."""
    tree = ast.parse(path.read_bytes())
    origins = {
        alias.asname or alias.name: provider_of(str(node.module).removeprefix("cloister."))
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for base in node.bases:
                name = ast.unparse(base).split(".")[0].split("[")[0]
                yield ast.unparse(base), origins.get(name, "")


def ids(path: Path) -> str:
    return dotted(path) or "cloister"


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_imports_go_one_way(path: Path) -> None:
    module = dotted(path)
    if not module:
        return  # the package itself holds lazy names of everything
    part = module.split(".")[0]
    assert part in RANKS, f"{part} has no place in the order of the house"
    wrong = [
        name
        for name in imports(path)
        if name.split(".")[0] != part and RANKS.get(name.split(".")[0], len(ORDER)) >= RANKS[part]
    ]
    assert wrong == []


@pytest.mark.parametrize("path", [each for each in MODULES if is_below(dotted(each), GUEST)], ids=ids)
def test_the_guest_imports_only_the_guest(path: Path) -> None:
    assert [name for name in imports(path) if not is_below(name, GUEST_MAY_IMPORT)] == []


@pytest.mark.parametrize("path", [each for each in MODULES if is_below(dotted(each), ("isolation",))], ids=ids)
def test_no_provider_is_made_of_another(path: Path) -> None:
    """A class that inherits from another provider's would change with it, and have what it does not need."""
    assert [(base, of) for base, of in bases(path) if of in PROVIDERS - {provider_of(dotted(path))}] == []


@pytest.mark.parametrize("path", [each for each in MODULES if each.name == "__init__.py" and dotted(each)], ids=ids)
def test_a_package_is_only_a_docstring(path: Path) -> None:
    """Otherwise importing one module would load its siblings, and the guest would not stay small."""
    if dotted(path) == "cli":
        return  # nothing imports from the command line
    (docstring,) = ast.parse(path.read_bytes()).body
    assert isinstance(docstring, ast.Expr)
    assert isinstance(docstring.value, ast.Constant)


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_nothing_is_too_large(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MODULE_LINES_MAX
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= FUNCTION_LINES_MAX, f"{node.name} has {lines} lines"


def test_the_check_sees_what_it_is_for(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "from typing import TYPE_CHECKING\nimport os\nfrom cloister.runtime import Runtime\n"
        "if TYPE_CHECKING:\n    from cloister.cli import main\n"
        "def f():\n    import cloister.audit.chain\n"
    )
    assert sorted(imports(module)) == ["audit.chain", "cli.main", "runtime.Runtime"]
    module.write_text(
        "from cloister.isolation.process.session import Session\nfrom cloister.isolation.process import running\n"
        "class A(Session[int]): pass\nclass B(running.Sandbox): pass\nclass C(A): pass\n"
    )
    assert [of for _, of in bases(module)] == ["isolation.process", "isolation.process", ""]
