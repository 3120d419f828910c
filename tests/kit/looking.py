"""The pages that the browser tests look at, opened in this process."""

import re
from collections.abc import Mapping

from werkzeug.test import TestResponse

from schemas.ids import TokenId
from schemas.people import Role
from tests.browser.test_looks import OPEN, STATES
from tests.kit.pages import Browser, Site
from tests.kit.supplier_page import supplier_of


class Looking:
    """Opens each page as who it is for: an administrator, a supplier, or someone unknown. `ids` are
    the variable parts of addresses, as those of `Scene`.
    """

    def __init__(self, site: Site, ids: Mapping[str, str]):
        self._site, self._ids = site, ids
        self._stranger, self._admin = site.browser(), site.browser(Role.ADMIN)
        self._suppliers: dict[str, Browser] = {}

    def open(self, state: str) -> TestResponse:
        """Open the page of a state of STATES."""
        address = re.sub("<([a-z_]+)>", lambda found: self._ids[found[1]], STATES[state])
        return self._browser(state).open(address)

    def _browser(self, state: str) -> Browser:
        if state in OPEN:
            return self._stranger
        if of := re.match(r"/supplier/<(\w+)>", STATES[state]):
            return self._supplier(of[1])
        return self._admin

    def _supplier(self, name: str) -> Browser:
        if name not in self._suppliers:
            self._suppliers[name] = supplier_of(self._site, TokenId(self._ids[name]))
        return self._suppliers[name]
