"""API access tokens: the table of all, creating one, and the pages of one."""

from dashboard.pages import Page
from dashboard.views.tokens import (
    access,
    callback_test,
    callbacks,
    changes,
    delete,
    deliveries,
    details,
    log,
    new,
    signing_secret,
    supplier_link,
    table,
)

PAGES: tuple[Page, ...] = (
    *access.PAGES,
    *callback_test.PAGES,
    *callbacks.PAGES,
    *changes.PAGES,
    *delete.PAGES,
    *deliveries.PAGES,
    *details.PAGES,
    *log.PAGES,
    *new.PAGES,
    *signing_secret.PAGES,
    *supplier_link.PAGES,
    *table.PAGES,
)
