"""The dispatcher between a fake sender and a fake directory: who is sent, what is written, and that
no slot is ever lost.
"""

from dataclasses import replace

import pytest

from dispatcher.breaker import OPEN_AFTER
from dispatcher.http.messages import HttpResponse
from schemas.deliveries.callback_health import HealthFinding
from schemas.deliveries.deliveries import DeliveryState, Outcome, Trigger
from schemas.deliveries.settlement import given_back
from schemas.times import UnixMs
from schemas.tokens.tokens import Callback, CallbackHealth, Token
from tests.kit.dispatch_scene import Scene, firsts
from tests.kit.making import CALLBACK, a_callback, a_delivery, a_token


@pytest.fixture
def scene() -> Scene:
    return Scene()


def status(code: int, retry_after: str | None = None) -> HttpResponse:
    return HttpResponse(code, retry_after, b"no", None, None, 0.1)


def test_a_delivery_is_sent_signed_and_its_answer_recorded(scene: Scene) -> None:
    """The whole way; header values of the administrator are sent and not remembered."""
    scene.found = (a_token(), a_callback(headers={"authorization": "Bearer s3cret"}))
    scene.submit(a_delivery("evt_7"))
    ((request, _),) = scene.posted
    settled = scene.answer()

    assert (request.url, request.body) == ("https://receiver.test/hook", b"{}")
    assert "authorization: Bearer s3cret" in request.headers
    assert (settled.state, settled.due_in_s) == (DeliveryState.DELIVERED, None)
    attempt = settled.attempt
    assert attempt is not None
    assert (attempt.outcome, attempt.status_code, attempt.duration_ms, attempt.response_body) == (
        Outcome.DELIVERED,
        200,
        250,
        b"ok",
    )
    assert attempt.request_headers["webhook-id"] == "evt_7"
    assert attempt.request_headers["webhook-signature"].startswith("v1,")
    assert attempt.request_headers["authorization"] == "***"


@pytest.mark.parametrize(
    ("answer", "outcome", "shortest_s", "longest_s"),
    [
        (status(500), Outcome.HTTP_5XX, 9, 11),
        (status(410), Outcome.GONE, 9, 11),
        (status(500, "60"), Outcome.THROTTLED, 60, 60),
        (HttpResponse(None, None, b"", Outcome.DNS, "no such name", 0.1), Outcome.DNS, 9, 11),
    ],
    ids=["500", "410", "500-later", "dns"],
)
def test_what_failed_is_due_again_as_scheduled_or_as_the_receiver_asks(
    scene: Scene, answer: HttpResponse, outcome: Outcome, shortest_s: float, longest_s: float
) -> None:
    """Moved by a tenth at most, and never earlier than asked."""
    scene.submit(a_delivery())
    settled = scene.answer(answer)

    assert (settled.state, settled.failures) == (DeliveryState.PENDING, 1)
    assert settled.attempt is not None
    assert settled.attempt.outcome is outcome
    assert settled.due_in_s is not None
    assert shortest_s <= settled.due_in_s <= longest_s


def test_the_last_attempt_that_fails_exhausts(scene: Scene) -> None:
    """One retry is scheduled here."""
    scene.submit(a_delivery(failures=1, number=2, trigger=Trigger.RETRY, lease=1))

    assert scene.answer(status(500)).state is DeliveryState.EXHAUSTED


def test_a_test_that_fails_is_exhausted_at_once(scene: Scene) -> None:
    """A person waits for the result."""
    scene.submit(a_delivery(trigger=Trigger.TEST, attempt_id="att_1"))
    settled = scene.answer(status(500))

    assert (settled.state, settled.reason) == (DeliveryState.EXHAUSTED, "the test failed")
    assert settled.attempt is not None
    assert settled.attempt.id == "att_1"


def test_nothing_starts_while_the_directory_is_stale_and_all_goes_on_when_it_is_fresh(
    scene: Scene,
) -> None:
    """Whether a token still holds is not known then
    (docs/invariants.md#only-fresh-knowledge-sends).
    """
    scene.is_fresh = False
    scene.submit(a_delivery())
    scene.dispatcher.resume()
    assert scene.posted == []

    scene.is_fresh = True
    scene.dispatcher.resume()

    assert len(scene.posted) == 1


def test_what_cannot_end_within_its_lease_is_given_back_unsent(scene: Scene) -> None:
    """Another dispatcher may have it by then."""
    late = a_delivery(start_by_s=0.0)
    scene.submit(late)

    assert (scene.written, scene.posted) == ([given_back(late)], [])


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ((a_token(revoked_at=UnixMs(1)), a_callback()), "the token was revoked"),
        ((a_token(expires_at=UnixMs(1)), a_callback()), "the token has expired"),
        (None, "the callback was deleted"),
    ],
    ids=["revoked", "expired", "deleted"],
)
def test_what_must_never_be_sent_is_cancelled(
    scene: Scene, found: tuple[Token, Callback] | None, reason: str
) -> None:
    """Judged when the attempt would start, however long it had waited."""
    scene.found = found
    scene.submit(a_delivery())

    assert [(s.state, s.reason) for s in scene.written] == [(DeliveryState.CANCELLED, reason)]
    assert scene.posted == []


@pytest.mark.parametrize(
    "found",
    [(a_token(), a_callback(enabled=False)), (a_token(enabled=False), a_callback())],
    ids=["off", "suspended"],
)
def test_what_is_held_is_given_back(scene: Scene, found: tuple[Token, Callback]) -> None:
    """Its row waits until the callback is back."""
    scene.found = found
    held = a_delivery()
    scene.submit(held)

    assert (scene.written, scene.posted) == ([given_back(held)], [])


def test_an_attempt_by_hand_is_made_although_the_callback_is_off(scene: Scene) -> None:
    """A person checks whether it works again."""
    scene.found = (a_token(), a_callback(enabled=False))
    scene.submit(a_delivery(trigger=Trigger.MANUAL, attempt_id="att_1"))

    ((request, _),) = scene.posted
    assert "ringback-trigger: manual" in request.headers


def test_a_callback_that_keeps_failing_gets_no_more(scene: Scene) -> None:
    """From this moment, in this process; what it found out goes to the store with the attempt that
    did.
    """
    scene.submit(*firsts(OPEN_AFTER + 5))
    settled = [scene.answer(status(500)) for _ in range(OPEN_AFTER - 1)]
    assert [one.health for one in settled] == [None] * (OPEN_AFTER - 1)

    opening = scene.answer(status(500))

    assert opening.health is not None
    assert opening.health.finding is HealthFinding.FAILING
    assert [one.due_in_s for one in scene.written] == [0.0] * 4, (
        "what waited has no attempt, and waits as a row"
    )
    assert scene.observer.put_off == ["breaker"] * 4
    assert scene.dispatcher.free_slots(CALLBACK, True) == 0
    assert scene.dispatcher.free_slots(CALLBACK, False) == 0


def test_what_an_attempt_finds_out_is_about_the_callback_as_it_was_when_it_started(
    scene: Scene,
) -> None:
    """A person may have given it another URL meanwhile."""
    scene.submit(a_delivery())
    scene.found = (a_token(), replace(a_callback(), health=CallbackHealth(generation=1)))

    settled = scene.answer(status(410))

    assert settled.health is not None
    assert settled.health.generation == 0


def test_a_failing_callback_is_probed(scene: Scene) -> None:
    """One that succeeds says that it works."""
    scene.found = (a_token(), replace(a_callback(), health=CallbackHealth(failing_since=UnixMs(1))))
    scene.submit(a_delivery(trigger=Trigger.PROBE, lease=1))

    settled = scene.answer()

    assert (settled.state, settled.health and settled.health.finding) == (
        DeliveryState.DELIVERED,
        HealthFinding.WORKS,
    )


def test_an_internal_error_says_nothing_about_its_callback(scene: Scene) -> None:
    """No callback is disabled for it."""
    for delivery in firsts(2 * OPEN_AFTER):
        scene.broken["sender"] = KeyError("boom")
        scene.submit(delivery)

    assert [one.health for one in scene.written] == [None] * (2 * OPEN_AFTER)
    scene.submit(a_delivery("evt_next", conversation="cnv_next"))
    assert len(scene.posted) == 1


def test_after_stop_starting_what_flies_ends_and_nothing_begins(scene: Scene) -> None:
    """A drain: what waits is given back by the consumers."""
    flying, _, waiting = deliveries = firsts(3)
    scene.submit(*deliveries)
    scene.dispatcher.stop_starting()

    assert scene.answer().delivery is flying
    assert (scene.dispatcher.in_flight, len(scene.posted)) == (1, 1)
    assert scene.dispatcher.withdraw(waiting)


def test_a_changed_token_signs_the_next_attempt_with_its_new_key(scene: Scene) -> None:
    """What is the same for every attempt is put together once, and must not outlive the state it
    was made of.
    """
    scene.submit(a_delivery())
    (before,) = [
        line for line in scene.posted[0][0].headers if line.startswith("webhook-signature")
    ]
    scene.answer()

    scene.found = (a_token(key=b"n" * 24), a_callback())
    scene.submit(a_delivery())

    assert before not in scene.posted[0][0].headers


def test_rows_are_wanted_as_far_as_they_can_start(scene: Scene) -> None:
    """For a lane that is not used yet, and for one that is busy."""
    assert scene.dispatcher.free_slots(CALLBACK, True) == 1

    scene.submit(a_delivery(trigger=Trigger.RETRY, lease=1))

    assert scene.dispatcher.free_slots(CALLBACK, True) == 0
    assert scene.dispatcher.conversations(CALLBACK) == {"cnv_1"}
