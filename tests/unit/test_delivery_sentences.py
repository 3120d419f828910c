"""The state of a delivery in words: what it waits for and until when, or how it ended and why."""

from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from dashboard.explaining.attempts import attempt_sentence
from dashboard.explaining.reader import nth
from dashboard.explaining.sentence import explain
from dispatcher.breaker import GONE
from schemas.deliveries.cancel_reason import CancelReason
from schemas.deliveries.deliveries import Attempt, DeliveryState, Outcome, Trigger
from schemas.deliveries.phases import Phases
from schemas.events.types import EventType
from schemas.ids import CallbackId, EventId, TokenId
from schemas.listings import DeliveryDetail, ListedDelivery
from schemas.times import UnixMs
from schemas.tokens.tokens import CallbackState, OnResume
from store.deliveries.due import POISON
from store.deliveries.waiting import CallbackFacts, Waiting
from tests.kit.making import CALLBACK, TOKEN, an_attempt
from tests.kit.reading import NOW, SomeReader, later

READER = SomeReader()
HEALTHY = CallbackFacts(CallbackState.HEALTHY, token_enabled=True, on_resume=OnResume.RELEASE)
IN_SIX_MINUTES = later(360)
DISABLED = "Held: Ringback switched its callback off at 14:28:12, because"


def test_a_delivery_that_waits_says_for_which_attempt_and_when_and_what_the_last_one_met() -> None:
    """What a person wants to know first."""
    said = explained(
        DeliveryState.PENDING,
        Waiting(due_at=IN_SIX_MINUTES, callback=HEALTHY),
        *(failed(number) for number in (1, 2)),
        failed(3, phases=Phases(dns_ms=1, connect_ms=2, wait_ms=15_000)),
        next_attempt_at=IN_SIX_MINUTES,
    )

    assert said == [
        "Waits for its 4th attempt at 14:35:12, in 6 minutes.",
        "The 3rd attempt timed out waiting for the answer.",
    ]


def test_another_day_is_named() -> None:
    """14:35 of which day?"""
    (said,) = explained(
        DeliveryState.PENDING,
        Waiting(due_at=later(86_400), callback=HEALTHY),
        next_attempt_at=later(86_400),
    )

    assert said == "Waits for its 1st attempt at 23 Nov 2026 14:29:12, in 24 hours."


def test_times_are_those_of_the_reader() -> None:
    """And so is the day: at 23:30 in Rome it is still today."""
    rome = SomeReader(zone=ZoneInfo("Europe/Rome"))

    (said,) = explained(
        DeliveryState.PENDING,
        Waiting(due_at=IN_SIX_MINUTES, callback=HEALTHY),
        next_attempt_at=IN_SIX_MINUTES,
        reader=rome,
    )

    assert said == "Waits for its 1st attempt at 15:35:12, in 6 minutes."


@pytest.mark.parametrize(
    ("waiting", "said"),
    [
        (Waiting(is_recorded=False), "Its first attempt is under way, or about to start, since"),
        (
            Waiting(due_at=later(-5), callback=HEALTHY),
            "Its 1st attempt is due since 14:29:07, and starts as soon as it is its turn.",
        ),
        (
            Waiting(due_at=later(20), is_leased=True, callback=HEALTHY),
            "Its 1st attempt is under way, or about to start.",
        ),
        (
            Waiting(due_at=later(-20), is_leased=True, callback=HEALTHY),
            "Nothing was heard of its 1st attempt since 14:28:52: another one follows.",
        ),
        (
            Waiting(due_at=later(200), awaits_status=True, callback=HEALTHY),
            "Waits for another status of the same message: they are sent one after the other.",
        ),
        (
            Waiting(due_at=None, requested=(Trigger.TEST,), callback=HEALTHY),
            "Its attempt is under way, or about to start.",
        ),
    ],
)
def test_what_is_pending_says_what_it_waits_for(waiting: Waiting, said: str) -> None:
    """Each has another remedy, or none."""
    assert explained(DeliveryState.PENDING, waiting)[0].startswith(said)


def test_behind_a_callback_that_fails_the_next_trial_counts() -> None:
    """Its own schedule says nothing then: one delivery at a time goes."""
    failing = msgspec.structs.replace(
        HEALTHY, state=CallbackState.FAILING, failing_since=later(-600), probe_at=later(60)
    )

    said = explained(
        DeliveryState.PENDING,
        Waiting(due_at=later(10), callback=failing),
        failed(1, Outcome.CONNECT),
        next_attempt_at=later(10),
    )

    assert said == [
        "Waits until its callback works again: no attempt has succeeded since 14:19:12.",
        "One delivery at a time tries it, the next at 14:30:12, in 60 seconds.",
        "The 1st attempt got no connection.",
    ]


def test_a_pause_that_the_receiver_asked_for_is_named() -> None:
    """It is not our slowness."""
    paused = msgspec.structs.replace(HEALTHY, paused_until=IN_SIX_MINUTES)

    said = explained(
        DeliveryState.PENDING,
        Waiting(due_at=later(1), callback=paused, is_recovery=True),
        next_attempt_at=IN_SIX_MINUTES,
    )

    assert said[1:] == [
        "Its receiver asked for nothing before 14:35:12.",
        "It is being sent again by a recovery.",
    ]


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({"state": CallbackState.OFF}, "Held: its callback is switched off."),
        (
            {
                "state": CallbackState.DISABLED,
                "disabled_at": later(-60),
                "disabled_reason": GONE,
            },
            f"{DISABLED} its receiver answered 410: it wants no more events.",
        ),
        (
            {
                "state": CallbackState.DISABLED,
                "disabled_at": later(-60),
                "disabled_reason": "nothing succeeded for 5d",
            },
            f"{DISABLED} nothing succeeded for 5d.",
        ),
        ({"token_enabled": False}, "Held: its token is suspended."),
        (
            {},
            "Held: it is from before its callback came back, and such deliveries are kept.",
        ),
    ],
)
def test_what_is_held_says_by_what(changes: dict[str, Any], first: str) -> None:
    """Only a person can end it, and must know where."""
    held_by = msgspec.structs.replace(HEALTHY, **changes)

    said = explained(DeliveryState.HELD, Waiting(due_at=later(-5), callback=held_by))

    assert said[0] == first


@pytest.mark.parametrize(
    ("on_resume", "second"),
    [
        (OnResume.RELEASE, "When that ends, it is sent."),
        (OnResume.KEEP, "When that ends, it stays held until it is sent again."),
        (OnResume.DISCARD, "When that ends, it is cancelled."),
    ],
)
def test_what_is_held_says_what_becomes_of_it(on_resume: OnResume, second: str) -> None:
    """Switching a callback on may send, or cancel, thousands."""
    off = msgspec.structs.replace(HEALTHY, state=CallbackState.OFF, on_resume=on_resume)

    assert explained(DeliveryState.HELD, Waiting(callback=off))[1] == second


def test_what_was_delivered_says_when_and_by_which_attempt() -> None:
    """Its end is the end of the attempt, not its start."""
    delivered = an_attempt(number=2)
    delivered = msgspec.structs.replace(delivered, started_at=later(-10), duration_ms=1500)

    said = explained(DeliveryState.DELIVERED, Waiting(), failed(1), delivered)

    assert said == [
        "Delivered at 14:29:03 by its 2nd attempt: the receiver answered 200 within 1,500 ms."
    ]


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("10 attempts failed", "Given up: 10 attempts failed."),
        ("1 attempts failed", "Given up: its attempt failed."),
        (
            "its receiver deferred it 21 times in 4 days",
            "Given up: its receiver asked to wait 21 times in 4 days.",
        ),
        (
            "the callback kept failing for 76h",
            "Given up: its callback kept failing for 76h.",
        ),
        (POISON, "Given up: 20 attempts ended without a result."),
        ("a reason of a later release", "Given up: a reason of a later release."),
        (None, "Given up: no attempt succeeded."),
    ],
)
def test_what_was_given_up_says_why(reason: str | None, said: str) -> None:
    """What is stored is English; a reason that is not known is shown as it is."""
    assert explained(DeliveryState.EXHAUSTED, Waiting(), reason=reason)[0] == said


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (CancelReason.CALLBACK_DELETED, "Cancelled: its callback was deleted."),
        (CancelReason.TOKEN_REVOKED, "Cancelled: its token was revoked."),
        (CancelReason.TOKEN_EXPIRED, "Cancelled: its token has expired."),
        (CancelReason.CHANNEL_REMOVED, "Cancelled: its token may no longer see this channel."),
        (
            CancelReason.DISCARDED,
            "Cancelled: it was held, and held deliveries of this callback are discarded.",
        ),
        (
            CancelReason.NO_DISPATCHER,
            "Cancelled: nothing was running that could send the test.",
        ),
    ],
)
def test_what_was_cancelled_says_why(reason: CancelReason, said: str) -> None:
    """Each reason is known to the pages: there is no other list of them."""
    assert explained(DeliveryState.CANCELLED, Waiting(), reason=str(reason)) == [said]


def test_every_reason_to_cancel_has_its_words() -> None:
    """A new one would be shown as it is stored, in English."""
    said = [
        explained(DeliveryState.CANCELLED, Waiting(), reason=str(reason)) for reason in CancelReason
    ]

    assert all(sentence.startswith("Cancelled: ") for (sentence,) in said)


def test_a_status_that_was_overtaken_says_so() -> None:
    """It is not an error, and nothing is to be done."""
    (said,) = explained(DeliveryState.SUPERSEDED, Waiting())

    assert said.startswith("Overtaken: a newer status of the same message was sent")


def test_an_attempt_that_was_asked_for_by_hand_is_mentioned_until_it_has_ended() -> None:
    """Else a person presses the button again."""
    said = explained(DeliveryState.DELIVERED, Waiting(requested=(Trigger.MANUAL,)), an_attempt())

    assert said[-1] == "One more attempt was asked for by hand, and has not ended yet."


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_its_sentence(outcome: Outcome) -> None:
    """A new one must not end in an error page."""
    said = attempt_sentence(READER, failed(4, outcome))

    assert said.startswith("The 4th attempt")


@pytest.mark.parametrize(
    ("phases", "said"),
    [
        (Phases(), "The 1st attempt timed out."),
        (Phases(dns_ms=1, connect_ms=5000), "The 1st attempt timed out connecting."),
        (
            Phases(connect_ms=3, tls_ms=5000),
            "The 1st attempt timed out setting up a secure connection.",
        ),
        (
            Phases(connect_ms=3, tls_ms=5, wait_ms=15_000),
            "The 1st attempt timed out waiting for the answer.",
        ),
    ],
)
def test_a_timeout_says_in_which_phase(phases: Phases, said: str) -> None:
    """A slow receiver and a firewall are mended by other people."""
    assert attempt_sentence(READER, failed(1, phases=phases)) == said


def test_ordinal_numbers() -> None:
    """11th, 12th and 13th are the exceptions."""
    numbers = (1, 2, 3, 4, 11, 12, 13, 21, 102, 111)

    assert [nth(READER, number) for number in numbers] == [
        *("1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th")
    ]


def explained(
    state: DeliveryState,
    waiting: Waiting,
    *attempts: Attempt,
    reader: SomeReader = READER,
    **columns: Any,
) -> list[str]:
    values: dict[str, Any] = {"reason": None, "next_attempt_at": None} | columns
    delivery = ListedDelivery(
        event_id=EventId("evt_1"),
        callback_id=CallbackId(CALLBACK),
        token_id=TokenId(TOKEN),
        url="https://receiver.test/hook",
        type=EventType.MESSAGE_RECEIVED,
        state=state,
        created_at=UnixMs(NOW - 3_600_000),
        **values,
    )
    return explain(reader, DeliveryDetail(delivery, list(attempts)), waiting)


def failed(
    number: int, outcome: Outcome = Outcome.TIMEOUT, phases: Phases | None = None
) -> Attempt:
    attempt = an_attempt(outcome, None, number)
    return attempt if phases is None else msgspec.structs.replace(attempt, phases=phases)
