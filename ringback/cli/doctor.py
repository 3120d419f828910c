"""`ringback doctor`: show the settings and check what they point at, one line per check."""

import http.client
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass

import click

from ringback.cli.commands import Command
from ringback.cli.database_access import opened, vault
from ringback.cli.invocation import Invocation
from ringback.cli.output import print_facts, print_json
from ringback.cli.parameter_types import as_json
from ringback.setting_values import ListenAddress
from ringback.settings import Settings
from ringback.temporary_folder import temporary_folder
from schemas.errors import RingbackError
from schemas.times import now_ms
from store.engine.suitability import require_usable
from store.tokens.listing import TokenFilter, list_tokens

CLOCK_TOLERANCE_MS = 1000
"""Larger: activation, expiration and signatures may be off by that much. Smaller: a slow connection
is mistaken for a wrong clock.
"""

_ANSWER_LIMIT_S = 2


@dataclass(frozen=True)
class CheckResult:
    """The result of one check. Its fields are those of `--json`."""

    what: str
    """The name of the check."""
    ok: bool
    detail: str
    """The facts when it is ok; else what is wrong and what to do."""


@click.command(cls=Command)
@as_json
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Check settings, database, broker, clock and ports.

    Exit status 1 when a check fails.
    """
    invocation: Invocation = context.obj
    results = [_checked(what, check, invocation.settings) for what, check in _CHECKS.items()]
    if as_json:
        print_json(
            {
                "settings": invocation.settings.shown(),
                "checks": [asdict(result) for result in results],
            }
        )
    else:
        print_facts(invocation.settings.shown())
        click.echo()
        print_facts(
            {result.what: ("ok: " if result.ok else "FAIL: ") + result.detail for result in results}
        )
    context.exit(0 if all(result.ok for result in results) else 1)


def _checked(what: str, check: "Check", settings: Settings) -> CheckResult:
    try:
        return CheckResult(what, True, check(settings))
    except RingbackError as error:
        return CheckResult(what, False, " ".join(str(error).split()))


def _database(settings: Settings) -> str:
    with opened(settings) as database:
        return f"{database.dialect}, up to date{require_usable(database)}"


def _secrets(settings: Settings) -> str:
    """Read all signing secrets, so that a missing key shows before the next delivery."""
    with opened(settings) as database, database.read() as connection:
        page = list_tokens(connection, vault(settings), TokenFilter(), now_ms(), 100)
    if unreadable := [token.id for token in page.rows if not token.is_readable]:
        raise RingbackError(
            f"the secrets of {', '.join(unreadable)} cannot be read, and nothing is sent for them: "
            "put the key that encrypted them into RINGBACK_SECRET_KEY, before the newer keys, or "
            "revoke them"
        )
    return f"signing secrets can be read (tokens checked: {len(page.rows)})"


def _clock(settings: Settings) -> str:
    with opened(settings) as database, database.read() as connection:
        database.now(connection)  # the first query pays for connecting
        before = now_ms()
        apart_ms = database.now(connection) - (before + now_ms()) // 2
    if abs(apart_ms) > CLOCK_TOLERANCE_MS:
        raise RingbackError(
            f"the clocks of this machine and the database are {apart_ms / 1000:.1f} s apart: "
            "synchronise both (chrony, systemd-timesyncd)"
        )
    return f"{apart_ms} ms from the database's"


def _broker(settings: Settings) -> str:
    if not settings.broker_url:
        return "none is configured: events go through the outbox"
    from exchange.rabbit.admin import depths
    from exchange.rabbit.policies import may_check

    url = ";".join(settings.broker_url)
    queues = depths(url)
    facts = f"{queues.dispatch} messages wait, {queues.dead} are dead letters"
    if not may_check(url):
        return f"{facts}; policies are not checked: this user may not configure queues ringback.*"
    _require_harmless_policies(url, queues.dispatch)
    return facts


def _require_harmless_policies(url: str, waiting: int) -> None:
    from exchange.rabbit.policies import advice, harms, room

    policies = list(harms(url))
    if (most := room(url, waiting)) is not None:
        policies.append(
            f"a policy limits a queue to {most} messages or fewer (max-length, max-length-bytes), "
            f"and {waiting} wait: further events go through the outbox, and the API answers 503 "
            "when that is full"
        )
    if policies:
        raise RingbackError(advice(policies))


def _port(name: str, address: ListenAddress) -> str:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if _is_ours(address.reachable()):
            return f"Ringback answers on {address}"
        raise RingbackError(
            f"cannot bind {address} ({error.strerror}): stop what uses it, or set {name}"
        ) from error
    return f"{address} is free"


def _is_ours(address: ListenAddress) -> bool:
    connection = http.client.HTTPConnection(*address, timeout=_ANSWER_LIMIT_S)
    try:
        connection.request("GET", "/healthz")
        return b"alive" in connection.getresponse().read(100)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _temporary(_: Settings) -> str:
    return f"{temporary_folder()} is writable"


def _targets(settings: Settings) -> str:
    public = "public addresses" + (", http:// too" if settings.allow_http else " by https://")
    return public + (
        f"; also {', '.join(map(str, settings.allow_targets))}" if settings.allow_targets else ""
    )


def _sign_in(settings: Settings) -> str:
    from ringback.openid import openid_provider

    if (provider := openid_provider(settings)) is None:
        return "by password"
    try:
        provider.check()
    except RingbackError as error:
        raise RingbackError(f"no one can sign in by OpenID Connect: {error}") from None
    also = ", and by password" if settings.local_sign_in else ""
    return f"at {provider.name}{also}; it must know the address {provider.client.return_to}"


Check = Callable[[Settings], str]
"""Returns facts when all is well. Raises RingbackError, which says what is wrong and what to do."""

_CHECKS: dict[str, Check] = {
    "database": _database,
    "secrets": _secrets,
    "clock": _clock,
    "broker": _broker,
    "port": lambda settings: _port("RINGBACK_LISTEN", settings.listen),
    "metrics port": lambda settings: _port("RINGBACK_METRICS_LISTEN", settings.metrics_listen),
    "temporary folder": _temporary,
    "targets": _targets,
    "sign-in": _sign_in,
}
