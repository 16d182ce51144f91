"""What holds for all pages: links lead somewhere, the index is complete, a decision has its parts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path("docs")
PAGES = sorted(DOCS.rglob("*.md"))
OTHERS = [Path(name) for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "SPECIFICATION.md")]
DECISIONS = sorted((DOCS / "adr").glob("*.md"))
PARTS = ["Context", "Decision", "Drawbacks", "Alternatives"]


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target, heading in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", text):
        place = page.parent / target if target else page
        assert place.exists(), target
        if heading:
            assert heading in anchors(place), f"{target}#{heading}"


def anchors(page: Path) -> set[str]:
    """Return what can stand behind `#` in a link to a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_index_lists_every_page() -> None:
    linked = {(DOCS / target).resolve() for target in re.findall(r"\]\(([^)]+)\)", (DOCS / "README.md").read_text())}
    assert {page.resolve() for page in PAGES} - linked == {(DOCS / "README.md").resolve()}


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_decision_has_its_parts_and_its_title_in_the_index(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    number, _, title = text.splitlines()[0].removeprefix("# ").partition(": ")
    assert page.name.startswith(f"{number}-")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == PARTS
    assert f"| [{number}](adr/{page.name}) | {title} |" in (DOCS / "README.md").read_text(encoding="utf-8")


def test_decisions_are_numbered_without_gaps() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))
