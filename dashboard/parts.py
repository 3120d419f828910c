"""What the pages are built from. `ringback` puts it together; nothing here connects or reads the
environment.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from dashboard.oidc.provider import OpenIdProvider
from schemas.observer import Observer
from schemas.readiness import Readiness
from schemas.tokens.target_policy import Network, TargetPolicy
from store.directory.directory import Directory
from store.engine.database import Database
from store.people.failures import SignInFailures
from store.people.links import SignInLinks
from store.people.people import People
from store.people.saved_views import SavedViews
from store.people.sessions import Sessions
from store.tokens.callbacks import Callbacks
from store.tokens.supplier_links import SupplierLinks
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault
from web.callback_tests import CallbackTests
from web.rate_limits import Buckets
from web.server.threads import RequestThreads

Gauges = Mapping[str, float | Mapping[str, float]]
"""Values by gauge: a number, or numbers by state."""


OPENID_RETURNS, OPENID_RETURNS_S = 50, 60
"""How many answers of the OpenID Connect provider are looked at from one network, in how many seconds,
in each process. More: who makes codes up causes more requests to the provider, which may refuse all
then. Fewer: an office that signs in at the same moment waits.
"""


@dataclass(frozen=True)
class PageParts:
    """The collaborators and settings of the pages."""

    database: Database
    vault: Vault
    directory: Directory
    threads: RequestThreads
    observer: Observer
    policy: TargetPolicy
    """Which callbacks may be saved."""
    public_url: str
    """The address under which people reach the pages."""
    cookie_keys: Sequence[bytes] = field(repr=False)
    """They sign what the browser keeps for the next page, oldest first: the last one signs."""
    trusted_proxies: Sequence[Network]
    timeout_s: float
    """The total timeout of one attempt: how long a test of a callback may take."""
    max_life: dt.timedelta | None
    """The longest life that may be given to a token; None: any."""
    platform_docs_url: str | None
    readiness: Callable[[], Readiness]
    gauges: Callable[[], Gauges]
    """What waits, as `/metrics` shows it. It asks the database at most every two seconds, however
    many pages are open. What cannot be read is left out.
    """
    first_steps: Callable[[], Sequence[str]]
    """Commands that show a newcomer a first webhook: one that receives, one that publishes. They
    hold secrets. Empty: there are none.
    """
    version: str
    callback_tests: CallbackTests
    """The tests of callbacks, which the API counts, too."""
    viewers_see_payloads: bool = True
    """Whether people who may only look see the data of events and what receivers answered."""
    openid: OpenIdProvider | None = None
    """Where people sign in by OpenID Connect; None: nowhere."""
    local_sign_in: bool = True
    """Whether people sign in by password, too."""

    @property
    def is_secure(self) -> bool:
        """Whether people reach the pages by https, so that cookies may insist on it."""
        return self.public_url.startswith("https://")

    @cached_property
    def tokens(self) -> Tokens:
        """Tokens and their changes."""
        return Tokens(self.database, self.vault, self.max_life)

    @cached_property
    def people(self) -> People:
        """Who may sign in."""
        return People(self.database)

    @cached_property
    def sessions(self) -> Sessions:
        """Who is signed in."""
        return Sessions(self.database)

    @cached_property
    def links(self) -> SignInLinks:
        """Links that sign in once."""
        return SignInLinks(self.database)

    @cached_property
    def supplier_links(self) -> SupplierLinks:
        """Links to the pages of suppliers."""
        return SupplierLinks(self.database, self.vault)

    @cached_property
    def saved_views(self) -> SavedViews:
        """Views of lists that people saved."""
        return SavedViews(self.database)

    @cached_property
    def sign_in_failures(self) -> SignInFailures:
        """Guesses at passwords."""
        return SignInFailures(self.database)

    @cached_property
    def openid_returns(self) -> Buckets:
        """Answers of the OpenID Connect provider, by network. Each is a request to the provider,
        which anyone could cause without end with codes that are made up.
        """
        return Buckets(OPENID_RETURNS_S * 10**9 // OPENID_RETURNS, OPENID_RETURNS)

    @cached_property
    def callbacks(self) -> Callbacks:
        """The callbacks of tokens."""
        return Callbacks(self.database, self.vault)
