"""What comes next for a delivery: whether an attempt may start, and what it changes."""

from dataclasses import replace

import msgspec
import pytest

from dispatcher.backoff import RetrySchedule
from dispatcher.decision import KEEPS_POSITION, MAX_THROTTLED, after, deferral, refusal
from schemas.deliveries.deliveries import Attempt, Delivery, DeliveryState, Outcome, Trigger
from schemas.deliveries.settlement import given_back
from schemas.times import UnixMs
from schemas.tokens.tokens import CallbackHealth
from tests.kit.making import a_callback, a_delivery, a_token, an_attempt

NOW = UnixMs(1_000_000)
SCHEDULE = RetrySchedule.parse("5s,5m")


@pytest.mark.parametrize("trigger", list(Trigger))
def test_an_active_token_and_a_callback_that_is_on_refuse_nothing(trigger: Trigger) -> None:
    """The plain case, for every trigger."""
    assert (
        refusal(a_delivery(trigger=trigger), (a_token(), a_callback()), NOW, breaker_open=False)
        is None
    )


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (None, "the callback was deleted"),
        ((a_token(revoked_at=UnixMs(1)), a_callback()), "the token was revoked"),
        ((a_token(expires_at=NOW), a_callback()), "the token has expired"),
    ],
    ids=["deleted", "revoked", "expired"],
)
@pytest.mark.parametrize("trigger", [Trigger.FIRST, Trigger.MANUAL])
def test_what_will_never_be_sent_is_cancelled_with_the_reason(
    found: object, reason: str, trigger: Trigger
) -> None:
    """No callback may be called for a token that is gone, not even for a manual retry."""
    refused = refusal(
        a_delivery(trigger=trigger, failures=2),
        found,  # type: ignore[arg-type]  # as the directory answers
        NOW,
        breaker_open=False,
    )

    assert refused is not None
    assert (refused.state, refused.reason, refused.due_in_s, refused.failures) == (
        DeliveryState.CANCELLED,
        reason,
        None,
        2,
    )


@pytest.mark.parametrize("trigger", list(Trigger))
def test_what_a_token_may_no_longer_see_is_not_sent(trigger: Trigger) -> None:
    """Judged at each attempt, whatever for. Only a test shows a sample, which is of no channel that
    there is.
    """
    delivery = a_delivery(trigger=trigger, channel="chn_1")

    refused = refusal(
        delivery, (a_token(channels=["chn_2"]), a_callback()), NOW, breaker_open=False
    )

    if trigger is Trigger.TEST:
        assert refused is None
    else:
        assert refused is not None
        assert (refused.state, refused.reason) == (
            DeliveryState.CANCELLED,
            "the token may no longer see this channel",
        )
    assert (
        refusal(delivery, (a_token(channels=["chn_1"]), a_callback()), NOW, breaker_open=False)
        is None
    )


@pytest.mark.parametrize(
    "found",
    [
        (a_token(enabled=False), a_callback()),
        (a_token(activates_at=UnixMs(NOW + 1)), a_callback()),
        (a_token(), a_callback(enabled=False)),
        (a_token(), replace(a_callback(), health=CallbackHealth(disabled_at=NOW))),
    ],
    ids=["suspended", "scheduled", "off", "disabled"],
)
def test_what_may_be_sent_again_later_is_held_and_not_lost(found: object) -> None:
    """It is due, and not taken before the callback is back."""
    delivery = a_delivery()

    refused = refusal(
        delivery,
        found,  # type: ignore[arg-type]  # as the directory answers
        NOW,
        breaker_open=False,
    )
    assert refused == given_back(delivery)


@pytest.mark.parametrize(
    ("trigger", "allowed"),
    [
        (Trigger.MANUAL, True),
        (Trigger.TEST, True),
        (Trigger.RETRY, False),
        (Trigger.RECOVER, False),
    ],
)
def test_a_callback_that_is_off_can_be_tried_by_hand(trigger: Trigger, allowed: bool) -> None:
    """Before it is switched on: that is what a test is for."""
    refused = refusal(
        a_delivery(trigger=trigger), (a_token(), a_callback(enabled=False)), NOW, breaker_open=False
    )

    assert (refused is None) == allowed


def test_not_even_by_hand_while_the_token_is_suspended() -> None:
    """The switch of a token is about everything that is its."""
    asked = a_delivery(trigger=Trigger.MANUAL, attempt_id="att_1")

    refused = refusal(asked, (a_token(enabled=False), a_callback()), NOW, breaker_open=False)

    assert refused is not None
    assert refused.state is None


@pytest.mark.parametrize("trigger", list(Trigger))
def test_nothing_is_sent_unsigned(trigger: Trigger) -> None:
    """A token whose signing secrets could not be read has none in the directory."""
    delivery = a_delivery(trigger=trigger)
    unreadable = replace(a_token(), signing_keys=())

    assert refusal(delivery, (unreadable, a_callback()), NOW, breaker_open=False) == given_back(
        delivery
    )


def test_a_good_answer_ends_it() -> None:
    """With the attempt, and the failures that were."""
    attempt = an_attempt()
    settled = after(a_delivery(failures=1), attempt, SCHEDULE, 0.0)

    assert (settled.state, settled.due_in_s, settled.failures, settled.attempt) == (
        DeliveryState.DELIVERED,
        None,
        1,
        attempt,
    )


@pytest.mark.parametrize(("failures", "due_in_s"), [(0, 5.0), (1, 300.0)])
def test_a_failure_is_tried_again_as_scheduled(failures: int, due_in_s: float) -> None:
    """Counted before: the first failure is followed by the first delay."""
    settled = after(a_delivery(failures=failures), an_attempt(Outcome.HTTP_5XX, 500), SCHEDULE, 0.0)

    assert (settled.state, settled.due_in_s, settled.failures) == (
        DeliveryState.PENDING,
        due_in_s,
        failures + 1,
    )


def test_the_last_failure_exhausts_it() -> None:
    """With the number of attempts in words."""
    settled = after(a_delivery(failures=2), an_attempt(Outcome.TIMEOUT, None), SCHEDULE, 0.0)

    assert (settled.state, settled.reason, settled.due_in_s, settled.failures) == (
        DeliveryState.EXHAUSTED,
        "3 attempts failed",
        None,
        3,
    )


def test_a_test_that_fails_is_not_repeated() -> None:
    """A person is looking at it right now."""
    asked = a_delivery(trigger=Trigger.TEST, attempt_id="att_1")

    settled = after(asked, an_attempt(Outcome.DNS, None), SCHEDULE, 0.0)

    assert (settled.state, settled.reason, settled.due_in_s) == (
        DeliveryState.EXHAUSTED,
        "the test failed",
        None,
    )


def test_an_attempt_asked_for_that_fails_changes_nothing_but_is_recorded() -> None:
    """The automatic ones go on as they were."""
    attempt = an_attempt(Outcome.HTTP_4XX, 404)

    settled = after(
        a_delivery(trigger=Trigger.MANUAL, attempt_id="att_1", failures=1), attempt, SCHEDULE, 0.0
    )

    assert (settled.state, settled.due_in_s, settled.attempt) == (None, None, attempt)


def test_an_attempt_asked_for_that_succeeds_delivers() -> None:
    """The receiver has it; nothing is left to be done."""
    settled = after(
        a_delivery(trigger=Trigger.MANUAL, attempt_id="att_1"), an_attempt(), SCHEDULE, 0.0
    )

    assert settled.state is DeliveryState.DELIVERED


def test_what_is_given_back_because_of_its_callback_rests_before_it_is_taken_again() -> None:
    """Taken at once it would wait here again; an attempt that was asked for has no row to move."""
    assert given_back(a_delivery(), 1.0).due_in_s == 1.0
    assert given_back(a_delivery()).due_in_s == 0.0
    assert given_back(a_delivery(attempt_id="att_1"), 1.0).due_in_s is None


@pytest.mark.parametrize("trigger", list(Trigger))
def test_while_a_breaker_is_open_only_probes_and_people_may_try(trigger: Trigger) -> None:
    """All others wait as rows, with their schedule as it was."""
    delivery = a_delivery(trigger=trigger, failures=2)

    refused = refusal(delivery, (a_token(), a_callback()), NOW, breaker_open=True)

    assert refused == (
        None if trigger in {Trigger.PROBE, Trigger.MANUAL, Trigger.TEST} else given_back(delivery)
    )


@pytest.mark.parametrize(
    ("delivery", "breaker_open", "reason"),
    [
        (a_delivery(), True, "breaker"),
        (a_delivery(), False, "held"),
        (a_delivery(lease=1), True, None),
        (a_delivery(trigger=Trigger.MANUAL, attempt_id="att_1"), False, None),
    ],
    ids=["breaker", "held", "a row", "by hand"],
)
def test_a_first_attempt_that_is_put_off_is_counted_with_the_reason(
    delivery: Delivery, breaker_open: bool, reason: str | None
) -> None:
    """Once: a row that goes round is not put off again."""
    assert deferral(given_back(delivery), breaker_open=breaker_open) == reason


def test_what_is_cancelled_is_not_put_off() -> None:
    """It will never be made."""
    refused = refusal(a_delivery(), None, NOW, breaker_open=False)

    assert refused is not None
    assert deferral(refused, breaker_open=False) is None


@pytest.mark.parametrize(("retry_after_s", "due_in_s"), [(None, 0.0), (90.0, 90.0)])
def test_a_probe_that_fails_burns_nothing_of_the_schedule(
    retry_after_s: float | None, due_in_s: float
) -> None:
    """It waits on as it did, but for as long as its receiver put it off."""
    attempt = msgspec.structs.replace(
        an_attempt(Outcome.HTTP_5XX, 500), retry_after_s=retry_after_s
    )

    settled = after(a_delivery(trigger=Trigger.PROBE, failures=2), attempt, SCHEDULE, 0.0)

    assert (settled.state, settled.failures, settled.due_in_s) == (
        DeliveryState.PENDING,
        2,
        due_in_s,
    )


@pytest.mark.parametrize("failures", [0, 2])
def test_what_was_gone_stays_open_whatever_its_schedule_says(failures: int) -> None:
    """Its callback is disabled: it is held, and a person decides."""
    settled = after(a_delivery(failures=failures), an_attempt(Outcome.GONE, 410), SCHEDULE, 0.0)

    assert settled.state is DeliveryState.PENDING
    assert settled.due_in_s is not None


def throttled(retry_after_s: float | None = None, age_days: float = 0.0) -> Attempt:
    """The settlement of a delivery that counts its age from 2,000."""
    attempt = an_attempt(Outcome.THROTTLED, 429)
    started_at = UnixMs(2_000 + round(age_days * 86_400_000))
    return msgspec.structs.replace(
        attempt, throttled=True, retry_after_s=retry_after_s, started_at=started_at
    )


@pytest.mark.parametrize(
    ("number", "due_in_s"), [(KEEPS_POSITION, 0.0), (KEEPS_POSITION + 1, 90.0)]
)
def test_what_is_throttled_again_and_again_goes_to_the_end_of_the_line(
    number: int, due_in_s: float
) -> None:
    """One that is refused for itself would keep all others back: it would be the first after each
    pause.
    """
    settled = after(a_delivery(number=number), throttled(90.0), SCHEDULE, 0.0)

    assert (settled.state, settled.due_in_s, settled.failures) == (
        DeliveryState.PENDING,
        due_in_s,
        0,
    )


@pytest.mark.parametrize(
    ("times", "age_days", "state"),
    [
        (MAX_THROTTLED, 9.0, DeliveryState.PENDING),
        (MAX_THROTTLED + 1, 1.9, DeliveryState.PENDING),
        (MAX_THROTTLED + 1, 2.0, DeliveryState.EXHAUSTED),
    ],
    ids=["seldom", "young", "both"],
)  # fmt: skip
def test_what_is_refused_for_itself_ends_too(
    times: int, age_days: float, state: DeliveryState
) -> None:
    """Its callback takes others, so that nothing else ends it."""
    settled = after(a_delivery(number=times), throttled(age_days=age_days), SCHEDULE, 0.0)

    assert settled.state is state
    assert settled.reason == (
        "its receiver deferred it 21 times in 2 days" if state is DeliveryState.EXHAUSTED else None
    )


@pytest.mark.parametrize(
    ("trigger", "state", "reason"),
    [(Trigger.TEST, DeliveryState.EXHAUSTED, "the test failed"), (Trigger.MANUAL, None, None)],
)
def test_who_asked_for_an_attempt_that_is_throttled_asks_again(
    trigger: Trigger, state: DeliveryState | None, reason: str | None
) -> None:
    """It is recorded, and that is all."""
    settled = after(a_delivery(trigger=trigger, attempt_id="att_1"), throttled(1.0), SCHEDULE, 0.0)

    assert (settled.state, settled.reason, settled.throttled) == (state, reason, False)


@pytest.mark.parametrize("trigger", list(Trigger))
def test_nothing_automatic_starts_while_a_callback_is_left_alone(trigger: Trigger) -> None:
    """Probes of a failing one have their own time."""
    delivery = a_delivery(
        trigger=trigger, attempt_id="att_1" if trigger in {Trigger.MANUAL, Trigger.TEST} else None
    )
    refused = refusal(delivery, (a_token(), a_callback()), NOW, breaker_open=False, throttled=True)

    if trigger in {Trigger.PROBE, Trigger.MANUAL, Trigger.TEST}:
        assert refused is None
    else:
        assert refused == msgspec.structs.replace(given_back(delivery), throttled=True)
        assert deferral(refused, breaker_open=False, throttled=True) == "throttled"
