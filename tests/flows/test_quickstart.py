"""`ringback serve --quickstart`: what it prints works,
whatever became of the token that it keeps.
"""

import datetime as dt
import json
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ringback.first_sign_in import first_address
from ringback.parts import Parts, gather
from ringback.quickstart import Quickstart, commands, prepare, with_loopback
from ringback.settings import load
from schemas.events.types import EventType
from schemas.passwords import password_hash
from schemas.people import Role
from schemas.times import UnixMs, now_ms
from schemas.tokens.fields import CallbackFields
from schemas.tokens.permissions import Permission
from schemas.tokens.tokens import Token
from store.engine import migrate
from store.engine.database import Database
from store.people.links import SignInLinks
from store.people.people import People
from store.tokens.callbacks import Callbacks
from store.tokens.tokens import Tokens
from tests.kit.tokens import TESTER


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "var").mkdir()
    settings = with_loopback(load())
    database = Database(settings.database_url)
    migrate.upgrade(database)
    database.close()
    made = gather(settings)
    yield made
    made.close()


def token_of(parts: Parts, quickstart: Quickstart) -> Token:
    parts.directory.refresh()
    token = parts.directory.holder(quickstart.token, now_ms())
    assert token
    return token


def test_each_start_prints_the_same(parts: Parts) -> None:
    """What was pasted yesterday works today; only its owner may read it."""
    first, again = prepare(parts), prepare(parts)

    assert commands(parts, again) == commands(parts, first)
    assert again.note is None
    assert stat.S_IMODE(Path("var/quickstart").stat().st_mode) == 0o600


def test_it_works_where_tokens_have_a_longest_life(parts: Parts) -> None:
    """Its own token has that life, and the next start after its end makes another one."""
    limited = parts.settings.model_copy(update={"token_max_life": dt.timedelta(days=1)})
    strict = replace(parts, settings=limited)

    token = token_of(strict, prepare(strict))

    assert token.expires_at == token.activates_at + 86_400_000


def tokens(parts: Parts) -> Tokens:
    return Tokens(parts.database, parts.vault)


def change(parts: Parts, token: Token, **fields: Any) -> None:
    tokens(parts).change(token.id, lambda now: replace(now, **fields), TESTER)


SPOILED: dict[str, tuple[Callable[[Parts, Token], object], str]] = {
    "revoked": (
        lambda parts, token: tokens(parts).revoke(token.id, now_ms(), TESTER),
        "is revoked",
    ),
    "suspended": (lambda parts, token: change(parts, token, enabled=False), "is suspended"),
    "expired": (
        lambda parts, token: change(parts, token, activates_at=UnixMs(1), expires_at=UnixMs(2)),
        "is expired",
    ),
    "scheduled": (
        lambda parts, token: change(parts, token, activates_at=UnixMs(now_ms() + 10**9)),
        "is scheduled",
    ),
    "without a permission": (
        lambda parts, token: change(parts, token, permissions=frozenset()),
        "lacks the permission events:publish",
    ),
    "regenerated": (
        lambda parts, token: tokens(parts).regenerate(
            token.id, dt.timedelta(hours=1), now_ms(), TESTER
        ),
        "was regenerated",
    ),
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_token_that_is_of_no_use_any_more_is_replaced(parts: Parts, how: str) -> None:
    """The printed `curl` would be answered 401 or 403."""
    spoil, reason = SPOILED[how]
    first = prepare(parts)
    spoil(parts, token_of(parts, first))
    parts.directory.refresh()

    second = prepare(parts)

    assert second.token != first.token
    assert second.note == f"The token of the quickstart {reason}: this is a new one."
    assert token_of(parts, second).permissions == {
        Permission.EVENTS_PUBLISH,
        Permission.PLATFORM_ADMIN,
    }
    assert prepare(parts).token == second.token


def test_a_rotated_signing_secret_is_printed(parts: Parts) -> None:
    """`listen` would reject every webhook by the one before."""
    first = prepare(parts)
    rotated = tokens(parts).rotate_signing_secret(
        token_of(parts, first).id, dt.timedelta(0), now_ms(), TESTER
    )
    parts.directory.refresh()

    again = prepare(parts)

    assert (again.token, again.note) == (first.token, None)
    assert again.signing_secret == rotated != first.signing_secret
    assert again.signing_secret in commands(parts, again)[0]


@pytest.mark.parametrize("what", ["url", "off", "deleted", "channels"])
def test_changed_callbacks_are_left_and_reported(parts: Parts, what: str) -> None:
    """It may be on purpose. A user who waits at the printed receiver must know that nothing will
    come.
    """
    first = prepare(parts)
    token, kind = token_of(parts, first), EventType.MESSAGE_STATUS
    url, callbacks = token.callbacks[kind].url, Callbacks(parts.database, parts.vault)
    if what == "channels":
        change(parts, token, channels=frozenset({"chn_2"}))
    elif what == "deleted":
        callbacks.delete(token.id, kind, TESTER)
    else:
        fields = (
            CallbackFields(url, enabled=False)
            if what == "off"
            else CallbackFields("http://127.0.0.1:9100/")
        )
        callbacks.put(token.id, kind, fields, TESTER)
    parts.directory.refresh()

    again = prepare(parts)

    assert again.token == first.token
    assert re.search(r"changed.*port 9000.*var/quickstart", str(again.note))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"token": 7}', json.dumps({"token": "rbk_of_another_database"})]
)
def test_what_is_kept_and_no_token_is_replaced(parts: Parts, text: str) -> None:
    """A disk that was full, or a database that was created again."""
    Path("var/quickstart").write_text(text)

    made = prepare(parts)

    assert token_of(parts, made).name == "quickstart"
    assert json.loads(Path("var/quickstart").read_text())["token"] == made.token


def stands_for(parts: Parts, url: str) -> str | None:
    """Whom a printed link signs in; None: it makes the first administrator."""
    code = url.removeprefix("http://127.0.0.1:8080/sign-in/link?code=")
    link = SignInLinks(parts.database).peek(code, parts.database.time())
    assert link, url
    return link.email


def test_the_first_line_signs_in_until_an_administrator_has_a_password(parts: Parts) -> None:
    """Without it no one could enter; with a password, a link in a terminal is one secret too many."""
    people = People(parts.database)
    people.add("viewer@example.com", Role.VIEWER, TESTER)
    people.set_password_hash("viewer@example.com", password_hash("correct horse"), TESTER)
    url, signs_in = first_address(parts)
    assert (stands_for(parts, url), signs_in) == (None, True)

    people.add("ann@example.com", Role.ADMIN, TESTER)
    url, signs_in = first_address(parts)
    assert (stands_for(parts, url), signs_in) == ("ann@example.com", True)

    people.set_password_hash("ann@example.com", password_hash("correct horse"), TESTER)
    assert first_address(parts) == ("http://127.0.0.1:8080/", False)
