"""The texts of the pages, as they stand in templates and views, and the catalogues of translations.

`python -m tests.pages.catalogue` adds what is missing to each catalogue, without a translation, and
removes what no page says any more.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

import dashboard
from dashboard.languages import CODES, ENGLISH
from schemas.errors import NoDispatcher, Problem
from schemas.events.types import EventType
from schemas.tokens.permissions import Permission

FOLDER = Path(dashboard.__file__).parent
TRANSLATIONS = FOLDER / "translations"
_METHODS = [("**.py", "python"), ("templates/**.html", "jinja2.ext:babel_extract")]
_OPTIONS = {"templates/**.html": {"trimmed": "true", "silent": "false"}}
_KEYWORDS = {"_": None, "say": None, "to_say": None, "_n": (1, 2), "plural": (1, 2)}

_HEADER = b"""msgid ""
msgstr ""
"Plural-Forms: %s\\n"

"""
"""What a catalogue begins with: how many forms a text with a number has, and when each is taken."""


def extracted() -> Catalog:
    """Return every text that is said, with where it is said."""
    catalogue = Catalog(fuzzy=False)
    for file, line, message, comments, _ in extract_from_dir(
        FOLDER, _METHODS, _OPTIONS, keywords=_KEYWORDS
    ):
        catalogue.add(message, locations=[(f"dashboard/{file}", line)], auto_comments=comments)
    for text in _elsewhere():
        catalogue.add(text)
    return catalogue


def _elsewhere() -> Iterator[str]:
    """Yield texts that stand in other packages, and are said on pages."""
    for permission in Permission:
        yield permission.label
    for event_type in EventType:
        yield event_type.label
    for problem in (*Problem.__subclasses__(), NoDispatcher):
        yield problem.title


def translated(code: str) -> Catalog:
    """Return a catalogue as it is in the repository."""
    with (TRANSLATIONS / f"{code}.po").open("rb") as file:
        return read_po(file, locale=code)


def english(message: Message) -> str:
    """Return a text in English; of a text with a number, that of 1."""
    return str(message.id[0] if message.pluralizable else message.id)


def is_translated(text: str | Sequence[str]) -> bool:
    """Return whether a translation is there; of a text with a number, that of each form."""
    return bool(text) and all(text)


def _update(code: str) -> None:
    catalogue = Catalog(locale=code, fuzzy=False)
    known = translated(code) if (TRANSLATIONS / f"{code}.po").exists() else Catalog(locale=code)
    catalogue.mime_headers = [("Plural-Forms", known.plural_forms)]
    missing = 0
    for message in sorted(extracted(), key=english):
        if not message.id:
            continue
        before = known.get(message.id)
        text = before.string if before and before.id == message.id else ""
        missing += not is_translated(text)
        catalogue.add(message.id, text)
    with (TRANSLATIONS / f"{code}.po").open("wb") as file:
        file.write(_HEADER % catalogue.plural_forms.encode())
        write_po(file, catalogue, width=100, omit_header=True)
    print(f"{code}: {len(catalogue)} texts, {missing} without a translation")  # noqa: T201 - a program


if __name__ == "__main__":
    for each in CODES:
        if each != ENGLISH:
            _update(each)
