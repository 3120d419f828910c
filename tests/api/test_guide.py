"""The document to download: whole in one file, and true about the installation that serves it."""

import configparser
import json
import re
from dataclasses import replace
from fnmatch import fnmatch
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from api.application import ROUTES, create_app
from api.docs.problems import problems
from schemas.events.samples import sample_event
from schemas.events.types import EventType
from schemas.tokens.permissions import Permission
from tests.kit.api import Caller, House

ROOT = Path(__file__).parents[2]
ADDRESS = "/docs/ringback-api.html"
_VOID = {"meta", "br"}
FREE = ("conversation.metadata.", "message.content.")
"""What differs from event to event, or has tables of its own."""


class Reader(HTMLParser):
    """Which elements there are, which ids, where links lead;
    asserts that what is opened is closed.
    """

    def __init__(self, page: str):
        super().__init__()
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.add(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if "href" in given else []
        assert "src" not in given
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"line {self.getpos()[0]}"


@pytest.fixture
def page(house: House) -> str:
    return Caller(house, None).call("GET", ADDRESS).text


def test_a_browser_shows_it_and_knows_what_to_call_the_file(house: House) -> None:
    """One opens it first, and keeps it then."""
    answer = Caller(house, None).call("GET", ADDRESS)

    assert (answer.status_code, answer.content_type) == (200, "text/html; charset=utf-8")
    assert answer.headers["Content-Disposition"] == 'inline; filename="ringback-api.html"'
    assert house.observer.requests == [(ADDRESS, "GET", 200)]


def test_it_loads_nothing(page: str) -> None:
    """It is read in a train, from a mail, years later."""
    read = Reader(page)

    assert read.tags.isdisjoint(
        {"script", "link", "img", "iframe", "object", "embed", "video", "audio", "form"}
    )
    assert "url(" not in page
    assert "@import" not in page


def test_every_link_leads_to_a_place_in_it_or_to_a_whole_address(page: str) -> None:
    """A path would lead nowhere from a file."""
    read = Reader(page)

    assert len(read.ids) == len(set(read.ids))
    assert {link.removeprefix("#") for link in read.links if link.startswith("#")} <= set(read.ids)
    assert all(link.startswith(("#", "https://")) for link in read.links)


def test_it_has_every_operation_and_every_problem(page: str) -> None:
    """What a supplier cannot find does not exist for them."""
    shown = set(
        re.findall(r'<span class="method">(\w+)</span><span class="path">([^<]+)</span>', page)
    )

    assert shown == {
        (route.method, route.rule.replace("<", "{").replace(">", "}")) for route in ROUTES
    }
    assert {f"problem-{slug}" for slug in problems()} <= set(Reader(page).ids)
    assert all(f"<code>{permission}</code>" in page for permission in Permission)


@pytest.mark.parametrize("kind", EventType)
def test_it_shows_each_notification_with_its_fields(page: str, kind: EventType) -> None:
    """The example is what `emit` sends, and the table has a row for everything in it."""
    section = unescape(page.partition(f'<h3 id="{kind}">')[2].partition("<h3")[0])
    example = json.loads(section.partition("<pre><code>")[2].partition("</code>")[0])

    assert example["data"] == sample_event(kind)["data"]
    required = set(re.findall(r'<td><code>([^<]+)</code><span class="must">', section))
    rows = set(re.findall(r"<tr>\s*<td><code>([^<]+)</code>", section))
    assert {"channel", "channel.id", "channel.kind"} <= required
    assert "channel.address" in rows - required
    assert {path for path in _paths(example["data"]) if not path.startswith(FREE)} <= rows


def _paths(value: dict[str, object], start: str = "") -> list[str]:
    found = []
    for name, inner in value.items():
        found.append(start + name)
        if isinstance(inner, dict):
            found += _paths(inner, f"{start}{name}.")
        elif isinstance(inner, list):
            found += _paths(inner[0], f"{start}{name}[].")
    return found


def test_it_tells_the_allowed_values(page: str) -> None:
    """A receiver writes a `match` over them."""
    origin, status = (
        page.partition(f"<code>{name}</code>")[2].partition("</tr>")[0]
        for name in ("origin", "status")
    )

    assert set(re.findall(r"<code>(\w+)</code>", origin)) == {
        "customer",
        "agent",
        "campaign",
        "api",
        "bot",
    }
    assert "or null" in origin
    assert set(re.findall(r"<code>(\w+)</code>", status)) == {
        "queued",
        "sent",
        "failed",
        "delivered",
        "read",
    }
    assert "such as" in status


def test_it_tells_how_this_installation_calls(house: House, page: str) -> None:
    """The defaults would be wrong where an administrator has set something else."""
    terms = replace(house.parts.call_terms, concurrency=3)
    other = create_app(
        replace(
            house.parts,
            call_terms=terms,
            public_url="https://hooks.example",
            platform_docs_url="https://chat.example/?<b>",
        )
    )

    shown = other.test_client().get(ADDRESS).text

    assert "7 seconds after the previous one failed" in page
    assert "3 hours after the previous one failed, about 3 hours after the first" in page
    assert "none within 15 seconds (connecting: 5 seconds)" in page
    assert "At most 16 requests" in page
    assert "https://ringback.example/v1/me" in page
    assert "At most 3 requests" in shown
    assert "https://hooks.example/v1/me" in shown
    assert '<a href="https://chat.example/?&lt;b&gt;">' in shown
    assert "chat.example" not in page


def test_every_template_is_packed() -> None:
    """An installation without them answers 500 to requests for the documentation."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    packed = setup["options.package_data"]["api"].split()
    templates = [
        str(path.relative_to(ROOT / "api"))
        for path in (ROOT / "api" / "templates").rglob("*")
        if path.is_file()
    ]

    assert len(templates) > 8
    assert all(
        any(fnmatch(name, pattern) and name.count("/") == pattern.count("/") for pattern in packed)
        for name in templates
    )
