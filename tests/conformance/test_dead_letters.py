"""Dead letters, as both adapters of the exchange keep them: looked at, put back, thrown away."""

import asyncio
from contextlib import suppress

import pytest
from pika.exceptions import NackError

from exchange.dead_letters import DeadLetters
from exchange.outbox.dead_letters import OutboxDeadLetters
from exchange.rabbit.admin import declare
from exchange.rabbit.dead_letters import RabbitDeadLetters
from exchange.topology import DEAD_EXCHANGE, EVENTS_EXCHANGE
from schemas.errors import ExchangeUnavailable
from schemas.events.events import parse_event
from tests.kit.making import an_event
from tests.kit.pipes import Pipe, RabbitPipe, outgoing, take
from tests.kit.rabbit import Rabbit
from tests.kit.waiting import eventually, free_port

IDS = ("evt_1", "evt_2", "evt_3", "evt_4")
BODIES = [an_event(event_id).message() for event_id in IDS]


@pytest.fixture
async def dead(pipe: Pipe) -> DeadLetters:
    """Four of them."""
    return await dead_lettered(pipe, *IDS)


async def dead_lettered(pipe: Pipe, *event_ids: str, there: int = 0) -> DeadLetters:
    """Dead-letter these, in addition to those that are there already."""
    publisher, source = pipe.publisher(), pipe.source()
    await asyncio.to_thread(publisher.publish, outgoing(*event_ids))
    for number, message in enumerate(await take(pipe, source, len(event_ids)), 1):
        await source.dead_letter(message, f"reason {number} è")
    await source.close()
    publisher.close()
    letters = dead_letters_of(pipe)
    await eventually(
        "the dead letters", lambda: letters.count() == there + len(event_ids)
    )  # the broker counts them a moment later
    return letters


def dead_letters_of(pipe: Pipe) -> DeadLetters:
    return (
        RabbitDeadLetters(pipe.rabbit.url)
        if isinstance(pipe, RabbitPipe)
        else OutboxDeadLetters(pipe.database)
    )


def marks(dead: DeadLetters, *numbers: int) -> list[str]:
    """The marks of the dead letters that are there now."""
    found = dead.peek(max(numbers))
    return [found[number - 1].mark for number in numbers]


def bodies(dead: DeadLetters) -> list[bytes]:
    return [letter.body for letter in dead.peek(9)]


async def test_looking_changes_nothing(dead: DeadLetters) -> None:
    """Oldest first, with the reason of each, again and again."""
    first, second = dead.peek(2), dead.peek(9)

    assert [letter.body for letter in second] == BODIES
    assert first == second[:2]
    assert [letter.reason for letter in second] == [f"reason {number} è" for number in range(1, 5)]
    assert {letter.accepted_at for letter in second} == {1_000}
    assert dead.count() == 4


async def test_a_number_means_the_same_dead_letter_however_often_some_were_read(pipe: Pipe) -> None:
    """Otherwise a person would delete another one than the one shown."""
    ids = [f"evt_{number:02}" for number in range(60)]
    dead = await dead_lettered(pipe, *ids)

    for most in (40, 3, 20, 60):
        assert [parse_event(letter.body).id for letter in dead.peek(most)] == ids[:most]
    dead.drop(marks(dead, 2, 50), lambda: None)
    dead.peek(7)

    del ids[49], ids[1]
    assert [parse_event(letter.body).id for letter in dead.peek(99)] == ids


async def test_what_is_put_back_is_taken_like_any_event(pipe: Pipe, dead: DeadLetters) -> None:
    """With the time of its acceptance, and without the reason: it is judged again. What was not
    named stays in its place.
    """
    progress: list[int] = []
    dead.peek(4)

    dead.replay(marks(dead, 1, 3), lambda: progress.append(1))

    assert bodies(dead) == [BODIES[1], BODIES[3]]
    assert len(progress) == 2
    source = pipe.source()
    taken = await take(pipe, source, 2)
    assert {(message.body, message.accepted_at) for message in taken} == {
        (BODIES[0], 1_000),
        (BODIES[2], 1_000),
    }
    assert {message.deliveries for message in taken} == {0}, (
        "that it was looked at must not make it poison"
    )
    assert {message.message_id for message in taken} == (
        {"evt_1", "evt_3"} if isinstance(pipe, RabbitPipe) else {None}
    )
    await source.close()


async def test_what_is_thrown_away_is_gone(pipe: Pipe, dead: DeadLetters) -> None:
    """Nothing else is removed."""
    progress: list[int] = []

    dead.drop(marks(dead, 2), lambda: progress.append(1))

    assert bodies(dead) == [BODIES[0], BODIES[2], BODIES[3]]
    dead.drop(marks(dead, 1, 2, 3), lambda: progress.append(1))
    assert bodies(dead) == []
    assert len(progress) == 4


async def test_one_that_dies_again_is_there_again(pipe: Pipe, dead: DeadLetters) -> None:
    """The new reason says what is wrong with it now."""
    dead.replay(marks(dead, 1), lambda: None)
    source = pipe.source()
    (again,) = await take(pipe, source, 1)
    await source.dead_letter(again, "still none")
    await source.close()

    await eventually("it to be back", lambda: len(bodies(dead)) == 4)
    assert bodies(dead) == [*BODIES[1:], BODIES[0]]
    assert dead.peek(4)[3].reason == "still none"


async def test_a_mark_means_its_dead_letter_whatever_came_and_went_since(pipe: Pipe) -> None:
    """Between a look and a drop others die, also such as were accepted before."""
    dead = await dead_lettered(pipe, "evt_5", "evt_9")
    seen = dead.peek(2)

    await dead_lettered(pipe, "evt_1", there=2)
    dead.drop(marks(dead, 1), lambda: None)
    dead.drop([seen[1].mark], lambda: None)

    assert [parse_event(letter.body).id for letter in seen] == ["evt_5", "evt_9"]
    assert [parse_event(letter.body).id for letter in dead.peek(9)] == ["evt_1"]


async def test_the_last_that_died_is_the_last(pipe: Pipe) -> None:
    """What a person read as number 2 stays number 2 while more come."""
    dead = await dead_lettered(pipe, "evt_5", "evt_9")

    await dead_lettered(pipe, "evt_1", there=2)

    assert [parse_event(letter.body).id for letter in dead.peek(9)] == ["evt_5", "evt_9", "evt_1"]


def test_of_dead_letters_that_are_alike_as_many_go_as_are_named(rabbit: Rabbit) -> None:
    """Two that say the same in everything have one mark."""
    declare(rabbit.url)
    for _ in range(3):
        rabbit.publish(DEAD_EXCHANGE, b"{}")
    dead = RabbitDeadLetters(rabbit.url)

    dead.drop([dead.peek(1)[0].mark] * 2, lambda: None)

    assert len(dead.peek(9)) == 1


def test_a_dead_letter_is_kept_when_it_cannot_be_stored_elsewhere(rabbit: Rabbit) -> None:
    """Put back first, taken away then: with a queue that takes no more, it stays where it is."""
    declare(rabbit.url)
    rabbit.publish(DEAD_EXCHANGE, b"{}")
    rabbit.ctl(
        "set_policy",
        "full",
        "^ringback\\.dispatch$",
        '{"max-length": 1, "overflow": "reject-publish"}',
        "--apply-to",
        "queues",
    )
    try:
        fill(rabbit)
        with pytest.raises(ExchangeUnavailable, match="MessageNacked"):
            RabbitDeadLetters(rabbit.url).replay(None, lambda: None)
    finally:
        rabbit.ctl("clear_policy", "full")

    assert [letter.body for letter in RabbitDeadLetters(rabbit.url).peek(9)] == [b"{}"]


def test_a_broker_that_was_not_used_yet_has_none(rabbit: Rabbit) -> None:
    """Looking first is no mistake: what is missing there is declared."""
    letters = RabbitDeadLetters(rabbit.url)

    assert letters.count() == 0
    assert letters.peek(1) == []


def test_a_broker_that_does_not_answer_is_reported() -> None:
    """In a line, and not with what kombu raises."""
    with pytest.raises(ExchangeUnavailable, match="cannot reach the broker"):
        RabbitDeadLetters(f"amqp://guest:guest@127.0.0.1:{free_port()}/").peek(1)


def fill(rabbit: Rabbit) -> None:
    """Until the queue takes no more, which a new policy makes it say a moment later."""
    with suppress(NackError):
        for _ in range(1000):
            rabbit.publish(EVENTS_EXCHANGE, b"{}")
        raise AssertionError("it takes everything")
