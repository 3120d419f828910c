"""What Ringback finds wrong or refuses is said in the person's language on every page."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import dashboard
from dashboard.faults import fault_in_words
from dashboard.http.creation_key import new_key
from dashboard.languages import language
from schemas import errors
from schemas.people import Role
from tests.kit.pages import Site

_ROOT = Path(dashboard.__file__).parent.parent
_SOURCES = (
    "dashboard/**/*.py",
    "schemas/emails.py",
    "schemas/events/full_reading.py",
    "schemas/events/given_data.py",
    "schemas/texts.py",
    "schemas/tokens/*.py",
    "store/attention/*.py",
    "store/deliveries/requested_attempts.py",
    "store/people/*.py",
    "store/recoveries/*.py",
    "store/tokens/*.py",
    "web/callback_tests.py",
    "web/exports/*.py",
    "web/problems.py",
    "web/server/threads.py",
)
"""Where that is found which a page shows."""

_SAYING = {"Fault"} | {
    name
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.Problem)
}
_FINDING = ("_fault", "_refusal", "_addresses", "_bracketed", "_numeric")
_FILLED = {"CancelReason.CHANNEL_REMOVED": "the token may no longer see this channel"}
_TAKEN_APART = {"invalid token", "invalid callback", "invalid e-mail address", "invalid overlap"}
_TAKEN_APART |= {"there is no such day or zone"}
"""Titles of several faults, which are shown instead, each at its field."""

_NOT_ON_PAGES = {
    "{X}, or download the CSV": "the lists of pages have no such limit",
}


def _said() -> Iterator[str]:
    """Yield each text, with `{X}` where a value is filled in."""
    files = {file for pattern in _SOURCES for file in _ROOT.glob(pattern)}
    for file in sorted(files):
        module = ast.parse(file.read_text())
        named = dict(_constants(module))
        for node in ast.walk(module):
            is_a_page = file.is_relative_to(_ROOT / "dashboard")
            for found in _called(node) if is_a_page else (*_called(node), *_returned(node)):
                if text := _text(named.get(found.id) if isinstance(found, ast.Name) else found):
                    yield text


def _constants(module: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in module.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value


def _called(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.Call) and node.args and ast.unparse(node.func) in _SAYING:
        yield node.args[0]


def _returned(node: ast.AST) -> Iterator[ast.expr | None]:
    """Yield what functions return or raise that find faults."""
    if not isinstance(node, ast.FunctionDef) or not node.name.endswith(_FINDING):
        return
    for inner in ast.walk(node):
        if isinstance(inner, ast.Return):
            yield inner.value
        elif isinstance(inner, ast.IfExp):
            yield from (inner.body, inner.orelse)
        elif isinstance(inner, ast.Call) and ast.unparse(inner.func) == "ValueError":
            yield inner.args[0]


def _text(node: ast.expr | None) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value)
            if isinstance(part, ast.Constant)
            else _FILLED.get(ast.unparse(part.value), "{X}")  # type: ignore[attr-defined]
            for part in node.values
        )
    return None


def _never(text: str, **values: object) -> str:
    """Says every known text as this."""
    return "known"


def test_every_fault_of_a_form_is_known() -> None:
    """One that is missing would be English on an Italian page."""
    said = set(_said())

    unknown = {text for text in said if fault_in_words(_never, text) != "known"}

    assert len(said) > 60
    assert unknown - _TAKEN_APART - _NOT_ON_PAGES.keys() == set()


def test_english_stays_as_it_was_written() -> None:
    """A page in English says the same as the API."""
    say = language("en").text

    assert [text for text in _said() if fault_in_words(say, text) != text] == []


@pytest.mark.parametrize(
    ("english", "italian"),
    [
        ("a name has 1 to 200 characters, and not only invisible ones", "un nome ha da 1 a 200 "),
        ("ftp.example_ is not a host name", "ftp.example_ non è il nome di un host"),
        ("the token is suspended: only an active one is called", "il token è sospeso: "),
        ("something new that no one has translated", "something new that no one has translated"),
    ],
)  # fmt: skip
def test_values_are_filled_in(english: str, italian: str) -> None:
    assert fault_in_words(language("it").text, english).startswith(italian)


def test_forms_say_what_is_wrong_in_italian(site: Site) -> None:
    """A token without a name, with a callback to nowhere; then a page that is not there."""
    admin = site.browser(Role.ADMIN)
    admin.send("/account/preferences", language="it", zone="", theme="")

    form = {"name": " ", "sees": "all", "zone": "UTC", "url.message.received": "ftp://x.example/"}
    page = admin.send("/tokens/new", key=new_key(site.parts.cookie_keys), **form).text
    gone = admin.open("/deliveries/nothing-there").text

    assert "un nome ha da 1 a 200 caratteri" in page
    assert "l&#39;URL deve iniziare con https://" in page
    assert "Non c&#39;è nessuna consegna nothing-there" in gone
