"""`ringback doctor`: shows the settings and checks what they point at. One line each: ok, or what
to do about it.
"""

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
"""More: activation, expiration and signatures are that much off. Less: a slow connection is taken
for a wrong clock.
"""

_ANSWER_LIMIT_S = 2


@dataclass(frozen=True)
class CheckResult:
    """`ok` with what was found, or not, with what to do."""

    what: str
    ok: bool
    told: str


@click.command(cls=Command)
@as_json
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Check settings, database, broker, clock and ports.

    Exit status 1 when something needs doing.
    """
    invocation: Invocation = context.obj
    findings = [_checked(what, check, invocation.settings) for what, check in _CHECKS.items()]
    if as_json:
        print_json(
            {
                "settings": invocation.settings.shown(),
                "checks": [asdict(finding) for finding in findings],
            }
        )
    else:
        print_facts(invocation.settings.shown())
        click.echo()
        print_facts(
            {
                finding.what: ("ok: " if finding.ok else "TO DO: ") + finding.told
                for finding in findings
            }
        )
    context.exit(0 if all(finding.ok for finding in findings) else 1)


def _checked(what: str, check: "Check", settings: Settings) -> CheckResult:
    try:
        return CheckResult(what, True, check(settings))
    except RingbackError as error:
        return CheckResult(what, False, " ".join(str(error).split()))


def _database(settings: Settings) -> str:
    with opened(settings) as database:
        return f"{database.dialect}, up to date{require_usable(database)}"


def _secrets(settings: Settings) -> str:
    """A key that is missing shows here, and not at the next delivery."""
    with opened(settings) as database, database.read() as connection:
        page = list_tokens(connection, vault(settings), TokenFilter(), now_ms(), 100)
    if unreadable := [token.id for token in page.rows if not token.is_readable]:
        raise RingbackError(
            f"the secrets of {', '.join(unreadable)} cannot be read, and nothing is sent for them: give RINGBACK_SECRET_KEY the key that"
            " encrypted them, before the newer ones, or revoke them"
        )
    return f"signing secrets can be read (tokens looked at: {len(page.rows)})"


def _clock(settings: Settings) -> str:
    with opened(settings) as database, database.read() as connection:
        database.now(connection)  # the first query pays for connecting
        before = now_ms()
        apart_ms = database.now(connection) - (before + now_ms()) // 2
    if abs(apart_ms) > CLOCK_TOLERANCE_MS:
        raise RingbackError(
            f"this machine and the database are {apart_ms / 1000:.1f} s apart: have both set their clocks (chrony, systemd-timesyncd)"
        )
    return f"{apart_ms} ms from the database's"


def _broker(settings: Settings) -> str:
    if not settings.broker_url:
        return "none is configured: events go through the outbox"
    from exchange.rabbit.admin import depths
    from exchange.rabbit.policies import may_look

    url = ";".join(settings.broker_url)
    found = depths(url)
    told = f"{found.dispatch} messages wait, {found.dead} are dead letters"
    if not may_look(url):
        return (
            f"{told}; its policies are not checked: this user may not configure queues ringback.*"
        )
    _require_harmless_policies(url, found.dispatch)
    return told


def _require_harmless_policies(url: str, waiting: int) -> None:
    from exchange.rabbit.policies import advice, harms, room

    policies = list(harms(url))
    if (most := room(url, waiting)) is not None:
        policies.append(
            f"a policy lets a queue hold {most} messages or fewer (max-length, max-length-bytes), and {waiting} wait: what comes beside"
            " them goes through the outbox, and the API answers 503 when that is full"
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
            f"{address} cannot be listened on ({error.strerror}): stop what is there, or set {name}"
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
    return f"{temporary_folder()} can be written to"


def _targets(settings: Settings) -> str:
    public = "public addresses" + (", http:// too" if settings.allow_http else " by https://")
    return public + (
        f"; also {', '.join(map(str, settings.allow_targets))}" if settings.allow_targets else ""
    )


Check = Callable[[Settings], str]
"""What was found, when all is well; raises RingbackError saying what to do."""

_CHECKS: dict[str, Check] = {
    "database": _database,
    "secrets": _secrets,
    "clock": _clock,
    "broker": _broker,
    "port": lambda settings: _port("RINGBACK_LISTEN", settings.listen),
    "metrics port": lambda settings: _port("RINGBACK_METRICS_LISTEN", settings.metrics_listen),
    "temporary folder": _temporary,
    "targets": _targets,
}
