"""API access tokens: the table of all, creating one, and the pages that change one."""

from dashboard.pages import Page
from dashboard.views.tokens import access, delete, details, new, table

PAGES: tuple[Page, ...] = (
    *table.PAGES,
    *new.PAGES,
    *details.PAGES,
    *access.PAGES,
    *delete.PAGES,
)
