"""`ringback token …`: API access tokens, worked on in the database. In force in every process
within a second.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import click

from api.serializers import new_token_answer, token_answer
from ringback.cli.commands import Group
from ringback.cli.database_access import opened, vault
from ringback.cli.invocation import Invocation
from ringback.cli.output import print_facts, print_json, print_table
from ringback.cli.parameter_types import (
    CALLBACK,
    DURATION,
    TEXT,
    TIME,
    CallbackArgument,
    as_json,
    one_of,
)
from ringback.cli.token_changes import changes
from schemas.events.types import EventType
from schemas.ids import TokenId
from schemas.listings import Page
from schemas.times import UnixMs, now_ms, to_rfc3339
from schemas.tokens.audit_log import COMMAND_LINE
from schemas.tokens.fields import CallbackFields, TokenFields
from schemas.tokens.permissions import Permission
from schemas.tokens.target_policy import TargetPolicy, parse_networks
from schemas.tokens.tokens import Callback, CallbackState, Token, TokenState
from store.tokens.listing import TokenFilter, list_tokens
from store.tokens.tokens import NewSecrets, Tokens

_PAGE = 100
_LOOPBACK = parse_networks(["127.0.0.0/8", "::1/128"])

_PERMISSIONS = "\b\nPermissions:\n" + "\n".join(
    f"  {one.value:21} {one.label}" for one in Permission
)
"""Click leaves what follows a `\\b` in the lines that it has."""

_id = click.argument("token_id", metavar="ID", type=TEXT)


@click.group(cls=Group)
def command() -> None:
    """Make, show and change API access tokens."""


command.add_command(changes)


@command.command(epilog=_PERMISSIONS)
@click.argument("name", type=TEXT)
@click.option(
    "--permission",
    "permissions",
    multiple=True,
    type=one_of(Permission),
    help="What it may do, of the list below. Repeatable.",
)
@click.option(
    "--callback",
    "callbacks",
    multiple=True,
    type=CALLBACK,
    help="Where its events go, by type. Repeatable.",
)
@click.option(
    "--channel",
    "channels",
    multiple=True,
    type=TEXT,
    help="A channel that it may see. Repeatable; without any it sees all.",
)
@click.option(
    "--activates-at",
    type=TIME,
    help="Valid from then on, such as 2026-12-01T00:00:00Z. Default: now.",
)
@click.option("--expires-at", type=TIME, help="Not valid from then on. Default: never.")
@as_json
@click.pass_obj
def create(
    invocation: Invocation,
    name: str,
    permissions: tuple[Permission, ...],
    callbacks: tuple[CallbackArgument, ...],
    channels: tuple[str, ...],
    activates_at: UnixMs | None,
    expires_at: UnixMs | None,
    as_json: bool,
) -> None:
    """Make a token. It is shown now and never again."""
    visible = frozenset(channels) if channels else None
    targets = _targets(invocation, callbacks)
    with _tokens(invocation) as (tokens, now):
        fields = TokenFields(
            name,
            now if activates_at is None else activates_at,
            expires_at,
            True,
            frozenset(permissions),
            visible,
        )
        _show_secrets(tokens.create(fields, targets, now, COMMAND_LINE), now, as_json)


@command.command("list")
@click.option(
    "--state",
    type=one_of(TokenState),
    help="Only those. Revoked ones are listed by --state revoked alone.",
)
@as_json
@click.pass_obj
def list_(invocation: Invocation, state: TokenState | None, as_json: bool) -> None:
    """List tokens by name."""
    now = now_ms()
    found = list(_all(invocation, TokenFilter(state=state), now))
    if as_json:
        print_json([token_answer(token, now) for token in found])
    else:
        print_table(
            ["ID", "NAME", "STATE", "TOKEN", "CALLBACKS", "EXPIRES"],
            [_row(token, now) for token in found],
        )


@command.command()
@_id
@as_json
@click.pass_obj
def show(invocation: Invocation, token_id: str, as_json: bool) -> None:
    """Show a token, without its secrets."""
    with _tokens(invocation) as (tokens, now):
        _show(tokens.get(TokenId(token_id)), now, as_json)


@command.command()
@_id
@click.pass_obj
def revoke(invocation: Invocation, token_id: str) -> None:
    """End a token for good: it authenticates nothing, calls nobody, and its open deliveries are
    cancelled.
    """
    with _tokens(invocation) as (tokens, now):
        cancelled = tokens.revoke(TokenId(token_id), now, COMMAND_LINE)
    click.echo(f"{token_id} is revoked; {sum(cancelled.values())} open deliveries are cancelled")


@command.command()
@_id
@click.pass_obj
def suspend(invocation: Invocation, token_id: str) -> None:
    """Switch a token off, for now: its deliveries are held."""
    _switch(invocation, token_id, enabled=False)


@command.command()
@_id
@click.pass_obj
def resume(invocation: Invocation, token_id: str) -> None:
    """Switch a suspended token on again: held deliveries go out."""
    _switch(invocation, token_id, enabled=True)


@command.command("rotate-signing-secret")
@_id
@click.option(
    "--overlap",
    type=DURATION,
    default=dt.timedelta(hours=24),
    show_default="24h",
    help="How long the old one signs too.",
)
@as_json
@click.pass_obj
def rotate_signing_secret(
    invocation: Invocation, token_id: str, overlap: dt.timedelta, as_json: bool
) -> None:
    """Replace the signing secret."""
    with _tokens(invocation) as (tokens, now):
        made = tokens.rotate_signing_secret(TokenId(token_id), overlap, now, COMMAND_LINE)
    if as_json:
        print_json({"id": token_id, "signing_secret": made})
    else:
        print_facts({"signing secret": made})


@command.command()
@_id
@click.option(
    "--overlap",
    type=DURATION,
    default=dt.timedelta(0),
    show_default="0s",
    help="How long the old token stays valid too.",
)
@as_json
@click.pass_obj
def regenerate(invocation: Invocation, token_id: str, overlap: dt.timedelta, as_json: bool) -> None:
    """Replace the token itself. The new one is shown now and never again."""
    with _tokens(invocation) as (tokens, now):
        _show_secrets(
            tokens.regenerate(TokenId(token_id), overlap, now, COMMAND_LINE), now, as_json
        )


@contextmanager
def _tokens(invocation: Invocation) -> Iterator[tuple[Tokens, UnixMs]]:
    """With the time by the store's clock: by it what is made now begins, and states are judged."""
    with opened(invocation.settings) as database:
        yield Tokens(database, vault(invocation.settings)), database.time()


def _all(invocation: Invocation, chosen: TokenFilter, now: UnixMs) -> Iterator[Token]:
    with opened(invocation.settings) as database, database.read() as connection:
        keys = vault(invocation.settings)
        page: Page[Token] = list_tokens(connection, keys, chosen, now, _PAGE)
        yield from page.rows
        while page.next_cursor:
            page = list_tokens(connection, keys, chosen, now, _PAGE, page.next_cursor)
            yield from page.rows


def _targets(
    invocation: Invocation, callbacks: Sequence[CallbackArgument]
) -> dict[EventType, CallbackFields]:
    """By type. Of two URLs for one, either could be meant. Raises click.UsageError."""
    types = [callback.type for callback in callbacks]
    if twice := next((one for one in types if types.count(one) > 1), None):
        raise click.BadParameter(
            f"{twice} is given more than once: a token has one callback for each type",
            param_hint="--callback",
        )
    return {callback.type: _checked(invocation, callback) for callback in callbacks}


def _checked(invocation: Invocation, callback: CallbackArgument) -> CallbackFields:
    policy = TargetPolicy(invocation.settings.allow_targets, invocation.settings.allow_http)
    if fault := policy.url_fault(callback.url):
        raise click.BadParameter(
            f"{callback.type}: {fault}{_remedy(policy, callback.url)}", param_hint="--callback"
        )
    return CallbackFields(callback.url)


def _remedy(policy: TargetPolicy, url: str) -> str:
    """The line that allows a receiver on this machine, when that is all that is missing. Others are
    for their administrators to weigh.
    """
    for network in _LOOPBACK:
        allow = (*policy.allow, network)
        if TargetPolicy(allow, policy.allow_http).url_fault(url) is None:
            return f". For tries on this machine put the line RINGBACK_ALLOW_TARGETS={','.join(map(str, allow))} into ringback.env"
    return ""


def _switch(invocation: Invocation, token_id: str, *, enabled: bool) -> None:
    with _tokens(invocation) as (tokens, now):
        token = tokens.change(
            TokenId(token_id), lambda fields: replace(fields, enabled=enabled), COMMAND_LINE
        )
    click.echo(f"{token_id} is {token.state(now)}")


def _show_secrets(made: NewSecrets, now: UnixMs, as_json: bool) -> None:
    if as_json:
        print_json(new_token_answer(made, now))
        return
    click.echo("Keep the token now: it is not shown again.")
    facts: dict[str, str | None] = {"id": made.token.id, "token": made.secret}
    print_facts(facts | ({"signing secret": made.signing_secret} if made.signing_secret else {}))


def _show(token: Token, now: UnixMs, as_json: bool) -> None:
    if as_json:
        print_json(token_answer(token, now))
        return
    callbacks: dict[str, str | None] = {
        kind: f"{c.url} ({_fares(c)})" for kind, c in sorted(token.callbacks.items())
    }
    facts: dict[str, str | None] = {
        "id": token.id,
        "name": token.name,
        "state": _state(token, now),
        "token": token.hint,
        "permissions": ", ".join(sorted(token.permissions)),
        "channels": "all"
        if token.channels is None
        else ", ".join(sorted(token.channels)) or "none",
        "activates": to_rfc3339(token.activates_at),
        "expires": _time(token.expires_at),
        "last used": _time(token.last_used_at),
    }
    print_facts(facts | callbacks)


def _fares(callback: Callback) -> str:
    """Its state, with since when or why."""
    health = callback.health
    match callback.state:
        case CallbackState.FAILING:
            return f"failing since {_time(health.failing_since)}"
        case CallbackState.DISABLED:
            return f"disabled at {_time(health.disabled_at)}: {health.disabled_reason}"
        case CallbackState.HEALTHY if until := health.waits_until(now_ms()):
            return f"healthy, left alone until {_time(until)} as its receiver asked"
        case state:
            return state


def _state(token: Token, now: UnixMs) -> str:
    """With what stops it besides."""
    return (
        token.state(now)
        if token.is_readable
        else f"{token.state(now)}, secrets unreadable: nothing is sent"
    )


def _row(token: Token, now: UnixMs) -> list[str | None]:
    return [
        token.id,
        token.name,
        _state(token, now),
        token.hint,
        ", ".join(sorted(token.callbacks)),
        _time(token.expires_at),
    ]


def _time(at: UnixMs | None) -> str | None:
    return None if at is None else to_rfc3339(at)
