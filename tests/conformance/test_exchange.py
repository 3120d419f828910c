"""What both adapters of the exchange promise: RabbitMQ,
and the outbox on SQLite and on PostgreSQL.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from exchange.outbox import source as outbox_source
from exchange.port import Outgoing, QueuedMessage, Source
from schemas.errors import ExchangeUnavailable
from schemas.events.events import MAX_EVENT_BYTES
from schemas.times import UnixMs
from tests.kit.making import an_event
from tests.kit.pipes import Pipe, outgoing, settle, take, take_now


def bodies(messages: Sequence[QueuedMessage]) -> list[bytes]:
    return [message.body for message in messages]


async def test_what_was_published_is_taken_in_order_as_it_was(pipe: Pipe) -> None:
    """Order within a conversation starts here; body and time of acceptance are what the webhook is
    made of.
    """
    publisher, source = pipe.publisher(), pipe.source()
    published = outgoing(*(f"evt_{number}" for number in range(50)))

    await asyncio.to_thread(publisher.publish, published)
    taken = await take(pipe, source, 50)

    assert bodies(taken) == [one.event.message() for one in published]
    assert {(message.accepted_at, message.deliveries) for message in taken} == {(1_000, 0)}
    await source.close()
    publisher.close()


async def test_what_was_settled_never_comes_again(pipe: Pipe) -> None:
    """Otherwise every restart would repeat every webhook."""
    publisher, source = pipe.publisher(), pipe.source()
    await asyncio.to_thread(publisher.publish, outgoing("evt_1", "evt_2"))

    await settle(pipe, source, await take(pipe, source, 2))
    await source.close()
    pipe.forget_holders()
    await asyncio.to_thread(publisher.publish, outgoing("evt_3"))

    second = pipe.source()
    assert bodies(await take(pipe, second, 1)) == [an_event("evt_3").message()]
    await second.close()
    publisher.close()


async def test_what_was_taken_and_not_settled_comes_again(pipe: Pipe) -> None:
    """A dispatcher that dies loses nothing (docs/invariants.md#at-least-once)."""
    publisher, source = pipe.publisher(), pipe.source()
    await asyncio.to_thread(publisher.publish, outgoing("evt_1", "evt_2", "evt_3"))

    first = await take(pipe, source, 3)
    await settle(pipe, source, first[1:2])
    await source.close()
    pipe.forget_holders()

    second = pipe.source()
    assert sorted(bodies(await take(pipe, second, 2))) == [
        an_event("evt_1").message(),
        an_event("evt_3").message(),
    ]
    await second.close()
    publisher.close()


async def test_what_comes_again_comes_oldest_first(pipe: Pipe) -> None:
    """The longest wait ends first, whatever a lease did to the place of a row."""
    publisher, source = pipe.publisher(), pipe.source()
    await asyncio.to_thread(publisher.publish, outgoing(*(f"evt_{number}" for number in range(5))))
    await take(pipe, source, 3)
    await source.close()
    pipe.forget_holders()

    second = pipe.source()
    assert bodies(await take(pipe, second, 2)) == [
        an_event("evt_0").message(),
        an_event("evt_1").message(),
    ]
    await second.close()
    publisher.close()


async def test_two_sources_share_and_never_overlap(pipe: Pipe) -> None:
    """More dispatchers must not mean more duplicates."""
    publisher = pipe.publisher()
    await asyncio.to_thread(publisher.publish, outgoing(*(f"evt_{number}" for number in range(20))))

    source = pipe.source()
    first = await take(pipe, source, 20)
    other = pipe.source()
    await asyncio.to_thread(publisher.publish, outgoing("evt_last"))
    last = await asyncio.wait_for(first_of(pipe, source, other), 20)

    assert len(set(bodies(first))) == 20
    assert last == an_event("evt_last").message()
    await source.close()
    await other.close()
    publisher.close()


async def first_of(pipe: Pipe, *sources: Source) -> bytes:
    """What one of them takes next."""
    takes = [asyncio.create_task(take(pipe, source, 1)) for source in sources]
    done, others = await asyncio.wait(takes, return_when=asyncio.FIRST_COMPLETED)
    for other in others:
        other.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    return done.pop().result()[0].body


async def test_what_a_failed_claim_puts_back_is_taken_again_in_order(pipe: Pipe) -> None:
    """The store was away for a moment: that costs time and nothing else."""
    publisher, source = pipe.publisher(), pipe.source()
    await asyncio.to_thread(publisher.publish, outgoing("evt_1", "evt_2", "evt_3"))

    taken = await take(pipe, source, 3)
    pipe.forget_holders()  # the transaction that leased them was rolled back
    source.put_back(taken[:2])
    again = await take(pipe, source, 2)

    assert bodies(again) == bodies(taken[:2])
    await source.close()
    publisher.close()


async def test_a_dead_letter_is_kept_with_its_reason_and_never_taken(pipe: Pipe) -> None:
    """What is no event must neither block the queue nor vanish."""
    publisher, source = pipe.publisher(), pipe.source()
    await asyncio.to_thread(publisher.publish, outgoing("evt_bad", "evt_good"))

    bad, good = await take(pipe, source, 2)
    await source.dead_letter(bad, "no id: caffè")
    await settle(pipe, source, [good])
    await source.close()
    pipe.forget_holders()
    await asyncio.to_thread(publisher.publish, outgoing("evt_next"))

    second = pipe.source()
    assert bodies(await take(pipe, second, 1)) == [an_event("evt_next").message()]
    assert pipe.dead_letters() == [(bad.body, "no id: caffè")]
    await second.close()
    publisher.close()


async def test_the_largest_event_passes_byte_for_byte(pipe: Pipe) -> None:
    """Larger than one AMQP frame; what the backend sent is what the receiver gets."""
    publisher, source = pipe.publisher(), pipe.source()
    large = an_event("evt_large", text="è" * ((MAX_EVENT_BYTES - 1000) // 6))

    await asyncio.to_thread(publisher.publish, [Outgoing(large, UnixMs(1_000))])
    [taken] = await take(pipe, source, 1)

    assert len(taken.body) > MAX_EVENT_BYTES - 2000
    assert taken.body == large.message()
    await source.close()
    publisher.close()


async def test_many_requests_publish_at_once_and_each_event_arrives_once(pipe: Pipe) -> None:
    """The API's requests share one publisher, singles and batches mixed."""
    publisher, source = pipe.publisher(), pipe.source()
    batches = [
        outgoing(*(f"evt_{batch}_{number}" for number in range(1 + batch % 7)))
        for batch in range(100)
    ]

    with ThreadPoolExecutor(16) as threads:
        await asyncio.gather(
            *(
                asyncio.get_running_loop().run_in_executor(threads, publisher.publish, batch)
                for batch in batches
            )
        )
    expected = sorted(one.event.message() for batch in batches for one in batch)
    taken = await take(pipe, source, len(expected))

    assert sorted(bodies(taken)) == expected
    await source.close()
    publisher.close()


async def test_a_waiting_source_is_woken_by_a_publish(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit, or the broker, wakes the next stage: no polling on the way of an event."""
    monkeypatch.setattr(outbox_source, "_POLL_S", 3600)
    publisher, source = pipe.publisher(), pipe.source()
    assert await asyncio.to_thread(take_now, pipe, source) == []
    waiting = asyncio.create_task(take(pipe, source, 1))

    await asyncio.to_thread(publisher.publish, outgoing("evt_1"))

    assert bodies(await waiting) == [an_event("evt_1").message()]
    await source.close()
    publisher.close()


async def test_a_closed_publisher_takes_nothing(pipe: Pipe) -> None:
    """Better a 503 than a 202 for what will not be stored."""
    publisher = pipe.publisher()

    publisher.close()

    with pytest.raises(ExchangeUnavailable, match="closed"):
        await publisher.inner.publish(outgoing("evt_1"))
