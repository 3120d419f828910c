"""From the values of schemas to the API's response models: times as text, secrets left out. Called
by the views and the command line.
"""

import msgspec

from api.delivery_serializers import attempt_answer
from api.list_models import ChangePage, ChannelPage, DeliveryPage, EventPage, RequestPage, TokenPage
from api.response_models import (
    ChannelAnswer,
    DeliveryAnswer,
    DeliveryDetailAnswer,
    EventAnswer,
    PulledEvents,
    RecoveryAnswer,
    RequestAnswer,
    StatsAnswer,
)
from api.token_models import (
    CallbackAnswer,
    ChangeAnswer,
    IntrospectionAnswer,
    NewTokenAnswer,
    TokenAnswer,
    VisibilityAnswer,
)
from schemas.deliveries.deliveries import DeliveryState
from schemas.deliveries.recoveries import Recovery
from schemas.events.stored_bodies import data_of
from schemas.events.types import EventType
from schemas.ids import RequestId, is_test_event
from schemas.listings import (
    DeliveryDetail,
    DeliveryStats,
    ListedChannel,
    ListedDelivery,
    ListedEvent,
    Page,
    Pulled,
)
from schemas.request_log import LoggedRequest
from schemas.times import UnixMs, to_rfc3339, to_rfc3339_or_none
from schemas.tokens.audit_log import Change
from schemas.tokens.tokens import Callback, Token
from store.tokens.tokens import NewSecrets


def token_answer(token: Token, now: UnixMs) -> TokenAnswer:
    """Return a token as the API shows it, without secrets."""
    return TokenAnswer(
        id=token.id,
        name=token.name,
        state=token.state(now),
        token_hint=token.hint,
        activates_at=to_rfc3339(token.activates_at),
        expires_at=to_rfc3339_or_none(token.expires_at),
        enabled=token.enabled,
        permissions=sorted(token.permissions),
        visibility=VisibilityAnswer(None if token.channels is None else sorted(token.channels)),
        contact=token.contact,
        callbacks={
            event_type: callback_answer(callback, now)
            if (callback := token.callbacks.get(event_type))
            else None
            for event_type in EventType
        },
        created_at=to_rfc3339(token.created_at),
        last_used_at=to_rfc3339_or_none(token.last_used_at),
    )


def new_token_answer(created: NewSecrets, now: UnixMs) -> NewTokenAnswer:
    """Return a token with the secrets that are shown only once."""
    signing_secret = msgspec.UNSET if created.signing_secret is None else created.signing_secret
    fields = msgspec.structs.asdict(token_answer(created.token, now))
    return NewTokenAnswer(**fields, token=created.secret, signing_secret=signing_secret)


def introspection_answer(
    token: Token, ends_at: UnixMs | None, request_id: RequestId, *, allowed: bool
) -> IntrospectionAnswer:
    """Return what an introspection of an active token reveals. Times are in whole seconds, rounded
    down.
    """
    return IntrospectionAnswer(
        active=True,
        scope=" ".join(sorted(token.permissions)),
        client_id=token.id,
        sub=token.id,
        username=token.name,
        channels=None if token.channels is None else sorted(token.channels),
        iat=token.created_at // 1000,
        nbf=token.activates_at // 1000,
        exp=msgspec.UNSET if ends_at is None else ends_at // 1000,
        allowed=allowed,
        request_id=request_id,
    )


def callback_answer(callback: Callback, now: UnixMs) -> CallbackAnswer:
    """Return a callback without the values of its headers."""
    health = callback.health
    return CallbackAnswer(
        url=callback.url,
        enabled=callback.enabled,
        state=callback.state,
        failing_since=to_rfc3339_or_none(health.failing_since),
        throttled_until=to_rfc3339_or_none(health.paused_until(now)),
        disabled_at=to_rfc3339_or_none(health.disabled_at),
        disabled_reason=health.disabled_reason,
        held=callback.on_resume,
        header_names=sorted(callback.headers),
    )


def delivery_answer(delivery: ListedDelivery) -> DeliveryAnswer:
    """Return a delivery without its attempts."""
    return DeliveryAnswer(
        id=delivery.id,
        event_id=delivery.event_id,
        token_id=delivery.token_id,
        callback=delivery.url,
        type=delivery.type,
        state=delivery.state,
        reason=delivery.reason,
        next_attempt_at=to_rfc3339_or_none(delivery.next_attempt_at),
        created_at=to_rfc3339(delivery.created_at),
        status_code=delivery.status_code,
        outcome=delivery.outcome,
        test=delivery.is_test,
    )


def delivery_detail_answer(detail: DeliveryDetail) -> DeliveryDetailAnswer:
    """Return a delivery with its attempts."""
    fields = msgspec.structs.asdict(delivery_answer(detail.delivery))
    return DeliveryDetailAnswer(
        **fields, attempts=[attempt_answer(attempt) for attempt in detail.attempts]
    )


def event_answer(event: ListedEvent) -> EventAnswer:
    """Return an event with its deliveries."""
    return EventAnswer(
        id=event.id,
        type=event.type,
        timestamp=to_rfc3339(event.timestamp),
        data=msgspec.Raw(data_of(event.body)),
        accepted_at=to_rfc3339(event.accepted_at),
        directly=event.directly,
        conflicts=event.conflicts,
        test=is_test_event(event.id),
        deliveries=[delivery_answer(delivery) for delivery in event.deliveries],
        deliveries_total=event.deliveries_total,
    )


def pulled_events(pulled: Pulled) -> PulledEvents:
    """Return a page of events in the format of webhook bodies."""
    return PulledEvents(
        [msgspec.Raw(body) for body in pulled.bodies], pulled.next_cursor, pulled.has_more
    )


def stats_answer(stats: DeliveryStats) -> StatsAnswer:
    """Return the counts by type and state, zeros included."""
    by_type = {
        event_type: {state: stats.counts.get((event_type, state), 0) for state in DeliveryState}
        for event_type in EventType
    }
    delivered, exhausted = (
        sum(counts[state] for counts in by_type.values())
        for state in (DeliveryState.DELIVERED, DeliveryState.EXHAUSTED)
    )
    ended = delivered + exhausted
    return StatsAnswer(
        since=to_rfc3339(stats.since),
        until=to_rfc3339(stats.until),
        complete=stats.is_complete,
        total=sum(stats.counts.values()),
        success_share=round(delivered / ended, 6) if ended else None,
        deliveries=by_type,
    )


def recovery_answer(recovery: Recovery) -> RecoveryAnswer:
    """Return the progress of a recovery."""
    return RecoveryAnswer(
        id=recovery.id,
        total=recovery.total,
        done=recovery.done,
        skipped=recovery.skipped,
        state=recovery.state,
        created_at=to_rfc3339(recovery.created_at),
        trouble=recovery.trouble,
    )


def change_answer(change: Change) -> ChangeAnswer:
    """Return a row of a token's audit log."""
    return ChangeAnswer(
        id=change.id,
        at=to_rfc3339(change.at),
        action=change.action,
        type=change.type,
        by=change.actor.by,
        by_name=change.by_name,
        address=change.actor.address,
        details=dict(change.details),
    )


def request_answer(request: LoggedRequest) -> RequestAnswer:
    """Return a row of the request log."""
    return RequestAnswer(
        id=request.id,
        at=to_rfc3339(request.at),
        request_id=request.request_id,
        method=request.method,
        path=request.path,
        status=request.status,
        duration_ms=request.duration_ms,
        ip=request.address,
        user_agent=request.user_agent,
        permission=request.permission,
        allowed=request.allowed,
        reason=request.reason,
        count=request.count,
    )


def token_page(page: Page[Token], now: UnixMs) -> TokenPage:
    """Return a page of tokens."""
    return TokenPage([token_answer(token, now) for token in page.rows], page.next_cursor)


def event_page(page: Page[ListedEvent]) -> EventPage:
    """Return a page of events."""
    return EventPage(
        [event_answer(event) for event in page.rows],
        page.next_cursor,
        to_rfc3339_or_none(page.looked_until),
    )


def delivery_page(page: Page[ListedDelivery]) -> DeliveryPage:
    """Return a page of deliveries."""
    return DeliveryPage(
        [delivery_answer(delivery) for delivery in page.rows],
        page.next_cursor,
        to_rfc3339_or_none(page.looked_until),
    )


def change_page(page: Page[Change]) -> ChangePage:
    """Return a page of a token's audit log."""
    return ChangePage([change_answer(change) for change in page.rows], page.next_cursor)


def request_page(page: Page[LoggedRequest]) -> RequestPage:
    """Return a page of the request log."""
    return RequestPage(
        [request_answer(request) for request in page.rows],
        page.next_cursor,
        to_rfc3339_or_none(page.looked_until),
    )


def channel_page(page: Page[ListedChannel]) -> ChannelPage:
    """Return a page of channels."""
    return ChannelPage([_channel_answer(channel) for channel in page.rows], page.next_cursor)


def _channel_answer(channel: ListedChannel) -> ChannelAnswer:
    return ChannelAnswer(
        channel.id,
        channel.kind,
        channel.address,
        channel.provider,
        to_rfc3339(channel.last_seen_at),
    )
