"""Tokens on the pages in this process."""

import re
from collections.abc import Mapping
from typing import Any

from werkzeug.test import TestResponse

from schemas.events.types import EventType
from schemas.tokens.fields import CallbackFields, TokenFields
from schemas.tokens.tokens import Token
from tests.kit.html_forms import form
from tests.kit.pages import Browser, Site
from tests.kit.tokens import TESTER, token_fields

_SECRET = re.compile(r"rbk_[0-9A-Za-z]{36}|whsec_[0-9A-Za-z+/=]{40,}")


def a_token_of(
    site: Site, fields: TokenFields | None = None, urls: Mapping[EventType, str] | None = None
) -> Token:
    """A token in the store of the pages."""
    callbacks = {kind: CallbackFields(url) for kind, url in (urls or {}).items()}
    now = site.database.time()
    return site.parts.tokens.create(fields or token_fields(), callbacks, now, TESTER).token


def send_form(
    browser: Browser, page: str, action: str, /, **changed: str | list[str] | None
) -> TestResponse:
    """Open a page, change some fields of one of its forms, and send it."""
    sent: dict[str, Any] = form(browser.open(page).text, action).filled(**changed)
    return browser.send(action, **sent)


def secrets_in(text: str) -> list[str]:
    """Tokens and signing secrets that a page shows."""
    return _SECRET.findall(text)


def main_of(page: str) -> str:
    """The content of a page, without its frame and the long list of zones."""
    content = page[page.index("<main") : page.index("</main>")]
    return re.sub(r"<datalist.*?</datalist>", "", content, flags=re.DOTALL)
