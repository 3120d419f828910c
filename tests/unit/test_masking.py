"""Callback URLs as many people see them, and the editions of tokens."""

from dataclasses import replace

import pytest

from schemas.events.types import EventType
from schemas.times import UnixMs
from schemas.tokens.editions import edition
from schemas.tokens.masking import host_of, masked_url
from schemas.tokens.permissions import Permission
from schemas.tokens.tokens import CallbackHealth, DatedSecret, OnResume, Token
from tests.kit.tokens import a_token

RECEIVED = EventType.MESSAGE_RECEIVED


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("https://x.example/hook", "https://x.example/hook"),
        ("https://x.example/hook?key=s3cret", "https://x.example/hook?key=***"),
        (
            "https://x.example:8443/?a=s3cret&b=&a=s3cret=s3cret",
            "https://x.example:8443/?a=***&b=***&a=***",
        ),
        ("https://x.example?s3cret", "https://x.example?***"),
        ("https://x.example/?a=s3cret;b=s3cret", "https://x.example/?a=***"),
        ("https://x.example/?a=b?c=s3cret&&s3cret", "https://x.example/?a=***&&***"),
        ("https://x.example/?", "https://x.example/?"),
    ],
)
def test_values_of_a_query_are_masked_and_their_names_kept(url: str, masked: str) -> None:
    """The name says which key it is, and only the value is one."""
    assert masked_url(url) == masked
    assert masked_url(masked) == masked


def with_callback(token: Token, **changed: object) -> Token:
    callback = replace(token.callbacks[RECEIVED], **changed)  # type: ignore[arg-type]
    return replace(token, callbacks={RECEIVED: callback})


TOKEN = a_token()
CHANGED = {
    "name": replace(TOKEN, name="other"),
    "contact": replace(TOKEN, contact="ops@x.example"),
    "enabled": replace(TOKEN, enabled=False),
    "activation": replace(TOKEN, activates_at=UnixMs(1)),
    "expiration": replace(TOKEN, expires_at=UnixMs(1)),
    "revoked": replace(TOKEN, revoked_at=UnixMs(1)),
    "permissions": replace(TOKEN, permissions=frozenset({Permission.STATS_READ})),
    "no channels": replace(TOKEN, channels=frozenset()),
    "a channel": replace(TOKEN, channels=frozenset({"a"})),
    "secret": replace(TOKEN, hashes=(DatedSecret(b"another"),)),
    "signing secret": replace(TOKEN, signing_keys=(DatedSecret(b"l" * 32),)),
    "url": with_callback(TOKEN, url="https://y.example/"),
    "switched off": with_callback(TOKEN, enabled=False),
    "held": with_callback(TOKEN, on_resume=OnResume.KEEP),
    "a header": with_callback(TOKEN, headers={"X-Key": "a"}),
    "a header's value": with_callback(TOKEN, headers={"X-Key": "b"}),
    "no callback": replace(TOKEN, callbacks={}),
}


def test_whatever_a_person_changes_makes_another_edition() -> None:
    """Each differs from the token, and from every other change."""
    editions = {edition(TOKEN), *map(edition, CHANGED.values())}

    assert len(editions) == len(CHANGED) + 1


def test_what_changes_by_itself_makes_no_other_edition() -> None:
    """A receiver that fails and works again must not make a save fail, nor must a request."""
    failing = with_callback(TOKEN, health=CallbackHealth(7, UnixMs(1), UnixMs(2), 3))
    used = replace(TOKEN, last_used_at=UnixMs(5))

    assert edition(TOKEN) == edition(failing) == edition(used)


def test_an_edition_does_not_depend_on_the_order_of_sets() -> None:
    """Processes hash texts differently."""
    channels = [f"chn_{number}" for number in range(50)]

    assert edition(replace(TOKEN, channels=frozenset(channels))) == edition(
        replace(TOKEN, channels=frozenset(reversed(channels)))
    )


def test_an_edition_helps_no_one_to_guess_a_header() -> None:
    """It is made with a key: two tokens that differ in their keys alone have different ones."""
    one = with_callback(TOKEN, headers={"X-Key": "a"})
    other = replace(one, signing_keys=(DatedSecret(b"m" * 32),))

    assert edition(one) != edition(other)
    assert edition(replace(one, signing_keys=())) != edition(one)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://x.example/hook", "x.example"),
        ("http://127.0.0.1:9000", "127.0.0.1:9000"),
        ("http://[::1]:9000/x?y", "[::1]:9000"),
    ],
)
def test_the_host_has_its_port(url: str, host: str) -> None:
    """Two receivers on one machine differ in it."""
    assert host_of(url) == host
