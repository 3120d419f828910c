"""Styles and scripts: those of others are unchanged, and all are kept by browsers until they
change.
"""

import gzip
import hashlib
import re
from pathlib import Path

from dashboard import static_files
from tests.kit.pages import Browser, Site

VENDOR = Path(static_files.__file__).parent / "static" / "vendor"
_ROW = re.compile(r"^\| `([^`]+)` \|.*`([0-9a-f]{64})` \|$", re.MULTILINE)


def test_the_files_of_others_are_those_that_are_listed() -> None:
    """Nothing in them was changed by hand, and each has its licence."""
    listed = dict(_ROW.findall((VENDOR / "README.md").read_text()))

    there = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in VENDOR.iterdir()
        if file.suffix in {".js", ".css"}
    }

    assert there == listed
    assert {f"LICENSE.{name}" for name in ("htmx", "pico", "uplot")} <= {
        file.name for file in VENDOR.iterdir()
    }


def test_a_file_is_kept_for_ever_under_the_address_of_its_content(site: Site) -> None:
    """After an upgrade a page names another address, so no browser shows an old script."""
    browser = Browser(site)
    address = static_files.address("ringback.css")

    found = browser.open(address)
    gone = browser.open(address.replace(address.split("/")[2], "0" * 16))

    assert (found.status_code, found.mimetype) == (200, "text/css")
    assert "immutable" in found.headers["Cache-Control"]
    assert gone.status_code == 404


def test_all_files_together_are_small(site: Site) -> None:
    """A page is there at once, also by a telephone."""
    browser = Browser(site)
    compressed = {"Accept-Encoding": "gzip, br"}

    sent = {
        name: browser.open(static_files.address(name), headers=compressed)
        for name in static_files.names()
    }

    assert sum(len(response.data) for response in sent.values()) < 140_000
    style = sent["ringback.css"]
    assert style.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(style.data) == browser.open(static_files.address("ringback.css")).data


def test_pages_load_nothing_from_elsewhere_and_allow_no_other_script(site: Site) -> None:
    response = Browser(site).open("/sign-in")

    policy = response.headers["Content-Security-Policy"]
    nonce = re.search(r"'nonce-([^']+)'", policy)
    assert nonce
    assert "unsafe" not in policy
    assert re.findall(r'<script nonce="([^"]+)"', response.text) == [nonce[1]] * 2
    assert re.findall(r'(?:src|href)="(https?:)?//', response.text) == []
    assert response.headers["Cache-Control"] == "no-store"
