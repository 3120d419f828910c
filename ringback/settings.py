"""The settings: one frozen value, read once from the environment and the env file when a process
starts.

Never changes anything (`ringback.secret_key` makes the key that embedded mode keeps), and its repr
shows no secret. Called by the subcommands, who hand the parts what they need of it.
"""

import datetime as dt
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from exchange.broker_address import without_password
from ringback.env_file import env_file as located
from ringback.env_file import env_file_values
from ringback.setting_names import PREFIX, refuse_doubles, refuse_empty, refuse_slips, told
from ringback.setting_values import (
    AddressValue,
    BrokerUrls,
    DatabaseUrl,
    Duration,
    Durations,
    ListenAddress,
    Networks,
    PageUrl,
    PublicUrl,
    RateLimit,
    SecretKeys,
    SigningSecrets,
    written,
)
from schemas.errors import UsageError
from schemas.tokens.target_policy import TargetPolicy
from store.engine import database_url

DRAIN_MARGIN = dt.timedelta(seconds=5)
"""What a drain needs on top of the slowest attempt, to settle and to acknowledge."""

_DEFAULT_SCHEDULE = tuple(
    dt.timedelta(seconds=s)
    for s in (5, 300, 1800, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
)


class Settings(BaseSettings):
    """Each field is the environment variable of its name in capitals, with the prefix RINGBACK_."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    database_url: DatabaseUrl = Field(
        "sqlite:///var/ringback.db",
        description="Where everything is remembered. `sqlite:///PATH` for one process (`serve`); "
        "`postgresql+psycopg://USER:PASSWORD@HOST:PORT/NAME` for several. Percent-encode special characters in its parts. After `?` it takes "
        "the parameters of PostgreSQL's libpq, such as `sslmode=verify-full&sslrootcert=/etc/ssl/db.pem`, each once.",
    )
    broker_url: BrokerUrls = Field(
        (),
        description="RabbitMQ: `amqp://USER:PASSWORD@HOST:PORT/`, or `amqps://…`; the nodes of a cluster separated by `;`, tried in turn. "
        "Percent-encode special characters in user, password and vhost. `amqps://` verifies certificate and host name; after `?` it takes "
        "`cacertfile`, `certfile`, `keyfile` and `server_name_indication`. Unset: events wait in the database.",
    )
    listen: AddressValue = Field(
        ListenAddress("127.0.0.1", 8080),
        description="Where the API answers: `HOST:PORT`, `[::1]:PORT`, or `:PORT` for every interface. It speaks `http://`: put a proxy "
        "with TLS before it when others than this machine call.",
    )
    metrics_listen: AddressValue = Field(
        ListenAddress("127.0.0.1", 9464),
        description="Where `ringback dispatch` answers `/healthz`, `/readyz` and `/metrics`. Each dispatcher of a machine needs one of its "
        "own. `serve` and `api` answer these on `RINGBACK_LISTEN`.",
    )
    secret_key: SecretKeys = Field(
        (),
        description="Encrypts signing secrets and callback headers in the database: at least 16 characters, the same in every process "
        "(`openssl rand -hex 32`). Several, oldest first, separated by commas: all decrypt, the last encrypts ([how to replace it]"
        "(operations.md#replacing-the-secret-key)). Unset in embedded mode: one is made and kept in `var/secret-key`. Lost: signing secrets cannot be read again.",
    )
    public_url: PublicUrl = Field(
        default_factory=lambda known: f"http://{known['listen'].reachable()}",
        description="How others reach the API, for the OpenAPI document and the one that suppliers download: set it before you hand that "
        "out. Unset: from `RINGBACK_LISTEN`.",
    )
    allow_targets: Networks = Field(
        (),
        description="Networks that callbacks may reach although they are not public, such as `10.1.0.0/16,127.0.0.0/8`. Whoever may set a "
        "callback's URL can then send requests into them.",
    )
    allow_http: bool = Field(
        False,
        description="`true`: callbacks may go to `http://`, readable on their way. Loopback addresses in `RINGBACK_ALLOW_TARGETS` need no "
        "permission.",
    )
    retry_schedule: Durations = Field(
        _DEFAULT_SCHEDULE,
        description="Delays after the 1st, 2nd, … failed attempt, each moved by up to a tenth. After the last attempt the delivery is "
        "`exhausted`. Longer: receivers survive longer outages, and must remember ids longer.",
    )
    timeout: Duration = Field(
        dt.timedelta(seconds=15),
        gt=dt.timedelta(0),
        description="Of one attempt, from connecting to the end of the answer. Longer: slow receivers are given their time, and hold their "
        "slots longer.",
    )
    connect_timeout: Duration = Field(
        dt.timedelta(seconds=5),
        gt=dt.timedelta(0),
        description="Of connecting, TLS included; part of `RINGBACK_TIMEOUT`.",
    )
    callback_concurrency: int = Field(
        16,
        ge=1,
        le=10_000,
        description="Attempts in flight per callback, in each dispatcher; 1 to 10000. Larger: a fast receiver gets more at a time, and "
        "each hanging one holds more connections.",
    )
    disable_after: Duration = Field(
        dt.timedelta(days=5),
        gt=dt.timedelta(0),
        description="A callback at which nothing succeeded for so long is disabled, until somebody enables it. Longer: a receiver may be "
        "away for longer without anybody having to do anything. Shorter than the schedule: deliveries are held that would "
        "otherwise be `exhausted`.",
    )
    drain_timeout: Duration = Field(
        dt.timedelta(seconds=25),
        description="How long a stop may take to finish what is in flight; at least `RINGBACK_TIMEOUT` + 5 s. A supervisor should wait "
        "longer than this before it kills.",
    )
    outbox_max: int = Field(
        1_000_000,
        ge=1,
        description="Events that may wait in the outbox; beyond it publishing answers 503. Larger: a longer outage is survived, on more "
        "disk.",
    )
    retention: Duration = Field(
        dt.timedelta(days=30),
        description="How long events, deliveries, attempts and the logs are kept, and an event's id is remembered; longer than the whole "
        "schedule. What is pending keeps its event ([room](operations.md#room)). Longer: more disk. Shorter: an id that comes again "
        "later is a new event, and there is less to look at and to recover.",
    )
    trusted_proxies: Networks = Field(
        (),
        description="Networks of proxies before the API, such as `10.0.0.0/8`: what they say in `Forwarded` or `X-Forwarded-*` of who "
        "called is believed. The proxy must set or remove both `Forwarded` and `X-Forwarded-For`: where both come, `X-Forwarded-For` "
        "counts. Unset: whoever connects is taken for the caller.",
    )
    rate_limit: RateLimit = Field(
        None,
        description="Requests a second that each token may make, 0.1 to 1000000, and at once what a second brings; beyond it "
        "[429](operations.md#limits). Of each API process: with four workers four times that. Unset, or `off`: no limit.",
    )
    alert_url: str | None = Field(
        None,
        description="Where [operational events](operations.md#alerts) go, such as a callback that keeps failing. The same targets are "
        "allowed as for callbacks. Unset: they are only logged.",
    )
    alert_secret: SigningSecrets = Field(
        (),
        description="Signs them, like webhooks: `whsec_` followed by what `openssl rand -base64 32` prints. Required with "
        "`RINGBACK_ALERT_URL`. Several, oldest first, separated by commas: each signs.",
    )
    platform_docs_url: PageUrl | None = Field(
        None,
        description="Where the chat platform's own API is documented: offered beside ours in `/docs` and in the document to download.",
    )

    @property
    def embedded(self) -> bool:
        """Whether one process is all there is: no broker, and a database that is a file."""
        return not self.broker_url and self.sqlite_path is not None

    @property
    def sqlite_path(self) -> Path | None:
        """The database file; None when the database is not SQLite."""
        return database_url.sqlite_path(self.database_url)

    def shown(self) -> dict[str, str]:
        """By environment variable, as it would be written there, secrets masked."""
        return {_variable(name): _masked(name, value) for name, value in self}

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        return ((name, _masked(name, value)) for name, value in self)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.connect_timeout > self.timeout:
            raise _Disagreement(
                "connect_timeout",
                "connecting is part of an attempt: it cannot take longer than RINGBACK_TIMEOUT",
            )
        if self.drain_timeout < self.timeout + DRAIN_MARGIN:
            raise _Disagreement(
                "drain_timeout",
                "a stop waits for what is in flight: at least RINGBACK_TIMEOUT + 5s",
            )
        if self.retention <= sum(self.retry_schedule, dt.timedelta(0)):
            raise _Disagreement(
                "retention",
                "what is retried must be kept: longer than all delays of RINGBACK_RETRY_SCHEDULE together",
            )
        if not self.secret_key and not self.embedded:
            raise _Disagreement(
                "secret_key",
                "required beside a broker or PostgreSQL (make one: openssl rand -hex 32), the same in every process",
            )
        if self.alert_url and (
            fault := TargetPolicy(self.allow_targets, self.allow_http).url_fault(self.alert_url)
        ):
            raise _Disagreement("alert_url", fault)
        if self.alert_url and not self.alert_secret:
            raise _Disagreement(
                "alert_secret",
                "required with RINGBACK_ALERT_URL: whsec_ and base64 (openssl rand -base64 32)",
            )
        if self.sqlite_path is not None and self.sqlite_path.name in ("", ":memory:"):
            raise _Disagreement(
                "database_url",
                "a database in memory would forget what it accepted: use sqlite:///PATH",
            )
        if self.sqlite_path is not None and str(self.sqlite_path).startswith("~"):
            raise _Disagreement(
                "database_url",
                f"`~` is not read as your home here: write sqlite:///{_at_home(self.sqlite_path)}",
            )
        return self


class _Disagreement(ValueError):
    """Of settings that are each fine by themselves."""

    def __init__(self, field: str, why: str):
        super().__init__(why)
        self.field = field


def load(env_file: Path | None = None) -> Settings:
    """From the environment, then `env_file` (which must exist), else `ringback.env` where there is
    one.

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
        faults = [
            _fault(each)
            for each in error.errors(include_url=False)
            if each["type"] != "default_factory_not_called"
        ]
        raise UsageError("; ".join(faults)) from None


def not_read(env_file: Path | None = None) -> list[str]:
    """What looks like a setting and is none, in words. Raises UsageError."""
    return told(os.environ, env_file_values(located(env_file)), known_names())


def known_names() -> list[str]:
    """Of all settings, without their prefix."""
    return [name.upper() for name in Settings.model_fields]


def _fault(error: Any) -> str:
    """One of pydantic's errors in our words; its input is left out, as it may be a secret."""
    cause = error.get("ctx", {}).get("error")
    field = cause.field if isinstance(cause, _Disagreement) else str(error["loc"][0])
    return f"{_variable(field)}: {cause or _EXPECTED.get(field, error['msg'])}"


_EXPECTED = {
    "allow_http": "true or false",
    "timeout": "longer than 0s",
    "connect_timeout": "longer than 0s",
    "callback_concurrency": "a whole number from 1 to 10000",
    "disable_after": "longer than 0s",
    "outbox_max": "a whole number from 1",
}


def _at_home(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:  # somebody's whom this machine does not know
        return Path("/home", *path.parts)


def _variable(field: str) -> str:
    return PREFIX + field.upper()


def _masked(field: str, value: object) -> str:
    """What could hold a secret is shown as far as it certainly holds none."""
    text = written(value, separator=";" if field == "broker_url" else ",")
    mask = _MASKS.get(field)
    return mask(text) if mask is not None and text else text


def _without_path(url: str) -> str:
    """Of a URL to call: for many services path and query are the key."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/***"


_MASKS: dict[str, Callable[[str], str]] = {
    "secret_key": lambda _: "***",
    "alert_secret": lambda _: "***",
    "alert_url": _without_path,
    "broker_url": lambda urls: ";".join(without_password(url) for url in urls.split(";")),
    "database_url": database_url.shown,
}
