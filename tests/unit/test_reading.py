"""Reading whole messages from a connection's bytes: pika would have made the same of them."""

import datetime as dt
import decimal
import struct

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika.data import decode_table
from pika.spec import Basic

from exchange.rabbit.connection import OneWrite
from exchange.rabbit.reading import acknowledgements, message_at
from tests.kit.amqp_bytes import (
    CONSUMER,
    HEARTBEAT,
    Reader,
    agree,
    content,
    delivery,
    message,
    method,
    with_table,
)
from tests.kit.pipes import UNREADABLE

WORDS = st.text(max_size=20)
SCALARS = (
    st.text(max_size=40)
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.none()
    | st.binary(max_size=20)
    | st.datetimes(dt.datetime(1971, 1, 1), dt.datetime(2100, 1, 1))  # noqa: DTZ001 - as UTC
    | st.decimals(-1000, 1000, places=2)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
SMALL = st.integers(0, 255)
PROPERTIES = st.builds(
    pika.BasicProperties,
    headers=st.none()
    | st.dictionaries(WORDS, VALUES, max_size=4)
    | st.dictionaries(WORDS, st.text() | st.integers(-(2**63), 2**63 - 1), max_size=4),
    delivery_mode=st.none() | SMALL,
    priority=st.none() | SMALL,
    message_id=st.none() | WORDS | st.binary(max_size=20),
    timestamp=st.none() | st.integers(0, 2**64 - 1),
    **{
        name: st.none() | WORDS
        for name in (
            "content_type",
            "content_encoding",
            "correlation_id",
            "reply_to",
            "expiration",
            "type",
            "user_id",
            "app_id",
            "cluster_id",
        )
    },
)
MESSAGES = st.builds(
    lambda first, channel, *rest: delivery(*first, channel) + content(*rest[:2], channel, rest[2]),
    st.tuples(st.integers(1, 2**64 - 1), st.sampled_from([CONSUMER, CONSUMER, "unknown"])),
    st.sampled_from([1, 1, 1, 2]),
    st.integers(0, 60).map(bytes),
    PROPERTIES,
    st.sampled_from([100, 25]),
)
OTHERS = st.sampled_from(
    [
        HEARTBEAT,
        method(Basic.Cancel(CONSUMER, nowait=True)),
        method(Basic.Ack(1)),
        method(Basic.QosOk()),
        method(Basic.Return(312, "NO_ROUTE", "e", "k")) + content(b"returned"),
    ]
)


@given(st.lists(MESSAGES | MESSAGES | OTHERS, max_size=6), st.data())
def test_whatever_arrives_in_whatever_pieces_is_what_pika_makes_of_it(
    arriving: list[bytes], draw: st.DataObject
) -> None:
    """The consumer, the counters for heartbeats and what is sent back are the same."""
    data = b"".join(arriving)
    cuts = draw.draw(st.lists(st.integers(0, len(data)), max_size=5))

    agree(data, cuts)


def test_a_read_may_end_at_any_byte() -> None:
    """A socket knows no messages."""
    properties = pika.BasicProperties("a/b", headers={"at": 1, "by": "x"}, message_id="evt_1")
    data = message(b"first", properties) + HEARTBEAT + message(b"", properties, 2) + message(tag=3)

    for cut in range(len(data) + 1):
        assert len(agree(data, [cut]).given) == 3
    agree(data, range(len(data)))


COMMON = {
    "nothing": pika.BasicProperties(),
    "a benchmark's": pika.BasicProperties("a/b", delivery_mode=2, message_id="evt_1"),
    "the API's": pika.BasicProperties(
        "a/b", delivery_mode=2, message_id="evt_1", headers={"accepted-at": 1_790_000_000_000}
    ),
    "come again": pika.BasicProperties(headers={"x-delivery-count": 3, "x": "y", "z": True}),
    "everything": pika.BasicProperties(
        "a/b", "gzip", {}, 2, 9, "corr", "to", "60000", "evt_1", 1, "t", "guest", "app", "cluster"
    ),
}
RARE = {
    "nested": pika.BasicProperties(headers={"x-death": [{"count": 1, "reason": "expired"}]}),
    "null": pika.BasicProperties(headers={"x": None}),
    "decimal": pika.BasicProperties(headers={"x": decimal.Decimal("1.5")}),
    "a time": pika.BasicProperties(headers={"x": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}),
    "bytes": pika.BasicProperties(headers={"x": b"\0"}),
    "a name that is no text": pika.BasicProperties(message_id=b"\xff\xfe"),
    "a value that is no text": pika.BasicProperties(message_id="e", headers={b"\xff": 1}),
}


@pytest.mark.parametrize("body", [b"", b"body", b"x" * 100_000])
@pytest.mark.parametrize("properties", COMMON.values(), ids=COMMON)
def test_a_message_in_its_common_form_is_read_at_once(
    properties: pika.BasicProperties, body: bytes
) -> None:
    """By frames it takes five times as long."""
    data = HEARTBEAT + message(body, properties, 7) + HEARTBEAT

    read = message_at(data, len(HEARTBEAT))

    assert read is not None
    assert (read.delivery_tag, read.body, read.consumer) == (7, body, CONSUMER)
    assert (read.message_id, read.headers) == (properties.message_id, properties.headers)
    assert data[read.end :] == HEARTBEAT
    assert agree(data).at_once == [True]


@pytest.mark.parametrize("properties", RARE.values(), ids=RARE)
def test_a_message_in_a_rare_form_is_read_by_pika(properties: pika.BasicProperties) -> None:
    """It is delivered all the same."""
    assert agree(message(properties=properties) + message(tag=2)).at_once == [False, True]


@pytest.mark.parametrize(
    ("kind", "code"), [*zip("tbBUsIilL", "BbBhhiIqq", strict=True), ("f", "f"), ("d", "d")]
)
@pytest.mark.parametrize("value", [0, 1, 255, -1])
def test_numbers_in_headers_are_what_pika_takes_them_for(kind: str, code: str, value: int) -> None:
    """Other libraries write other types than pika: `B`, `s`, `d`."""
    size = struct.calcsize(f">{code}")
    number = struct.pack(">f" if kind == "f" else ">d", value) if kind in "fd" else None
    raw = number or (value % 2 ** (8 * size)).to_bytes(size, "big")
    table = b"\x01n" + kind.encode() + raw

    [(_, _, headers, _)] = agree(with_table(table)).given

    assert headers == decode_table(struct.pack(">I", len(table)) + table, 0)[0]
    assert (message_at(with_table(table), 0) is None) == (kind in "fd")


def test_headers_that_pika_cannot_read_are_taken_for_none() -> None:
    """The message after it would never come."""
    ours = Reader(OneWrite)

    unreadable = pika.BasicProperties(message_id="evt_1", headers={"sent": UNREADABLE})
    ours.read(message(b"a", unreadable) + message(b"b", tag=2))

    assert ours.given == [(1, "evt_1", {}, b"a"), (2, None, None, b"b")]


@given(st.integers(1, 2**16 - 1), st.lists(st.integers(1, 2**64 - 1), max_size=5))
def test_acknowledgements_are_written_as_pika_writes_them(channel: int, tags: list[int]) -> None:
    """One by one: those before it may be unsettled."""
    expected = b"".join(method(Basic.Ack(tag), channel) for tag in tags)

    assert acknowledgements(channel, tags) == expected
