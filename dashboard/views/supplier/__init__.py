"""The page that a supplier opens by a link, signed for one token: what is delivered to it, and why
not. It changes nothing and names no other token and no person.
"""

from dashboard.pages import Page
from dashboard.views.supplier import callback_test, deliveries, delivery, entry, overview

PAGES: tuple[Page, ...] = (
    *callback_test.PAGES,
    *deliveries.PAGES,
    *delivery.PAGES,
    *entry.PAGES,
    *overview.PAGES,
)
