"""The life of a delivery as a line: what happened when, and what comes next. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from dashboard import labels
from dashboard.explaining.reader import Reader
from dashboard.explaining.sentence import disabled_reason
from schemas.deliveries.deliveries import SETTLED, Attempt, DeliveryState, Outcome
from schemas.listings import DeliveryDetail
from schemas.times import UnixMs
from store.deliveries.waiting import CallbackFacts, Waiting

MOST = 40
"""Moments that are shown; of more, the first ones and the latest."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened, or will."""

    at: UnixMs | None
    """When; None: that is not recorded, but it came after what is before."""
    text: str
    colour: str = ""
    """The class of its mark."""
    note: str | None = None
    """What more there is to say."""
    attempt: str | None = None
    """The id of the attempt that it is about."""
    is_to_come: bool = False


def life(
    to: Reader, detail: DeliveryDetail, waiting: Waiting, accepted_at: UnixMs | None
) -> list[Moment]:
    """Return the life of a delivery, oldest first."""
    dated = list(_begun(to, detail, accepted_at))
    dated += [_attempt(to, attempt) for attempt in detail.attempts]
    if waiting.callback:
        dated += _of_callback(to, waiting.callback, detail.delivery.created_at)
    dated.sort(key=lambda moment: moment.at or 0)
    if len(dated) > MOST:
        left_out = len(dated) - MOST
        note = to.language.plural("… %(number)s more …", "… %(number)s more …", left_out)
        dated = [*dated[:2], Moment(None, note), *dated[left_out + 2 :]]
    return [*dated, *_end(to, detail), *_to_come(to, detail, waiting)]


def _begun(to: Reader, detail: DeliveryDetail, accepted_at: UnixMs | None) -> Iterator[Moment]:
    created_at = detail.delivery.created_at
    if accepted_at is not None and accepted_at < created_at:
        yield Moment(accepted_at, to.say("The event was accepted"))
    yield Moment(created_at, to.say("The delivery was made"))


def _attempt(to: Reader, attempt: Attempt) -> Moment:
    words = labels.outcome(to, attempt.outcome)
    return Moment(
        attempt.started_at,
        labels.trigger(to, attempt.trigger),
        colour="good" if attempt.outcome is Outcome.DELIVERED else "bad",
        note=words if attempt.status_code is None else f"{attempt.status_code} · {words}",
        attempt=attempt.id,
    )


def _of_callback(to: Reader, callback: CallbackFacts, since: UnixMs) -> Iterator[Moment]:
    if callback.failing_since is not None and callback.failing_since > since:
        text = to.say("Its callback began to fail")
        yield Moment(callback.failing_since, text, colour="warn")
    if callback.disabled_at is not None and callback.disabled_at > since:
        text = to.say("Ringback switched its callback off")
        note = disabled_reason(to, callback.disabled_reason)
        yield Moment(callback.disabled_at, text, colour="warn", note=note)


def _end(to: Reader, detail: DeliveryDetail) -> Iterator[Moment]:
    state = detail.delivery.state
    if state in SETTLED or state is DeliveryState.HELD:
        name = labels.delivery_state(to, state)
        yield Moment(None, name, colour=labels.STATE_COLOURS[state])


def _to_come(to: Reader, detail: DeliveryDetail, waiting: Waiting) -> Iterator[Moment]:
    if detail.delivery.state is not DeliveryState.PENDING:
        return
    probe_at = waiting.callback.probe_at if waiting.callback else None
    if probe_at is not None:
        yield Moment(probe_at, to.say("One delivery tries its callback"), is_to_come=True)
    elif detail.delivery.next_attempt_at is not None:
        yield Moment(detail.delivery.next_attempt_at, to.say("Next attempt"), is_to_come=True)
    else:
        yield Moment(None, to.say("An attempt is under way"), is_to_come=True)
