"""The table of all pages."""

from dashboard.pages import Page
from dashboard.views import (
    account,
    attention,
    deliveries,
    delivery,
    events,
    overview,
    people,
    recoveries,
    saved_views,
    search,
    sign_in,
    sign_in_links,
    sign_in_openid,
    supplier,
    tokens,
)

PAGES: tuple[Page, ...] = (
    *account.PAGES,
    *attention.PAGES,
    *deliveries.PAGES,
    *delivery.PAGES,
    *events.PAGES,
    *overview.PAGES,
    *people.PAGES,
    *recoveries.PAGES,
    *saved_views.PAGES,
    *search.PAGES,
    *sign_in.PAGES,
    *sign_in_links.PAGES,
    *sign_in_openid.PAGES,
    *supplier.PAGES,
    *tokens.PAGES,
)
