"""The documentation's tables against the code: what one has the other has too. Nothing is started
here.
"""

import json
import os
import re
from urllib.parse import unquote

import pytest

from ringback.observability.gauges import HELP
from ringback.observability.log import Log
from ringback.observability.metrics import Metrics
from ringback.settings import Settings, load
from schemas.alerts import AlertKind, alert_body
from schemas.deliveries.deliveries import DeliveryState, Outcome
from schemas.observer import AttemptReport
from schemas.times import from_rfc3339
from schemas.tokens.audit_log import Action
from tests.browser.screenshots import FOLDER, PICTURES
from tests.docs import settings_page
from tests.docs.pages import PAGES, ROOT, code, named_tests, read
from tests.kit.making import a_delivery, an_attempt

_LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")
_IMAGE = re.compile(r'(?:src|srcset)="([^"]+)"')
_MOST_BYTES = 1_500_000  # of all pictures: each clone has them, and each of their versions
_FILE = re.compile(r"`([a-z_/]+(?:\.py|/))`")


def test_every_setting_is_described_with_its_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A setting that is not in the table does not exist for operations."""
    for name in [name for name in os.environ if name.startswith("RINGBACK_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))

    described = {
        code(name)[0]: (code(default) or [""])[0]
        for name, default, _ in read("docs/settings.md").table("All settings")
    }

    assert described == load().shown()


def test_the_table_of_settings_is_the_one_in_the_code() -> None:
    """What a setting means is said once, next to its field, and every field says it."""
    text = settings_page.PAGE.read_text()

    assert settings_page.page(text) == text, (
        "write it again: .venv/bin/python -m tests.docs.settings_page"
    )
    assert all(field.description for field in Settings.model_fields.values())


def test_every_metric_is_described_with_its_type_and_labels() -> None:
    """Alerts are written from this table."""
    figures = {name: {"x": 1.0} if name in ("callbacks", "tokens") else 1.0 for name in HELP}
    metrics = Metrics("1.2.3", lambda: figures)
    metrics.http_request("/v1/me", "GET", 200, 0.1)
    metrics.auth_failures.add("absent")

    rendered = metrics.render()[0].decode()

    described = {
        code(name)[0]: (kind, frozenset(code(labels)))
        for name, kind, labels, _ in read("docs/operations.md").table("Metrics")
    }
    assert described == {
        name: (kind, _labels(rendered, name))
        for name, kind in re.findall(r"^# TYPE (ringback_\w+) (\w+)$", rendered, re.MULTILINE)
    }


def _labels(rendered: str, name: str) -> frozenset[str]:
    found = re.search(rf"^{name}(?:_count)?\{{(.*)\}} ", rendered, re.MULTILINE)
    return frozenset(re.findall(r'(\w+)="', found[1])) if found else frozenset()


def test_every_field_of_an_attempts_line_is_described() -> None:
    """Log pipelines are configured from this table."""
    reader, writer = os.pipe()
    log = Log(writer, pretty=False, dropped=lambda _: None)
    log.start()
    log.attempted(
        [AttemptReport(a_delivery(), an_attempt(), DeliveryState.DELIVERED, 0.1, 0.2, None)]
    )
    log.close()
    os.close(writer)
    with os.fdopen(reader) as lines:
        line = json.loads(lines.read())

    table = {code(field)[0]: meaning for field, meaning in read("docs/operations.md").table("Log")}

    assert list(table) == list(line)
    assert set(code(table["outcome"])) - {"Retry-After"} == set(Outcome)


def test_every_alert_is_described() -> None:
    """A person who writes a rule for a pager starts here."""
    operations = read("docs/operations.md")
    shown = json.loads(operations.only("Alerts", "json"))

    assert [code(kind)[0] for kind, *_ in operations.table("Alerts")] == list(AlertKind)
    assert shown == json.loads(
        alert_body(
            shown["id"], AlertKind(shown["type"]), shown["data"], from_rfc3339(shown["timestamp"])
        )
    )


def test_everything_that_is_done_to_a_token_is_described() -> None:
    """A reader of the operation log finds here what a word means."""
    assert [
        code(action)[0]
        for action, _ in read("docs/operations.md").table(
            "Who did what to a token: the operation log"
        )
    ] == list(Action)


def test_every_state_of_a_delivery_is_described() -> None:
    """What people see on a list is explained somewhere."""
    table = read("docs/architecture.md").table("The life of a delivery")

    assert {code(state)[0] for state, _ in table} == set(DeliveryState)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: os.PathLike[str]) -> None:
    """Files and headings move."""
    path = ROOT / page
    for target in _LINK.findall(path.read_text()) + _IMAGE.findall(path.read_text()):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        linked = (path.parent / unquote(name)).resolve() if name else path
        assert linked.exists(), target
        assert not anchor or anchor in _anchors(linked.read_text()), target


def test_every_picture_is_shown_and_described() -> None:
    """`make screenshots` takes them again: one that no page shows would be kept for nothing."""
    texts = {page: page.read_text() for page in PAGES}
    linked = {
        (page.parent / target).resolve()
        for page, text in texts.items()
        for target in _LINK.findall(text) + _IMAGE.findall(text)
        if target.endswith(".png")
    }
    pictures = set((ROOT / "docs" / "images").iterdir())
    shown = "".join(texts.values())

    assert pictures == linked == {FOLDER / f"{picture.name}.png" for picture in PICTURES}
    assert sum(picture.stat().st_size for picture in pictures) < _MOST_BYTES
    assert "![](" not in shown
    assert shown.count("<img ") == shown.count(' alt="')


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ["docs/reliability.md", "docs/security.md"])
def test_every_test_that_a_page_names_is_there(page: str) -> None:
    """They are renamed more often than pages are read, and a promise without its test is a claim."""
    named = named_tests(page)

    assert len(named) > 20
    for path, function in named:
        source = (ROOT / path).read_text()
        assert not function or f"def {function}(" in source, f"{path}::{function}"


def test_every_attack_names_a_test() -> None:
    """A row without one would be a hope."""
    rows = [row for row in read("docs/security.md").rows if row[1][0] not in ("attack", "---")]

    assert len(rows) > 20
    for section, (attack, _, proof) in rows:
        assert any(one.startswith("tests/") for one in code(proof)), f"{section}: {attack}"


def test_every_file_that_the_architecture_names_is_there() -> None:
    """A reader with an afternoon must not look for what was renamed."""
    text = (ROOT / "docs/architecture.md").read_text()
    folders = [
        folder for folder in ROOT.iterdir() if folder.is_dir() and not folder.name.startswith(".")
    ]

    named = [name for name in _FILE.findall(text) if not name.startswith("tests/")]

    assert len(named) > 30
    for name in named:
        assert (ROOT / name).exists() or any((folder / name).exists() for folder in folders), name
