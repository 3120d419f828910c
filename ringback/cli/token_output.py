"""How `ringback token` prints tokens: facts and tables for people, the API's shapes as JSON."""

from collections.abc import Sequence

import click

from api.serializers import new_token_answer, token_answer
from ringback.cli.output import print_facts, print_json, print_table
from schemas.times import UnixMs, now_ms, to_rfc3339
from schemas.tokens.tokens import Callback, CallbackState, Token
from store.tokens.tokens import NewSecrets


def print_tokens(tokens: Sequence[Token], now: UnixMs, as_json: bool) -> None:
    """Print one row per token."""
    if as_json:
        print_json([token_answer(token, now) for token in tokens])
    else:
        print_table(
            ["ID", "NAME", "STATE", "TOKEN", "CALLBACKS", "EXPIRES"],
            [_row(token, now) for token in tokens],
        )


def print_token(token: Token, now: UnixMs, as_json: bool) -> None:
    """Print everything about a token but its secrets."""
    if as_json:
        print_json(token_answer(token, now))
        return
    channels = "all" if token.channels is None else ", ".join(sorted(token.channels)) or "none"
    callbacks: dict[str, str | None] = {
        event_type: f"{callback.url} ({_health(callback)})"
        for event_type, callback in sorted(token.callbacks.items())
    }
    facts: dict[str, str | None] = {
        "id": token.id,
        "name": token.name,
        "state": _state(token, now),
        "token": token.hint,
        "contact": token.contact,
        "permissions": ", ".join(sorted(token.permissions)),
        "channels": channels,
        "activates": to_rfc3339(token.activates_at),
        "expires": _time(token.expires_at),
        "last used": _time(token.last_used_at),
    }
    print_facts(facts | callbacks)


def print_new_secrets(created: NewSecrets, now: UnixMs, as_json: bool) -> None:
    """Print a token that was created or regenerated, with its secrets."""
    if as_json:
        print_json(new_token_answer(created, now))
        return
    click.echo("Save the token now: it is not shown again.")
    facts: dict[str, str | None] = {"id": created.token.id, "token": created.secret}
    signing = {"signing secret": created.signing_secret} if created.signing_secret else {}
    print_facts(facts | signing)


def _health(callback: Callback) -> str:
    """Return a callback's state, with its reason or since when."""
    health = callback.health
    match callback.state:
        case CallbackState.FAILING:
            return f"failing since {_time(health.failing_since)}"
        case CallbackState.DISABLED:
            return f"disabled at {_time(health.disabled_at)}: {health.disabled_reason}"
        case CallbackState.HEALTHY if until := health.paused_until(now_ms()):
            return f"healthy, paused until {_time(until)} as its receiver asked"
        case state:
            return state


def _state(token: Token, now: UnixMs) -> str:
    state = token.state(now)
    return state if token.is_readable else f"{state}, secrets unreadable: nothing is sent"


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
