"""`docs/architecture.md`: its examples run, and its table of packages is the house as it is."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cloister

PAGE = Path("docs/architecture.md").read_text(encoding="utf-8")
CAPABILITY_EXAMPLE, PROVIDER_EXAMPLE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
ROOT = Path(cloister.__file__).parent
COLLECTED_MIN = 15


def order_of_the_house() -> list[set[str]]:
    """Return the ranks that `tests/architecture/test_imports.py` checks."""
    spec = importlib.util.spec_from_file_location("order", "tests/architecture/test_imports.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    ranks: list[set[str]] = module.ORDER
    return ranks


def test_capability_example_prints_what_the_page_says(tmp_path: Path) -> None:
    (promised,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    script = tmp_path / "example.py"
    script.write_text(CAPABILITY_EXAMPLE, encoding="utf-8")
    command = [sys.executable, "-W", "error", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert (done.stderr, done.stdout) == ("", promised)


def conformance(place: Path, source: str) -> subprocess.CompletedProcess[str]:
    (place / "test_mine.py").write_text(source, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(place), "test_mine.py"]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=90, check=False)


def test_provider_example_passes_the_suite(tmp_path: Path) -> None:
    done = conformance(tmp_path, PROVIDER_EXAMPLE)
    assert done.returncode == 0, done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= COLLECTED_MIN


def test_suite_refuses_a_provider_that_ignores_tokens(tmp_path: Path) -> None:
    broken = "class Accepting:\n    def check(self, *token, **facts):\n        pass\n\n\n" + PROVIDER_EXAMPLE.replace(
        "MockProvider(verifier", "MockProvider(Accepting()"
    )
    done = conformance(tmp_path, broken)
    assert done.returncode == 1
    assert "test_token_must_cover_the_execution" in done.stdout


def test_packages_are_those_that_exist_in_the_order_of_imports() -> None:
    section = PAGE.split("## Packages\n")[1].split("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    names = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert set(listed) == names - {"__init__"}
    ranks = {name: rank for rank, part in enumerate(order_of_the_house()) for name in part}
    assert [ranks[name] for name in listed] == sorted(ranks[name] for name in listed)


@pytest.mark.parametrize(
    ("title", "package"),
    [
        ("Inside the process provider", "process"),
        ("Sessions", "session"),
        ("Virtual machines", "microvm"),
        ("Inside a machine", "microvm/guest"),
    ],
)
def test_modules_are_those_that_exist(title: str, package: str) -> None:
    section = PAGE.split(f"## {title}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
    listed = re.findall(r"`(\w+)`", " ".join(rows))
    place = ROOT / "isolation" / package
    there = {path.stem for path in place.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert sorted(listed) == sorted(there - {"__init__"})
