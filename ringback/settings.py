"""The settings: one frozen value, read once from the environment and the env file when a process
starts.

Changes nothing (`ringback.secret_key` creates the key of embedded mode), and its repr shows no
secret. Called by the subcommands, which pass to each part what it needs.
"""

import datetime as dt
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ringback.env_file import env_file as located
from ringback.env_file import env_file_values
from ringback.setting_agreement import require_agreement
from ringback.setting_display import masked
from ringback.setting_faults import faults
from ringback.setting_names import (
    PREFIX,
    ignored_names,
    refuse_doubles,
    refuse_empty,
    refuse_slips,
    variable,
)
from ringback.setting_values import (
    AddressValue,
    BrokerUrls,
    DatabaseUrl,
    Duration,
    Durations,
    IssuerUrl,
    ListenAddress,
    MailFrom,
    Networks,
    PageUrl,
    PlainText,
    PublicUrl,
    RateLimit,
    SecretKeys,
    SigningSecrets,
    SmtpUrl,
)
from schemas.errors import UsageError
from store.engine import database_url

_DEFAULT_SCHEDULE = tuple(
    dt.timedelta(seconds=s)
    for s in (5, 300, 1800, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
)


class Settings(BaseSettings):
    """All settings. The environment variable of a field is its name in capitals, with the prefix
    RINGBACK_.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    database_url: DatabaseUrl = Field(
        "sqlite:///var/ringback.db",
        description="Database URL. `sqlite:///PATH` for one process (`serve`); "
        "`postgresql+psycopg://USER:PASSWORD@HOST:PORT/NAME` for several. Percent-encode special "
        "characters in its parts. After `?` it takes the parameters of PostgreSQL's libpq, such as "
        "`sslmode=verify-full&sslrootcert=/etc/ssl/db.pem`, each once.",
    )
    broker_url: BrokerUrls = Field(
        (),
        description="RabbitMQ: `amqp://USER:PASSWORD@HOST:PORT/`, or `amqps://…`. Separate the "
        "nodes of a cluster by `;`: they are tried in turn. Percent-encode special characters in "
        "user, password and vhost. `amqps://` verifies certificate and host name; after `?` it "
        "takes `cacertfile`, `certfile`, `keyfile` and `server_name_indication`. Unset: events "
        "wait in the database.",
    )
    listen: AddressValue = Field(
        ListenAddress("127.0.0.1", 8080),
        description="Where the API listens: `HOST:PORT`, `[::1]:PORT`, or `:PORT` for every "
        "interface. It speaks `http://`: put a proxy with TLS in front of it when other machines "
        "call.",
    )
    metrics_listen: AddressValue = Field(
        ListenAddress("127.0.0.1", 9464),
        description="Where `ringback dispatch` serves `/healthz`, `/readyz` and `/metrics`. Each "
        "dispatcher of a machine needs its own. `serve` and `api` serve them on "
        "`RINGBACK_LISTEN`.",
    )
    secret_key: SecretKeys = Field(
        (),
        description="Encrypts signing secrets and callback headers in the database. At least 16 "
        "characters, the same in every process (`openssl rand -hex 32`). Several, oldest first, "
        "separated by commas: all decrypt, the last encrypts ([how to replace it]"
        "(operations.md#replacing-the-secret-key)). Unset in embedded mode: a key is created and "
        "kept in `var/secret-key`. If it is lost, signing secrets cannot be read again.",
    )
    public_url: PublicUrl = Field(
        default_factory=lambda known: f"http://{known['listen'].reachable()}",
        description="URL at which others reach the API and the pages, for links, the OpenAPI "
        "document and the document that suppliers download. Set it before you hand that out. With "
        "a path in it only the API can be reached: the pages need a host of their own. "
        "Unset: from `RINGBACK_LISTEN`.",
    )
    allow_targets: Networks = Field(
        (),
        description="Networks that callbacks may reach although they are not public, such as "
        "`10.1.0.0/16,127.0.0.0/8`. Anyone who may set a callback's URL can then send requests "
        "into them.",
    )
    allow_http: bool = Field(
        False,
        description="`true`: callbacks may use `http://`, readable in transit. Loopback addresses "
        "in `RINGBACK_ALLOW_TARGETS` may always use it.",
    )
    retry_schedule: Durations = Field(
        _DEFAULT_SCHEDULE,
        description="Delays after the 1st, 2nd, … failed attempt, each varied by up to a tenth. "
        "After the last attempt the delivery is `exhausted`. Longer: receivers survive longer "
        "outages, and must remember ids longer.",
    )
    timeout: Duration = Field(
        dt.timedelta(seconds=15),
        gt=dt.timedelta(0),
        description="Total timeout of one attempt, from connecting to the end of the answer. "
        "Longer: slow receivers can answer, and occupy their slots longer.",
    )
    connect_timeout: Duration = Field(
        dt.timedelta(seconds=5),
        gt=dt.timedelta(0),
        description="Connect timeout, including TLS; part of `RINGBACK_TIMEOUT`.",
    )
    callback_concurrency: int = Field(
        16,
        ge=1,
        le=10_000,
        description="Attempts in flight per callback, in each dispatcher; 1 to 10000. Larger: a "
        "fast receiver gets more at a time, and each hanging one holds more connections.",
    )
    disable_after: Duration = Field(
        dt.timedelta(days=5),
        gt=dt.timedelta(0),
        description="Disable a callback after this long without a success, until an administrator "
        "enables it. Longer: a receiver may be unavailable longer without manual work. Shorter "
        "than the schedule: deliveries are held that would otherwise be `exhausted`.",
    )
    drain_timeout: Duration = Field(
        dt.timedelta(seconds=25),
        description="How long a stop may take to finish what is in flight; at least "
        "`RINGBACK_TIMEOUT` + 5 s. A supervisor should wait longer than this before it kills.",
    )
    outbox_max: int = Field(
        1_000_000,
        ge=1,
        description="Maximum of events in the outbox; beyond it publishing is answered 503. "
        "Larger: a longer outage is survived, on more disk.",
    )
    retention: Duration = Field(
        dt.timedelta(days=30),
        description="How long events, deliveries, attempts and the logs are kept, and an event's "
        "id is remembered; longer than the whole schedule. A pending delivery keeps its event "
        "([room](operations.md#room)). Longer: more disk. Shorter: an id that is repeated later "
        "is a new event, and there is less to search and to recover.",
    )
    trusted_proxies: Networks = Field(
        (),
        description="Networks of proxies in front of the API, such as `10.0.0.0/8`. The client "
        "address that they send in `Forwarded` or `X-Forwarded-*` is trusted. The proxy must set "
        "or remove both `Forwarded` and `X-Forwarded-For`: if both are there, `X-Forwarded-For` "
        "counts. Unset: the address that connects is the client's.",
    )
    rate_limit: RateLimit = Field(
        None,
        description="Requests a second per token, 0.1 to 1000000, with bursts of one second's "
        "worth; beyond it [429](operations.md#limits). Each API process counts for itself: with "
        "four workers a token may make four times as many. Unset, or `off`: no limit.",
    )
    alert_url: str | None = Field(
        None,
        description="URL for [operational events](operations.md#alerts), such as a callback that "
        "keeps failing. The same targets are allowed as for callbacks. Unset: they are only "
        "logged.",
    )
    alert_secret: SigningSecrets = Field(
        (),
        description="Signs operational events, like webhooks: `whsec_` followed by what `openssl "
        "rand -base64 32` prints. Required with `RINGBACK_ALERT_URL`. Several, oldest first, "
        "separated by commas: each signs.",
    )
    oidc_issuer: IssuerUrl | None = Field(
        None,
        description="People [sign in to the pages](people.md#sign-in-by-openid-connect) at this "
        "OpenID Connect provider: its issuer, spelled exactly as the provider does, such as "
        "`https://accounts.google.com`. Who may sign in are the people of `ringback user`. Unset: "
        "by passwords alone.",
    )
    oidc_client_id: PlainText | None = Field(
        None,
        description="The name of this Ringback at the provider. Required with "
        "`RINGBACK_OIDC_ISSUER`.",
    )
    oidc_client_secret: PlainText | None = Field(
        None,
        description="The secret of this Ringback at the provider. Required with "
        "`RINGBACK_OIDC_ISSUER`.",
    )
    local_sign_in: bool = Field(
        True,
        description="`false`: people sign in by OpenID Connect alone, and have no passwords. "
        "Links of `ringback user link` still sign in, once: they are for the day when the provider "
        "is away.",
    )
    smtp_url: SmtpUrl | None = Field(
        None,
        description="Mail server for [mail to administrators](operations.md#mail) and tokens' "
        "contacts: `smtp://USER:PASSWORD@HOST:PORT` (587, encrypted where the server offers it, "
        "and always with a password) or `smtps://…` (465). Percent-encode special characters. "
        "Unset: no mail.",
    )
    mail_from: MailFrom | None = Field(
        None,
        description="Sender of mail, such as `Ringback <ringback@example.com>`. Required with "
        "`RINGBACK_SMTP_URL`.",
    )
    token_max_life: Duration | None = Field(
        None,
        gt=dt.timedelta(0),
        description="Longest life that may be given to a token, from its activation on: then every "
        "new token needs an expiration date, and dates that are changed must keep to it. Tokens "
        "that exist keep their dates. Unset: a token may be valid for ever.",
    )
    platform_docs_url: PageUrl | None = Field(
        None,
        description="URL of the chat platform's own API documentation, linked in `/docs` and in "
        "the document to download.",
    )
    viewers_see_payloads: bool = Field(
        True,
        description="`false`: on the pages, people with the role `viewer` see neither the data of "
        "events nor what receivers answered. Administrators and the API are not affected.",
    )

    @property
    def embedded(self) -> bool:
        """Whether one process is everything: no broker, and a database that is a file."""
        return not self.broker_url and self.sqlite_path is not None

    @property
    def sqlite_path(self) -> Path | None:
        """The database file, or None when the database is not SQLite."""
        return database_url.sqlite_path(self.database_url)

    def shown(self) -> dict[str, str]:
        """Return all values by environment variable, as they would be written there, with secrets
        masked.
        """
        return {variable(name): masked(name, value) for name, value in self}

    def __repr_args__(self) -> Iterator[tuple[str, str]]:
        return ((name, masked(name, value)) for name, value in self)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        require_agreement(self)
        return self


def load(env_file: Path | None = None) -> Settings:
    """Read the settings from the environment, then from `env_file` (which must exist), else from
    `ringback.env` where there is one.

    Raises UsageError: one line that names each wrong setting.
    """
    path = located(env_file)
    file = env_file_values(path)
    refuse_slips(os.environ, file, known_names())
    refuse_doubles(os.environ, known_names())
    refuse_empty(os.environ, file)
    try:
        return Settings(_env_file=path)
    except ValidationError as error:
        raise UsageError("; ".join(faults(error))) from None


def not_read(env_file: Path | None = None) -> list[str]:
    """Return a line for each name that looks like a setting and is none. Raises UsageError."""
    return ignored_names(os.environ, env_file_values(located(env_file)), known_names())


def known_names() -> list[str]:
    """Return the names of all settings in capitals, without their prefix."""
    return [name.upper() for name in Settings.model_fields]
