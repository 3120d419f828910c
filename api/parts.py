"""What the application is built from. Put together by `ringback`; nothing here connects, reads the environment or starts a thread."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from exchange.port import Publisher
from schemas.reports import Observer
from schemas.targets import TargetPolicy
from store.callbacks import Callbacks
from store.database import Database
from store.directory import Directory
from store.tokens import Tokens
from store.vault import Vault


@dataclass(frozen=True)
class ApiParts:
    """`timeout_s` is that of one attempt. `ready` names what is missing, by part, with a reason; empty: ready to accept.

    `metrics` gives the body and the content type of `/metrics`.
    """

    database: Database
    vault: Vault
    directory: Directory
    publisher: Publisher
    observer: Observer
    policy: TargetPolicy
    public_url: str
    timeout_s: float
    metrics: Callable[[], tuple[bytes, str]]
    ready: Callable[[], Mapping[str, str]]
    version: str

    @property
    def tokens(self) -> Tokens:
        return Tokens(self.database, self.vault)

    @property
    def callbacks(self) -> Callbacks:
        return Callbacks(self.database, self.vault)
