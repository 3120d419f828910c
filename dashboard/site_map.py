"""The table of all pages."""

from dashboard.pages import Page
from dashboard.views import (
    account,
    attention,
    callback_test,
    deliveries,
    delivery,
    events,
    overview,
    people,
    recoveries,
    search,
    sign_in,
    sign_in_links,
    sign_in_openid,
    signing_secret,
    token_callbacks,
    token_changes,
    token_deliveries,
    token_log,
    tokens,
)

_SUBJECTS = (
    account,
    attention,
    callback_test,
    deliveries,
    delivery,
    events,
    overview,
    people,
    recoveries,
    search,
    sign_in,
    sign_in_links,
    sign_in_openid,
    signing_secret,
    token_callbacks,
    token_changes,
    token_deliveries,
    token_log,
    tokens,
)

PAGES: tuple[Page, ...] = tuple(page for subject in _SUBJECTS for page in subject.PAGES)
