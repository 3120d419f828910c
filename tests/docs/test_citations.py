"""Citations of `docs/invariants.md`: what a text cites is there, and what that page names exists.

Only reads files.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, named_tests

PAGE = "docs/invariants.md"
HERE = str(Path(__file__).relative_to(ROOT))
TEXTS = {".py", ".md", ".html", ".cfg", ".toml", ".yml", ".yaml", ".conf", ""}

_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
_CITATION = re.compile(r"docs/invariants\.md#([\w-]*)")
_LINK = re.compile(r"\(invariants\.md#([\w-]+)\)")
_FILE = re.compile(r"`((?:[a-z_]+/)+[a-z_]+\.py)`")
_NUMBERED = re.compile(r"\b(?:rule|invariant|section)s? \d[\d.]*", re.IGNORECASE)
_STANDARD_BEFORE = re.compile(r"\b(?:RFC \d+|AMQP 0-9-1|PostgreSQL)\b.{0,60}$")
_STANDARD_AFTER = re.compile(r"(?:,? (?:and|to) [\d.]+)? of (?:RFC \d|AMQP 0-9-1|PostgreSQL)")
"""Sections of a standard, or of a manual, have nothing but numbers."""


def test_every_citation_leads_to_a_heading() -> None:
    """A reader of a comment looks the name up. An anchor that is wrapped at a hyphen counts as
    wrong, as no search finds it.
    """
    headings, cited = _headings(), _cited()

    assert len(headings) > 20
    assert {anchor: files for anchor, files in cited.items() if anchor not in headings} == {}


def test_every_heading_is_cited_or_in_the_index() -> None:
    """A promise that nothing points to is forgotten."""
    index = set(_LINK.findall((ROOT / "docs/architecture.md").read_text(encoding="utf-8")))

    assert _headings() - set(_cited()) - index == set()
    assert index - _headings() == set()


def test_every_file_that_the_page_names_exists() -> None:
    """Files are renamed more often than pages are read."""
    named = _FILE.findall(_page())

    assert len(named) > 60
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_every_test_that_the_page_names_exists() -> None:
    """A promise without its test is only a claim."""
    named = named_tests(PAGE)

    assert len(named) > 60
    assert [path for path, function in named if not function] == []
    assert [f"{path}::{name}" for path, name in named if not _is_test(path, name)] == []


@pytest.mark.parametrize("part", ["**Why.**", "**Kept by**", "**Goes red:**"])
def test_every_invariant_has_its_reason_its_files_and_its_tests(part: str) -> None:
    """All three are needed to change the code with confidence."""
    sections = _page().split("\n## ")[1:]

    assert [text.splitlines()[0] for text in sections if text.count(part) != 1] == []


def test_nothing_is_cited_by_a_number_that_is_defined_elsewhere() -> None:
    """The number of a rule means something only to those who have the other document."""
    numbered = [
        f"{path}: {line[max(0, match.start() - 40) : match.end() + 20]}"
        for path, text in _texts()
        for line in [re.sub(r"\s+(?:#:? )?", " ", text)]
        for match in _NUMBERED.finditer(line)
        if not _STANDARD_BEFORE.search(line, max(0, match.start() - 80), match.start())
        and not _STANDARD_AFTER.match(line, match.end())
    ]

    assert numbered == []


def _page() -> str:
    return (ROOT / PAGE).read_text(encoding="utf-8")


def _headings() -> set[str]:
    """The anchors that GitHub makes of the page's headings."""
    return {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in _HEADING.findall(_page())
    }


def _cited() -> dict[str, list[str]]:
    """Every anchor that a text cites, with the files that cite it."""
    cited: dict[str, list[str]] = {}
    for path, text in _texts():
        for anchor in _CITATION.findall(text) if path != PAGE else ():
            cited.setdefault(anchor, []).append(path)
    return cited


def _is_test(path: str, name: str) -> bool:
    file = ROOT / path
    return file.is_file() and f"def {name}(" in file.read_text(encoding="utf-8")


def _texts() -> Iterator[tuple[str, str]]:
    """Every text of the repository, by its path, without this one and the licence."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    for path in sorted(set(listed) - {HERE, "LICENSE"}):
        if Path(path).suffix in TEXTS and (ROOT / path).is_file():
            yield path, (ROOT / path).read_text(encoding="utf-8", errors="replace")
