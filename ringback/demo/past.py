"""A week of traffic that was never sent: what happened, how receivers would have answered, and what
became of each delivery by the rules of the dispatcher.

It is written by the store's own functions, so pages, lists and exports see nothing unusual. Called
by `ringback.demo.running`.
"""

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from random import Random

import msgspec

from consumers.pipeline.settled_figures import SettledFigures
from dispatcher.backoff import RetrySchedule
from dispatcher.breaker import GONE
from dispatcher.decision import after, withdrawn
from dispatcher.http.messages import HttpResponse
from dispatcher.verdict import judge
from ringback.demo.made_up import (
    BOOKING,
    CHATBOT,
    COURIER,
    DAY_S,
    HELPDESK,
    LOYALTY,
    WAREHOUSE,
    Platform,
)
from ringback.parts import Parts
from schemas.deliveries.callback_health import HealthFinding, HealthReport
from schemas.deliveries.cancel_reason import CancelReason
from schemas.deliveries.deliveries import Attempt, Delivery, DeliveryState, Outcome, Trigger
from schemas.deliveries.phases import Phases
from schemas.deliveries.settlement import Settlement
from schemas.events.events import parse_event
from schemas.events.status_order import OVERTAKEN
from schemas.events.types import EventType
from schemas.figures import HOUR_MS, MINUTE_MS, Gauges
from schemas.ids import TokenId, new_attempt_id
from schemas.times import UnixMs
from store.deliveries.settlement import settle
from store.events.claims import Claim, claim
from store.figures.samples import add_sample
from store.tokens import callback_health
from store.tokens.tokens import Tokens

_GONE_FOR_S = 2 * DAY_S
"""How long ago the receiver that wants no more events said so."""

_DEAD_FOR_S = 40 * 60.0
"""How long ago the receiver was last reached that can no longer be reached."""

_OFF_FOR_S = 5 * 3600.0
"""How long ago a person switched a callback off."""

_BREAKS_EVERY_S, _BROKEN_FOR_S = 7 * 3600.0, 1200.0  # the receiver that breaks now and then
_EVENTS = 1400
"""Events of the week. More: the first start takes longer. Fewer: charts look empty."""

_BATCH = 100
_SCHEDULE = RetrySchedule(tuple(dt.timedelta(seconds=span) for span in (5, 30, 120)))


def write_past(parts: Parts, tokens: Mapping[str, TokenId]) -> None:
    """Write a week of traffic for these tokens, by the names of their suppliers."""
    random, now = Random(7), parts.database.time()  # noqa: S311 - what is made up is no secret
    platform = Platform(random)
    moments = iter(_moments(random, now, _EVENTS))
    names = {token_id: name for name, token_id in tokens.items()}
    figures = SettledFigures(parts.database, parts.observer)
    while some := list(islice(moments, _BATCH)):
        claims = [_claim(parts, platform, at) for at in some]
        settlements = [
            settlement
            for one in claims
            for name, delivery in _deliveries(parts, one, names)
            for settlement in _became(random, name, delivery, now)
        ]
        figures.accept(
            Counter(
                (at - at % MINUTE_MS, one.event.type) for at, one in zip(some, claims, strict=True)
            )
        )
        with parts.database.write() as connection:
            claim(connection, claims, now)
        with parts.database.write() as connection:
            settle(connection, settlements, now)
            figures.write(connection, settlements, now)
        figures.committed(now)
    figures.flush()
    _sample(parts, random, now)
    _report_health(parts, tokens, now)


def _claim(parts: Parts, platform: Platform, at: UnixMs) -> Claim:
    event = parse_event(json.dumps(platform.next(at)).encode(), accepted=True)
    matches = parts.directory.match(event.type, event.facts.channel_id)
    ids = tuple(callback.id for token, callback in matches if token.enabled)
    return Claim(event, at, via_amqp=False, callback_ids=ids, body=event.webhook_body(at))


def _deliveries(
    parts: Parts, one: Claim, names: Mapping[TokenId, str]
) -> Iterator[tuple[str, Delivery]]:
    """Yield the deliveries of an event, each with the name of its supplier."""
    for callback_id in one.callback_ids:
        found = parts.directory.callback(callback_id)
        assert found is not None, "it matched"
        at = one.accepted_at
        yield (
            names[found[0].id],
            Delivery(
                event_id=one.event.id,
                callback_id=callback_id,
                token_id=found[0].id,
                type=one.event.type,
                conversation_id=one.event.facts.conversation_id,
                channel_id=one.event.facts.channel_id,
                body=one.body,
                accepted_at=at,
                created_at=at,
                queued_at=at,
            ),
        )


def _sample(parts: Parts, random: Random, now: UnixMs) -> None:
    """Write samples of what waited: a few deliveries now and then, more while receivers broke."""
    with parts.database.write() as connection:
        for at in _sampled(now):
            is_broken = (now - at) / 1000 % _BREAKS_EVERY_S < _BROKEN_FOR_S
            due = random.randrange(20, 60) if is_broken else max(0, random.randrange(-9, 4))
            oldest_ms = random.randrange(8_000, 90_000) if is_broken else due * 150
            add_sample(connection, at, Gauges(due, oldest_ms, 0, None))


def _sampled(now: UnixMs) -> Iterator[UnixMs]:
    """Yield the beginnings of minutes, as far apart as charts show them."""
    minute_at = now - now % MINUTE_MS
    yield from (UnixMs(minute_at - ago * MINUTE_MS) for ago in range(1, 6 * 60))
    five_ms = 5 * MINUTE_MS
    yield from (UnixMs(minute_at - minute_at % five_ms - ago * five_ms) for ago in range(72, 576))
    hour_at = now - now % HOUR_MS
    yield from (UnixMs(hour_at - ago * HOUR_MS) for ago in range(49, 7 * 24))


def _report_health(parts: Parts, tokens: Mapping[str, TokenId], now: UnixMs) -> None:
    """Report what the past attempts said about two callbacks."""
    known = Tokens(parts.database, parts.vault)
    dead = known.get(tokens[COURIER]).callbacks[EventType.MESSAGE_STATUS].id
    gone = known.get(tokens[BOOKING]).callbacks[EventType.CONVERSATION_CREATED].id
    reports = (
        (HealthReport(dead, 0, HealthFinding.FAILING, failing_for_s=_DEAD_FOR_S), now),
        (
            HealthReport(gone, 0, HealthFinding.USELESS, reason=GONE),
            UnixMs(now - round(_GONE_FOR_S * 1000)),
        ),
    )
    for report, at in reports:
        with parts.database.write() as connection:
            callback_health.record(connection, [report], at)


def _moments(random: Random, now: UnixMs, count: int) -> list[UnixMs]:
    """Return when events were accepted in the last week, sorted: fewer at night, more of late."""
    spans_s = (7 * DAY_S, DAY_S, DAY_S, 3600.0)
    found: list[UnixMs] = []
    while len(found) < count:
        ago_s = random.random() * spans_s[len(found) % len(spans_s)] + 5
        at = UnixMs(now - round(ago_s * 1000))
        hour = at // 3_600_000 % 24
        if 6 <= hour < 20 or random.random() < 0.4:
            found.append(at)
    return sorted(found)


def _became(random: Random, supplier: str, delivery: Delivery, now: UnixMs) -> list[Settlement]:
    """Return what was settled of a delivery before now, in its order."""
    age_s = (now - delivery.created_at) / 1000
    is_status = delivery.type is EventType.MESSAGE_STATUS
    if supplier == WAREHOUSE and is_status and random.random() < 0.06:
        return [Settlement(delivery, DeliveryState.SUPERSEDED, reason=OVERTAKEN)]
    if supplier == LOYALTY and age_s > _OFF_FOR_S and random.random() < 0.04:
        return [withdrawn(delivery, CancelReason.CHANNEL_REMOVED)]
    if _waits(random, supplier, age_s):
        return [Settlement(delivery, DeliveryState.PENDING, due_in_s=DAY_S)]
    answers = _answers(random, supplier, age_s)
    return list(_lived(delivery, answers, now))


def _waits(random: Random, supplier: str, age_s: float) -> bool:
    """Return whether a delivery was never attempted: its callback is off or disabled, or only tried
    now and then.
    """
    return (
        (supplier == LOYALTY and age_s < _OFF_FOR_S)
        or (supplier == BOOKING and age_s < _GONE_FOR_S)
        or (supplier == COURIER and age_s < _DEAD_FOR_S and random.random() < 0.8)
    )


def _answers(random: Random, supplier: str, age_s: float) -> Sequence[HttpResponse]:
    """Return how the receiver answered, attempt after attempt; the last answer goes on."""
    if supplier == COURIER and age_s < _DEAD_FOR_S:
        return [_unreachable()]
    if supplier == BOOKING and age_s < _GONE_FOR_S + DAY_S / 12:
        return [_answer(random, 410)]
    if supplier == CHATBOT and random.random() < 0.05:
        return [_answer(random, 422, b'{"error":"unknown content type"}')]
    if supplier == HELPDESK and age_s % _BREAKS_EVERY_S < _BROKEN_FOR_S:
        broken = _answer(random, 503, b"upstream connect error")
        return [broken] if random.random() < 0.3 else [broken, _answer(random, 200)]
    return [_answer(random, 200, slow=6 if supplier == WAREHOUSE else 1)]


def _lived(
    delivery: Delivery, answers: Sequence[HttpResponse], now: UnixMs
) -> Iterator[Settlement]:
    """Yield the settlements of a delivery that is answered so, by the rules of the dispatcher."""
    at = UnixMs(delivery.created_at + 4)
    for number in range(1, len(_SCHEDULE.delays) + 2):
        settlement = after(delivery, _attempt(delivery, answers, number, at), _SCHEDULE, 0.0)
        if settlement.due_in_s is None:
            yield settlement
            return
        next_at = UnixMs(at + round(settlement.due_in_s * 1000))
        left_s = max(0.0, (next_at - now) / 1000)
        yield msgspec.structs.replace(settlement, due_in_s=left_s)
        if next_at >= now:
            return
        at = next_at
        delivery = msgspec.structs.replace(
            delivery, failures=settlement.failures, number=number + 1, trigger=Trigger.RETRY
        )


def _attempt(
    delivery: Delivery, answers: Sequence[HttpResponse], number: int, at: UnixMs
) -> Attempt:
    response = answers[min(number, len(answers)) - 1]
    verdict = judge(response, at)
    return Attempt(
        id=new_attempt_id(),
        number=number,
        trigger=delivery.trigger,
        started_at=at,
        duration_ms=round(response.duration_s * 1000),
        outcome=verdict.outcome,
        status_code=response.status_code,
        error=verdict.error,
        request_headers={"webhook-id": delivery.event_id, "content-type": "application/json"},
        response_body=response.body,
        response_headers=response.headers,
        address=response.address,
        phases=response.phases,
    )


def _answer(random: Random, status: int, body: bytes = b"", slow: float = 1) -> HttpResponse:
    wait_ms = round(slow * random.lognormvariate(3.6, 0.7))
    headers = {"server": "nginx", "content-type": "application/json"}
    return HttpResponse(
        status, None, body, None, None, (wait_ms + 3) / 1000,
        headers=headers, address="127.0.0.1:443", phases=Phases(1, 1, None, wait_ms),
    )  # fmt: skip


def _unreachable() -> HttpResponse:
    error = "the connection was refused: nothing listens there"
    return HttpResponse(
        None, None, b"", Outcome.CONNECT, error, 0.002,
        address="127.0.0.1:443", phases=Phases(0, 1, None, None),
    )  # fmt: skip
