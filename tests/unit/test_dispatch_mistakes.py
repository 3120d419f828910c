"""Internal errors in the dispatcher: each costs an attempt at most, and never a slot."""

import pytest

from dispatcher.dispatcher import ERROR_PAUSE_S
from dispatcher.http.messages import HttpResponse
from dispatcher.verdict import internal_error_text
from schemas.deliveries.deliveries import DeliveryState, Outcome, Trigger
from schemas.deliveries.settlement import given_back
from tests.kit.dispatch_scene import OK, Scene, firsts
from tests.kit.making import a_delivery


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.parametrize("part", ["directory", "sender"])
def test_a_mistake_at_the_start_of_an_attempt_costs_that_attempt_only(
    scene: Scene, part: str
) -> None:
    """It is recorded as a failure and tried again; its slot and its conversation go to the next,
    and an operator hears of it.
    """
    one, two = a_delivery("evt_1"), a_delivery("evt_2")
    scene.broken[part] = KeyError("boom")
    scene.submit(one)
    scene.submit(two)

    (settled,) = scene.written
    assert (settled.delivery, settled.state, settled.failures) == (one, DeliveryState.PENDING, 1)
    assert settled.attempt is not None
    assert (settled.attempt.outcome, settled.attempt.error) == (
        Outcome.PROTOCOL,
        internal_error_text(KeyError()),
    )
    assert [request.body for request, _ in scene.posted] == [two.body]
    (note,) = scene.observer.notes
    assert "dispatcher.py" in str(note["trace"])
    assert "boom" not in str(note), "what an error says may quote a URL or a header's value"


def test_a_mistake_that_is_made_each_time_exhausts_in_the_end(scene: Scene) -> None:
    """Like any other failure: it must not be tried for ever."""
    scene.broken["sender"] = KeyError("boom")
    scene.submit(a_delivery(failures=1, number=2, trigger=Trigger.RETRY, lease=1))

    assert [settled.state for settled in scene.written] == [DeliveryState.EXHAUSTED]


@pytest.mark.parametrize("where", ["judge", "after", "answer"])
def test_a_mistake_in_reading_an_answer_costs_that_attempt_only(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """As many as the lane has slots, one after the other: none of them is lost to it."""
    for number in range(3):
        scene.submit(a_delivery(f"evt_{number}"))
        answer = (
            OK
            if where != "answer"
            else HttpResponse(
                None, None, b"", Outcome.PROTOCOL, "?", 0.1, internal_error=KeyError("boom")
            )
        )
        if where != "answer":
            break_once(monkeypatch, where)
        settled = scene.answer(answer)

        assert settled.attempt is not None
        assert settled.attempt.error == internal_error_text(KeyError())
        assert (settled.state, scene.dispatcher.in_flight) == (DeliveryState.PENDING, 0)
    assert len(scene.observer.notes) == 3


def test_a_mistake_in_recording_a_mistake_gives_the_delivery_back(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing else left to be done, and not at once again."""

    def broken(*_: object) -> None:
        raise KeyError("boom")

    monkeypatch.setattr("dispatcher.dispatcher.after", broken)
    delivery = a_delivery()
    scene.submit(delivery)

    assert scene.answer() == given_back(delivery, ERROR_PAUSE_S)
    assert scene.dispatcher.in_flight == 0


def test_a_settlement_that_is_not_taken_still_frees_the_slot(scene: Scene) -> None:
    """Its lease ends, and the delivery comes again; the lane goes on."""
    scene.submit(*firsts(3))
    scene.broken["settler"] = KeyError("boom")
    _, on_answer = scene.posted.pop(0)
    on_answer(OK)

    assert (len(scene.posted), scene.dispatcher.in_flight, len(scene.observer.notes)) == (2, 2, 1)


def break_once(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """`dispatcher.dispatcher.<name>` raises when it is called next, and works again after that."""

    def broken(*_: object) -> None:
        monkeypatch.undo()
        raise KeyError("boom")

    monkeypatch.setattr(f"dispatcher.dispatcher.{name}", broken)
