"""A token with callbacks, and its pages as people see them."""

from typing import Any

import sqlalchemy as sa

from schemas.events.types import EventType
from schemas.ids import TokenId
from schemas.people import Role
from schemas.times import UnixMs
from schemas.tokens.audit_log import Change
from schemas.tokens.fields import CallbackFields
from schemas.tokens.permissions import Permission
from schemas.tokens.tokens import Callback, Token
from store import tables
from store.tokens.audit_log import list_changes
from tests.kit.pages import Site
from tests.kit.tokens import TESTER, token_fields

RECEIVED = EventType.MESSAGE_RECEIVED
URL = "https://crm.example.com/hook?key=s3cret"
HEADERS = {"Authorization": "Bearer of-the-crm", "X-Tenant": "blue"}


class Supplier:
    """The token "ACME CRM" of a site, with one callback that has headers of its own."""

    def __init__(self, site: Site):
        self.site = site
        callback = CallbackFields(URL, headers=HEADERS)
        created = site.parts.tokens.create(
            token_fields("ACME CRM", Permission.CONVERSATIONS_READ),
            {RECEIVED: callback},
            UnixMs(1),
            TESTER,
        )
        self.id: TokenId = created.token.id
        self.signing_secret = created.signing_secret
        self.admin = site.browser(Role.ADMIN)

    def use(self, **changed: Any) -> None:
        """Other pages on the same store, for the same browser."""
        self.site.use(**changed)
        self.admin.client.application = self.site.app

    def path(self, tab: str) -> str:
        """The address of one of the token's pages."""
        return f"/tokens/{self.id}/{tab}"

    def callback_path(self, kind: EventType = RECEIVED) -> str:
        return self.path(f"callbacks/{kind}")

    @property
    def token(self) -> Token:
        return self.site.parts.tokens.get(self.id)

    @property
    def callback(self) -> Callback:
        return self.token.callbacks[RECEIVED]

    def set_columns(self, **columns: object) -> None:
        """Write columns of the callback, as the settler does."""
        with self.site.database.write() as connection:
            connection.execute(
                sa.update(tables.callbacks)
                .where(tables.callbacks.c.id == self.callback.id)
                .values(columns)
            )

    def changes(self) -> list[Change]:
        """What is in the operation log, newest first."""
        with self.site.database.read() as connection:
            return list_changes(connection, self.id, 100).rows
