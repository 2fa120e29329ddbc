"""Style rules that ruff does not check: plain phrases, short docstring summaries, real names."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("lseg_ros", "research", "benchmarks", "tools", "launch", "test")
# The names of data: words that people use for the classes of a data set.
DATA = ("lseg_ros/datasets/language_probes.py", "research/text_distillation/wordnet.py")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if path != Path(__file__))
TEXTS = sorted(
    path
    for pattern in (
        "*.md",
        "docs/**/*.md",
        "research/*.md",
        "msg/*",
        "srv/*",
        "config/**/*.yaml",
        "Makefile",
        "package.xml",
    )
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"
)
# Phrases that sound translated, with the plain wording.
BANNED = {
    r"in the place of": "instead of",
    r"\bbesides? (the|a|an|it|its|them|their|our|that|this|what|each)\b": "next to, with, versus",
    r"what comes of": "the results of",
    r"\bgoes out\b": "is published",
    r"\btells? of\b": "describes",
    r"\bof its own\b": "its own ...",
    r"\b(whoever|nobody|somebody)\b": "a subject that names the person or program",
    r"\bwhere (it is not|there is none|none)\b": "if not, otherwise",
    r"\bfor ever\b": "permanently",
    r"\banew\b": "again",
    r"\blest\b": "so that ... not",
    r"\bthus\b|\bhence\b": "so",
    r"\bwhilst\b": "while",
    r"\bbeneath\b": "below",
    r"\bof ours\b": "our ...",
    r"\bin its turn\b": "in turn",
    r"\bneeds at least\b": "lower bound of",
    r"\bis furthest\b": "maximum distance",
    r"\b(colour|grey|metres?|centre|behaviour|labelled|neighbour)\b": "US spelling",
}
LONGEST_SUMMARY = 88


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """The strings and comments of a Python file with their line numbers."""
    text = path.read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.STRING, tokenize.COMMENT) or token.type == getattr(tokenize, "FSTRING_MIDDLE", -1):
            yield token.start[0], token.string


def banned(text: str) -> list[str]:
    return [
        f"{phrase} -> {plain}" for phrase, plain in BANNED.items() if re.search(phrase, " ".join(text.split()), re.I)
    ]


def test_strings_and_comments_use_plain_phrases() -> None:
    assert [
        f"{path.relative_to(ROOT)}:{line}: {', '.join(found)}"
        for path in SOURCES
        if str(path.relative_to(ROOT)) not in DATA
        for line, text in prose(path)
        if (found := banned(text))
    ] == []


def test_documents_use_plain_phrases() -> None:
    assert [
        f"{path.relative_to(ROOT)}:{number}: {', '.join(found)}"
        for path in TEXTS
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if (found := banned(line))
    ] == []


def test_docstring_summaries_fit_on_one_short_line() -> None:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    assert [
        f"{path.relative_to(ROOT)}: {summary}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, documented)
        and len(summary := (ast.get_docstring(node) or "").partition("\n")[0]) > LONGEST_SUMMARY
    ] == []


def test_no_variable_is_called_each() -> None:
    assert [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Name) and node.id == "each") or (isinstance(node, ast.arg) and node.arg == "each")
    ] == []


def test_the_banned_phrases_are_found() -> None:
    assert (
        banned("Used in the\n    place of a list.") and banned("the Colour of it") and not banned("instead of a list")
    )
