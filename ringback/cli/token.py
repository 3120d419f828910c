"""`ringback token …`: API access tokens, changed in the database. A change is in force in every
process within a second.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import click

from ringback.cli.commands import Group
from ringback.cli.database_access import opened, opened_tokens, vault
from ringback.cli.invocation import Invocation
from ringback.cli.parameter_types import CALLBACK, TEXT, TIME, CallbackArgument, as_json, one_of
from ringback.cli.token_changes import changes
from ringback.cli.token_output import print_new_secrets, print_token, print_tokens
from ringback.cli.token_secrets import regenerate, rotate_signing_secret
from schemas.events.types import EventType
from schemas.ids import TokenId
from schemas.listings import Page
from schemas.times import UnixMs, now_ms
from schemas.tokens.audit_log import COMMAND_LINE
from schemas.tokens.fields import CallbackFields, TokenFields
from schemas.tokens.permissions import Permission
from schemas.tokens.target_policy import TargetPolicy, parse_networks
from schemas.tokens.tokens import Token, TokenState
from store.tokens.listing import TokenFilter, list_tokens

_PAGE = 100
_LOOPBACK = parse_networks(["127.0.0.0/8", "::1/128"])

_PERMISSIONS = "\b\nPermissions:\n" + "\n".join(
    f"  {permission.value:21} {permission.label}" for permission in Permission
)
"""Click keeps the lines of a paragraph that follows a `\\b`."""

_id = click.argument("token_id", metavar="ID", type=TEXT)


@click.group(cls=Group)
def command() -> None:
    """Manage API access tokens."""


command.add_command(changes)
command.add_command(rotate_signing_secret)
command.add_command(regenerate)


@command.command(epilog=_PERMISSIONS)
@click.argument("name", type=TEXT)
@click.option(
    "--permission",
    "permissions",
    multiple=True,
    type=one_of(Permission),
    help="A permission from the list below. Repeatable.",
)
@click.option(
    "--callback",
    "callbacks",
    multiple=True,
    type=CALLBACK,
    help="The URL to which events of a type are sent. Repeatable.",
)
@click.option(
    "--channel",
    "channels",
    multiple=True,
    type=TEXT,
    help="A channel that the token may see. Repeatable. Default: all channels.",
)
@click.option(
    "--activates-at",
    type=TIME,
    help="Start of validity, such as 2026-12-01T00:00:00Z. Default: now.",
)
@click.option("--expires-at", type=TIME, help="End of validity. Default: never.")
@click.option("--contact", type=TEXT, help="E-mail address for what concerns the token.")
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
    contact: str | None,
    as_json: bool,
) -> None:
    """Create a token. It is shown only once."""
    visible = frozenset(channels) if channels else None
    targets = _targets(invocation, callbacks)
    with opened_tokens(invocation.settings) as (tokens, now):
        fields = TokenFields(
            name,
            now if activates_at is None else activates_at,
            expires_at=expires_at,
            permissions=frozenset(permissions),
            channels=visible,
            contact=contact,
        )
        print_new_secrets(tokens.create(fields, targets, now, COMMAND_LINE), now, as_json)


@command.command("list")
@click.option(
    "--state",
    type=one_of(TokenState),
    help="Only tokens in this state. Revoked tokens are listed only by --state revoked.",
)
@as_json
@click.pass_obj
def list_(invocation: Invocation, state: TokenState | None, as_json: bool) -> None:
    """List tokens by name."""
    now = now_ms()
    print_tokens(list(_all(invocation, TokenFilter(state=state), now)), now, as_json)


@command.command()
@_id
@as_json
@click.pass_obj
def show(invocation: Invocation, token_id: str, as_json: bool) -> None:
    """Show a token, without its secrets."""
    with opened_tokens(invocation.settings) as (tokens, now):
        print_token(tokens.get(TokenId(token_id)), now, as_json)


@command.command()
@_id
@click.pass_obj
def revoke(invocation: Invocation, token_id: str) -> None:
    """Revoke a token for good.

    It no longer authenticates, its callbacks are not called, and its open deliveries are cancelled.
    """
    with opened_tokens(invocation.settings) as (tokens, now):
        cancelled = tokens.revoke(TokenId(token_id), now, COMMAND_LINE)
    click.echo(f"{token_id} is revoked; {sum(cancelled.values())} open deliveries are cancelled")


@command.command()
@_id
@click.pass_obj
def suspend(invocation: Invocation, token_id: str) -> None:
    """Switch a token off for now: its deliveries are held."""
    _switch(invocation, token_id, enabled=False)


@command.command()
@_id
@click.pass_obj
def resume(invocation: Invocation, token_id: str) -> None:
    """Switch a suspended token on again: held deliveries are sent."""
    _switch(invocation, token_id, enabled=True)


def _all(invocation: Invocation, selected: TokenFilter, now: UnixMs) -> Iterator[Token]:
    with opened(invocation.settings) as database, database.read() as connection:
        keys = vault(invocation.settings)
        page: Page[Token] = list_tokens(connection, keys, selected, now, _PAGE)
        yield from page.rows
        while page.next_cursor:
            page = list_tokens(connection, keys, selected, now, _PAGE, page.next_cursor)
            yield from page.rows


def _targets(
    invocation: Invocation, callbacks: Sequence[CallbackArgument]
) -> dict[EventType, CallbackFields]:
    """Return the callbacks by type. Raises click.UsageError for two of one type, as either could be
    meant, and for a URL that is not allowed.
    """
    types = [callback.type for callback in callbacks]
    if twice := next((each for each in types if types.count(each) > 1), None):
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
    """Return how to allow a receiver on this machine, if only that is missing. Whether to allow
    other networks is for an administrator to decide.
    """
    for network in _LOOPBACK:
        allow = (*policy.allow, network)
        if TargetPolicy(allow, policy.allow_http).url_fault(url) is None:
            line = f"RINGBACK_ALLOW_TARGETS={','.join(map(str, allow))}"
            return f". To try it on this machine, add the line {line} to ringback.env"
    return ""


def _switch(invocation: Invocation, token_id: str, *, enabled: bool) -> None:
    with opened_tokens(invocation.settings) as (tokens, now):
        token = tokens.change(
            TokenId(token_id), lambda fields: replace(fields, enabled=enabled), COMMAND_LINE
        )
    click.echo(f"{token_id} is {token.state(now)}")
