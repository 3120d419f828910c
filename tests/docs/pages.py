"""The pages that people read, as tests see them: sections with their fenced blocks, and the rows of
their tables.

Only reads. The tests next to it run what they find here, so that nothing is shown that does not
work.
"""

import pathlib
import re
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
RUNNABLE = frozenset({"sh", "python", "js", "php", "java", "json"})

_HEADING = re.compile(r"#{1,3} (.+)")
_FENCE = re.compile(r"```(\w*)")
_TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
_CODE = re.compile(r"`([^`]*)`")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the heading that it stands under."""

    language: str
    text: str
    section: str


@dataclass(frozen=True)
class Page:
    """One file. Sections are called by their headings, which a page does not repeat."""

    name: str
    blocks: tuple[Block, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]

    def in_section(self, section: str, language: str) -> list[str]:
        """The texts of its blocks in this language, in order. There is at least one."""
        found = [
            block.text
            for block in self.blocks
            if (block.section, block.language) == (section, language)
        ]
        assert found, f"{self.name} has no {language} under {section!r}"
        return found

    def only(self, section: str, language: str) -> str:
        (text,) = self.in_section(section, language)
        return text

    def table(self, section: str) -> list[tuple[str, ...]]:
        """The rows of the table in a section, without its head."""
        rows = [cells for heading, cells in self.rows if heading == section]
        assert len(rows) > 2, f"{self.name} has no table under {section!r}"
        return rows[2:]

    def runnable_sections(self) -> set[str]:
        return {block.section for block in self.blocks if block.language in RUNNABLE}


def read(name: str) -> Page:
    """A page by its path from the top of the repository."""
    blocks: list[Block] = []
    rows: list[tuple[str, tuple[str, ...]]] = []
    section, fence, lines = "", None, list[str]()
    for line in (ROOT / name).read_text().splitlines():
        if fence is not None:
            if line == "```":
                blocks.append(Block(fence, "\n".join(lines) + "\n", section))
                fence = None
            else:
                lines.append(line)
        elif match := _FENCE.fullmatch(line):
            fence, lines = match[1], []
        elif match := _HEADING.fullmatch(line):
            section = match[1]
        elif line.startswith("|"):
            rows.append((section, tuple(cell.strip() for cell in line.strip("|").split("|"))))
    assert fence is None, f"{name}: a block is not closed"
    return Page(name, tuple(blocks), tuple(rows))


def named_tests(name: str) -> list[tuple[str, str]]:
    """On a page: files of tests, and functions in them, or ""."""
    return _TEST.findall((ROOT / name).read_text())


def code(cell: str) -> list[str]:
    """What stands in back-ticks in a cell of a table."""
    return _CODE.findall(cell)
