"""The state of a delivery in sentences: what it waits for and until when, or how it ended and why.

The first sentence says the state; the others, if any, say what led to it and what may be done.
"""

import re
from collections.abc import Callable

from dashboard.explaining.attempts import attempt_sentence
from dashboard.explaining.reader import Reader, at, nth
from schemas.deliveries.cancel_reason import CancelReason
from schemas.deliveries.deliveries import Attempt, DeliveryState, Outcome, Trigger
from schemas.listings import DeliveryDetail, ListedDelivery
from schemas.times import UnixMs
from schemas.tokens.tokens import CallbackState, OnResume
from store.deliveries.waiting import CallbackFacts, Waiting


def explain(to: Reader, detail: DeliveryDetail, waiting: Waiting) -> list[str]:
    """Return a delivery's state in sentences."""
    delivery, attempts = detail.delivery, detail.attempts
    said = {
        DeliveryState.PENDING: lambda: _pending(to, detail, waiting),
        DeliveryState.HELD: lambda: _held(to, waiting.callback),
        DeliveryState.DELIVERED: lambda: _delivered(to, attempts),
        DeliveryState.EXHAUSTED: lambda: _exhausted(to, delivery),
        DeliveryState.SUPERSEDED: lambda: _superseded(to),
        DeliveryState.CANCELLED: lambda: _cancelled(to, delivery.reason),
    }[delivery.state]()
    if attempts and delivery.state is not DeliveryState.DELIVERED:
        said.append(attempt_sentence(to, attempts[-1]))
    if Trigger.MANUAL in waiting.requested:
        said.append(to.say("One more attempt was asked for by hand, and has not ended yet."))
    return said


def _pending(to: Reader, detail: DeliveryDetail, waiting: Waiting) -> list[str]:
    say, number = to.say, nth(to, len(detail.attempts) + 1)
    if not waiting.is_recorded:
        since = at(to, detail.delivery.created_at)
        return [say("Its first attempt is under way, or about to start, since %(at)s.", at=since)]
    if Trigger.TEST in waiting.requested or waiting.due_at is None:
        return [say("Its attempt is under way, or about to start.")]
    if waiting.awaits_status:
        return [
            say("Waits for another status of the same message: they are sent one after the other.")
        ]
    if waiting.is_leased:
        return [_leased(to, number, waiting.due_at)]
    if waiting.callback and waiting.callback.state is CallbackState.FAILING:
        return _behind_breaker(to, waiting.callback)
    said = [_scheduled(to, number, detail.delivery, waiting.due_at)]
    if waiting.callback and waiting.callback.paused_until:
        until = at(to, waiting.callback.paused_until)
        said.append(say("Its receiver asked for nothing before %(at)s.", at=until))
    if waiting.is_recovery:
        said.append(say("It is being sent again by a recovery."))
    return said


def _leased(to: Reader, number: str, until: UnixMs) -> str:
    if until > to.now:
        return to.say("Its %(nth)s attempt is under way, or about to start.", nth=number)
    return to.say(
        "Nothing was heard of its %(nth)s attempt since %(at)s: another one follows.",
        nth=number,
        at=at(to, until),
    )


def _scheduled(to: Reader, number: str, delivery: ListedDelivery, due_at: UnixMs) -> str:
    when = delivery.next_attempt_at or due_at
    if when > to.now:
        return to.say(
            "Waits for its %(nth)s attempt at %(at)s, %(in_time)s.",
            nth=number,
            at=at(to, when),
            in_time=to.language.ago(when, to.now),
        )
    return to.say(
        "Its %(nth)s attempt is due since %(at)s, and starts as soon as it is its turn.",
        nth=number,
        at=at(to, when),
    )


def _behind_breaker(to: Reader, callback: CallbackFacts) -> list[str]:
    said = [to.say("Waits until its callback works again.")]
    if callback.failing_since:
        said[0] = to.say(
            "Waits until its callback works again: no attempt has succeeded since %(at)s.",
            at=at(to, callback.failing_since),
        )
    if callback.probe_at:
        said.append(
            to.say(
                "One delivery at a time tries it, the next at %(at)s, %(in_time)s.",
                at=at(to, callback.probe_at),
                in_time=to.language.ago(callback.probe_at, to.now),
            )
        )
    return said


def _held(to: Reader, callback: CallbackFacts | None) -> list[str]:
    say = to.say
    if callback is None:
        return [say("Held.")]
    if callback.state is CallbackState.OFF:
        return [say("Held: its callback is switched off."), _after_return(to, callback)]
    if callback.state is CallbackState.DISABLED:
        return [_disabled(to, callback), _after_return(to, callback)]
    if not callback.token_enabled:
        return [say("Held: its token is suspended."), _after_return(to, callback)]
    return [
        say("Held: it is from before its callback came back, and such deliveries are kept."),
        say("It goes out when it is sent again."),
    ]


def _disabled(to: Reader, callback: CallbackFacts) -> str:
    if callback.disabled_at is None:
        return to.say("Held: Ringback switched its callback off.")
    return to.say(
        "Held: Ringback switched its callback off at %(at)s, because %(reason)s.",
        at=at(to, callback.disabled_at),
        reason=disabled_reason(to, callback.disabled_reason),
    )


def disabled_reason(to: Reader, reason: str | None) -> str:
    """Return why Ringback disabled a callback, as half of a sentence."""
    if reason is None:
        return to.say("it kept failing")
    if "410" in reason:
        return to.say("its receiver answered 410: it wants no more events")
    if match := re.fullmatch(r"nothing succeeded for (\S+)", reason):
        return to.say("nothing succeeded for %(span)s", span=match[1])
    return reason


def _after_return(to: Reader, callback: CallbackFacts) -> str:
    say = to.say
    return {
        OnResume.RELEASE: say("When that ends, it is sent."),
        OnResume.KEEP: say("When that ends, it stays held until it is sent again."),
        OnResume.DISCARD: say("When that ends, it is cancelled."),
    }[callback.on_resume]


def _delivered(to: Reader, attempts: list[Attempt]) -> list[str]:
    last = next((one for one in attempts if one.outcome is Outcome.DELIVERED), None)
    if last is None:
        return [to.say("Delivered.")]
    return [
        to.say(
            "Delivered at %(at)s by its %(nth)s attempt: the receiver answered %(status)s within"
            " %(ms)s ms.",
            at=at(to, UnixMs(last.started_at + last.duration_ms)),
            nth=nth(to, last.number),
            status=last.status_code,
            ms=to.language.number(last.duration_ms),
        )
    ]


def _exhausted(to: Reader, delivery: ListedDelivery) -> list[str]:
    say = to.say
    if delivery.is_test:
        return [say("The test failed: tests are tried once.")]
    return [
        say("Given up: %(reason)s.", reason=given_up_reason(to, delivery.reason)),
        say("It can be sent again, with the whole schedule."),
    ]


def given_up_reason(to: Reader, reason: str | None) -> str:
    """Return why a delivery was given up, as half of a sentence. What is not known stays as it is
    stored, in English.
    """
    reason = reason or ""
    for pattern, text in _given_up(to):
        if match := re.fullmatch(pattern, reason):
            return text(*match.groups())
    return reason or to.say("no attempt succeeded")


def _given_up(to: Reader) -> list[tuple[str, Callable[..., str]]]:
    say, plural = to.say, to.language.plural
    return [
        (
            r"(\d+) attempts failed",
            lambda n: plural("its attempt failed", "%(number)s attempts failed", int(n)),
        ),
        (
            r"its receiver deferred it (\d+) times in (\d+) days",
            lambda n, days: plural(
                "its receiver asked to wait %(number)s time in %(span)s",
                "its receiver asked to wait %(number)s times in %(span)s",
                int(n),
                span=to.language.span(int(days) * 86_400),
            ),
        ),
        (
            r"the callback kept failing for (\S+)",
            lambda span: say("its callback kept failing for %(span)s", span=span),
        ),
        (
            r"its receiver took nothing for (\S+), and asked to wait each time",
            lambda span: say(
                "its receiver took nothing for %(span)s, only asked to wait", span=span
            ),
        ),
        (
            r"poison: taken (\d+) times without an outcome",
            lambda n: plural(
                "%(number)s attempt ended without a result",
                "%(number)s attempts ended without a result",
                int(n),
            ),
        ),
    ]


def _superseded(to: Reader) -> list[str]:
    return [
        to.say(
            "Overtaken: a newer status of the same message was sent, and an older one is never sent"
            " after it."
        )
    ]


def _cancelled(to: Reader, reason: str | None) -> list[str]:
    say = to.say
    known: dict[str | None, str] = {
        CancelReason.CALLBACK_DELETED: say("Cancelled: its callback was deleted."),
        CancelReason.TOKEN_REVOKED: say("Cancelled: its token was revoked."),
        CancelReason.TOKEN_EXPIRED: say("Cancelled: its token has expired."),
        CancelReason.CHANNEL_REMOVED: say("Cancelled: its token may no longer see this channel."),
        CancelReason.DISCARDED: say(
            "Cancelled: it was held, and held deliveries of this callback are discarded."
        ),
        CancelReason.NO_DISPATCHER: say("Cancelled: nothing was running that could send the test."),
    }
    return [known.get(reason, reason or say("Cancelled."))]
