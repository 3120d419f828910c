"""The broker's URL, taken apart once for all clients."""

import re

import pytest

from exchange.broker_address import broker_addresses, without_password
from exchange.rabbit.connection import addresses


@pytest.mark.parametrize(
    ("path", "vhost"),
    [
        ("", "/"),
        ("/", "/"),
        ("//", "/"),
        ("/%2F", "/"),
        ("/%2f", "/"),
        ("/chat", "chat"),
        ("/a%2Fb", "a/b"),
        ("/a/b", "a/b"),
    ],
)
def test_a_vhost_is_the_same_however_it_is_spelt(path: str, vhost: str) -> None:
    """`//` is RabbitMQ's default vhost to kombu, and was another one to pika: `doctor` was well,
    and nothing was delivered.
    """
    url = f"amqp://user:word@host:5672{path}"

    assert broker_addresses(url)[0].vhost == vhost
    assert addresses(url, "test")[0].virtual_host == vhost


def test_the_parts_are_decoded() -> None:
    """A password made by a machine has every character."""
    (found,) = broker_addresses("amqp://us%40er:a%2Fb%3Fc%23d%25%3B@[::1]:5673/v%20h?heartbeat=7")

    assert (found.host, found.port, found.vhost) == ("::1", 5673, "v h")
    assert (found.user, found.password) == ("us@er", "a/b?c#d%;")
    assert (found.tls, found.heartbeat_s) == (None, 7)
    assert str(found) == repr(found) == "[::1]:5673"


def test_several_addresses_keep_their_order() -> None:
    """They are tried one after the other."""
    assert [str(one) for one in broker_addresses("amqp://a:1@one/; amqps://b:2@two/;")] == [
        "one:5672",
        "two:5671",
    ]


def test_amqps_is_checked_for_its_host_or_the_name_that_is_given() -> None:
    """A certificate for another name is another broker's."""
    one, two = broker_addresses(
        "amqps://a:1@one/;amqps://b:2@two/?server_name_indication=broker.example.com&"
        "verify=verify_peer"
    )

    assert one.tls is not None
    assert one.tls.server_name == "one"
    assert two.tls is not None
    assert two.tls.server_name == "broker.example.com"
    assert one.tls.context().check_hostname


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host:5672",
        "http://user:word@host/",
        "amqp://",
        "amqp://user:w/ord@host/",
        "amqp://user:w?ord@host/",
        "amqp://user:w#ord@host/",
        "amqp://user:w%ord@host/",
        "amqp://user:wo rd@host/",
        "amqp://user:word@host:0/",
        "amqp://user:word@one,word/",
        "amqp://user:word@one*word/",
        "amqp://user:word@one..word/",
        "amqp://user:word@%00word/",
        "amqps://user:word@host/?cacertfile=/word%00",
        "amqps://user:word@host/?verify=word",
        "amqp://user:word@host:99999/",
        "amqp://user:@host/",
        "amqp://user:word@host/?heartbeat=0",
        "amqp://user:word@host/?heartbeat=5&heartbeat=6",
        "amqp://user:word@host/?verify=verify_none",
        "amqp://user:word@host/?cacertfile=setup.cfg",
        "amqps://user:word@host/?cacertfile=setup.cfg",
        "amqps://user:word@host/?keyfile=setup.cfg",
    ],
)
def test_what_two_readers_could_take_apart_differently_is_refused(url: str) -> None:
    """Otherwise one part of Ringback connects, and another never does. The words hold nothing of
    it.
    """
    with pytest.raises(ValueError, match=r".") as caught:
        broker_addresses(url)

    assert "ord" not in str(caught.value).replace("PASSWORD", "").replace("word", "")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (
            "cacertfile=/missing",
            (
                "cacertfile in the address: there is no such file. It is a file of certificate "
                "authorities"
            ),
        ),
        ("heartbeat=0", "heartbeat in the address: invalid value. It is seconds, 1 to 3600"),
        ("else=1", "an address takes after ?, each at most once: cacertfile"),
    ],
)
def test_what_is_wrong_after_the_question_mark_is_named(query: str, said: str) -> None:
    """With a list of everything, the one file that is missing is overlooked."""
    with pytest.raises(ValueError, match=re.escape(said)):
        broker_addresses(f"amqps://user:word@host/?{query}")


def test_what_is_shown_has_no_password() -> None:
    """All else is shown, to compare it with what was meant."""
    assert (
        without_password("amqps://user:word@host:5671/chat?heartbeat=7")
        == "amqps://user:***@host:5671/chat?heartbeat=7"
    )
    assert without_password("amqp://host/") == "amqp://host/"
