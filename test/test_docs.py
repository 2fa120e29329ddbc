"""Links, widths and lengths of the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("docs/*.md")))
NOTES = tuple(sorted(ROOT.glob("research/**/*.md")))
WIDTH = 120


def page_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose_lines(text: str) -> Iterator[tuple[int, str]]:
    """The numbered lines of a page outside code blocks and tables."""
    in_code = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            in_code = not in_code
        elif not in_code and not line.startswith("|"):
            yield number, line


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = [line.lstrip("#").strip() for _, line in prose_lines(text) if line.startswith("#")]
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def broken_links(path: Path) -> list[str]:
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        missing_anchor = anchor and target.suffix == ".md" and anchor not in anchors(target.read_text(encoding="utf-8"))
        if not target.exists() or missing_anchor:
            broken.append(link)
    return broken


@pytest.mark.parametrize("path", (*PAGES, *NOTES), ids=page_id)
def test_relative_links_and_anchors_resolve(path: Path) -> None:
    assert broken_links(path) == []


def test_a_broken_link_and_a_broken_anchor_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A title\n[a](page.md#a-title) [b](#missing) [c](missing.md) [d](https://example.com/x)\n")
    assert broken_links(page) == ["#missing", "missing.md"]


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_prose_is_at_most_120_columns_wide(path: Path) -> None:
    lines = prose_lines(path.read_text(encoding="utf-8"))
    assert [number for number, line in lines if len(re.sub(r"https?://\S+", "", line)) > WIDTH] == []


def test_documentation_stays_short() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in PAGES}
    assert lengths[ROOT / "README.md"] <= 100
    assert sum(length for path, length in lengths.items() if path.parent == ROOT / "docs") <= 1900


def test_pictures_are_small() -> None:
    sizes = {page_id(path): path.stat().st_size for path in ROOT.glob("docs/**/*") if path.suffix in (".png", ".jpg")}
    assert {name: size for name, size in sizes.items() if size > 300_000} == {}
    assert "docs/demo_desk.jpg" in sizes


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_named_files_exist(path: Path) -> None:
    """Paths in backticks that start with a folder of this repository exist."""
    pattern = r"`((?:benchmarks|config|docs|launch|lseg_ros|research|rviz|test)/[\w./-]*)`"
    text = path.read_text(encoding="utf-8")
    assert [name for name in re.findall(pattern, text) if not (ROOT / name).exists()] == []
