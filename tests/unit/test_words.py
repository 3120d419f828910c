"""The words of the code and of every text: a small list of those that only insiders understand, or
that English no longer uses.
"""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXTS = {".py", ".md", ".html", ".cfg", ".toml", ".txt", ".yml", ".yaml", ".conf", ""}
INSTEAD = {
    r"whoever|whomever": "name the component: the dispatcher, another process, a caller",
    r"nobody|somebody": "name the component, or write no one, someone",
    r"in vain": "without effect",
    r"goes by": "uses",
    r"anew": "again",
    r"mistakes? of ours": "an internal error, a bug",
    r"told|untold": "notified, reported, alerted",
    r"beside": "alongside, next to, in addition to",
    r"doorbells?": "notifications",
    r"parcels?": "a pending acknowledgement",
    r"in hand": "in flight, unsettled",
    r"the hand": "the unsettled deliveries",
    r"bury|buries|buried|burials?": "dead-letter",
    r"fares": "its health",
    r"doomed": "expired",
    r"damping|damped": "throttling",
    r"reviv(?:e|es|ed|ing|er)": "release the backlog; the callback monitor",
    r"(?:rule|invariant|section) [0-9]+(?![0-9.]* of RFC)": "the name of an invariant in docs/invariants.md",
}
KEPT = re.compile(r"RFC [0-9]+[,)]? section [0-9.]+|section [0-9.]+ of RFC [0-9]+")
"""Citations of a standard, in which a section has only a number."""


def test_every_text_is_plain_english() -> None:
    """A reader should not need our vocabulary, nor numbers that are defined somewhere else."""
    found = [
        f"{path}:{number}: {match[0]!r}: write instead: {instead}"
        for path in _texts()
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1)
        for words, instead in INSTEAD.items()
        for match in re.finditer(
            rf"(?<![\w])(?:{words})(?![\w])", KEPT.sub("", line), re.IGNORECASE
        )
    ]

    assert not found, f"{len(found)}:\n" + "\n".join(found)


def _texts() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    here = str(Path(__file__).relative_to(ROOT))
    return [
        path
        for path in listed
        if Path(path).suffix in TEXTS
        and path != here
        and (ROOT / path).is_file()
        and not path.endswith(".lock")
        and path != "LICENSE"
    ]
