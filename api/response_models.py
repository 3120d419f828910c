"""The bodies of the API's responses, apart from those about tokens (`token_models`).

Their fields are the JSON; their docstrings and types are part of the OpenAPI document.
`serializers` builds them.
"""

from typing import Annotated

import msgspec

from schemas.deliveries.deliveries import DeliveryState, Outcome, Trigger
from schemas.deliveries.recipients import Reception, WhyNot
from schemas.deliveries.recoveries import RecoveryState
from schemas.events.types import EventType
from schemas.ids import AttemptId, DeliveryId, EventId, RecoveryId, RequestId, TokenId
from schemas.json_schema import COMPONENTS, webhook_name
from schemas.tokens.permissions import Permission

_WEBHOOK_BODY = msgspec.Meta(
    extra_json_schema={
        "oneOf": [
            {"$ref": COMPONENTS.format(name=webhook_name(event_type))} for event_type in EventType
        ]
    }
)


class Accepted(msgspec.Struct):
    """The event is stored durably."""

    id: EventId
    status: str


class AcceptedBatch(msgspec.Struct):
    """Every event is stored durably. `ids` has the order of the request."""

    ids: list[EventId]


class PhasesAnswer(msgspec.Struct):
    """How long the phases of an attempt took, in milliseconds. null: there was no such phase. A
    phase that did not end counts until the end of the attempt.

    `dns`: the look-up of the host's name; 0 when its addresses were known. `connect`: the
    connection, and `tls` its TLS handshake. A connection that was kept open needs none of these.
    `wait`: from the beginning of the request until the first byte of the response.
    """

    dns: int | None
    connect: int | None
    tls: int | None
    wait: int | None


class AttemptAnswer(msgspec.Struct):
    """One HTTP request of a delivery.

    `error`: a description of what went wrong. For an attempt that delivered: what was wrong with
    the rest of the response.

    `response_headers`: the first 2 KiB of them, by name in lower case, with `***` for values that
    may be secrets, such as those of `set-cookie`; null without a response. `response_body`: the
    first KiB of it.

    `address`: the socket address that was connected to, or tried last, such as `203.0.113.7:443`
    or `[2001:db8::7]:443`; null: none.
    """

    id: AttemptId
    number: int
    trigger: Trigger
    started_at: str
    duration_ms: int
    status_code: int | None
    outcome: Outcome
    error: str | None
    request_headers: dict[str, str]
    response_headers: dict[str, str] | None
    response_body: str
    address: str | None
    phases_ms: PhasesAnswer


class DeliveryAnswer(msgspec.Struct):
    """The delivery of one event to one callback.

    `callback`: its URL, or null once it is deleted. `status_code` and `outcome` are those of the
    last attempt. `test`: this is a sample that was sent on request, which statistics leave out.
    """

    id: DeliveryId
    event_id: EventId
    token_id: TokenId
    callback: str | None
    type: EventType
    state: DeliveryState
    reason: str | None
    next_attempt_at: str | None
    created_at: str
    status_code: int | None
    outcome: Outcome | None
    test: bool


class DeliveryDetailAnswer(DeliveryAnswer):
    """A delivery with its attempts, oldest first."""

    attempts: list[AttemptAnswer]


class EventAnswer(msgspec.Struct):
    """An event as it was published, with its deliveries.

    `conflicts`: how often other content was published under the same id. `directly`: whether the
    event came through the broker, not through this API. `test`: this is a sample that was sent on
    request, which statistics leave out.

    `deliveries` holds at most 100. `deliveries_total`: how many there are at least;
    `GET /v1/deliveries?event=` lists all of them.
    """

    id: EventId
    type: EventType
    timestamp: str
    data: msgspec.Raw
    accepted_at: str
    directly: bool
    conflicts: int
    test: bool
    deliveries: list[DeliveryAnswer]
    deliveries_total: int


class RecipientAnswer(msgspec.Struct):
    """A callback of an event's type, and whether it got the event.

    `reason`: why it did not. `off`, `disabled`, `suspended` (its token) and `held`: the delivery is
    held. `exhausted`, `superseded`, `cancelled`: the state of the delivery. Without a delivery:
    `token` (it was not valid), `channel` (the token may not see it), `missing` (the callback, or
    the token's right to see the channel, came later: a recovery can send it). `detail`: the same in
    words.

    `note`: says when the reason was judged by how things are now. `callback`: its URL, or null once
    it is deleted.
    """

    token_id: TokenId
    token_name: str | None
    callback: str | None
    delivery_id: DeliveryId | None
    state: Reception
    reason: WhyNot | None
    detail: str | None
    note: str | None


class RecipientsAnswer(msgspec.Struct):
    """The recipients of an event: those with a delivery, then the others by the names of their
    tokens. `data` holds at most 200; `more`: how many others there are.
    """

    data: list[RecipientAnswer]
    more: int


class PulledEvents(msgspec.Struct):
    """Events in the format of webhook bodies, oldest first.

    `next_cursor` continues after them, at once or next week. `has_more`: whether to ask again at
    once; if not, there are no more at the moment. A page may be empty and have more after it: the
    events that were read are not visible to this token.
    """

    data: list[Annotated[msgspec.Raw, _WEBHOOK_BODY]]
    next_cursor: str
    has_more: bool


class StatsAnswer(msgspec.Struct):
    """The token's deliveries that were created from `since` to before `until`, by type and state.
    Tests are not counted.

    `complete`: whether the whole period was counted. If not, there were too many deliveries, and
    only the newest are counted: for the older ones ask again with this `since` as `until`.

    `success_share`: the delivered ones as a share of the delivered and the exhausted ones; null if
    there are none.
    """

    since: str
    until: str
    complete: bool
    total: int
    success_share: float | None
    deliveries: dict[EventType, dict[DeliveryState, int]]


class RetryAnswer(msgspec.Struct):
    """The attempt that will be made."""

    attempt_id: AttemptId


class RecoveryAnswer(msgspec.Struct):
    """The progress of a recovery, in deliveries. While it is `running`, all three counts may grow.

    `total`: the deliveries found so far; missing ones are added when they are found. `done`: those
    that were made due again. `skipped`: those that cannot be sent now.

    `trouble`: why the last step failed; it is retried in smaller steps, after other recoveries had
    their turn. null: it did not fail.
    """

    id: RecoveryId
    total: int
    done: int
    skipped: int
    state: RecoveryState
    created_at: str
    trouble: str | None


class RecoveryCount(msgspec.Struct):
    """How many deliveries a recovery would find now.

    `complete`: whether all were counted. If not, there were too many rows to read at once: the
    recovery may find more.
    """

    total: int
    complete: bool


class RequestAnswer(msgspec.Struct):
    """A request that was made with a token.

    `status` and `duration_ms` of a request to the chat platform's own API are null until they are
    reported. `permission`: what the request needed. `reason`: why it was not allowed, as a state
    of the token or the slug of a problem. `request_id`: the `X-Request-Id` of its response.

    `count`: how many requests this row stands for. Requests of an inactive token, or beyond a
    limit, share one row a second; repeatedly refused requests of an active token get ten rows in
    ten seconds. Requests beyond that are counted on the row before them.
    """

    id: RequestId
    at: str
    request_id: str
    method: str | None
    path: str | None
    status: int | None
    duration_ms: int | None
    ip: str | None
    user_agent: str | None
    permission: Permission | None
    allowed: bool
    reason: str | None
    count: int


class ReportedAnswer(msgspec.Struct):
    """How many reports were accepted. The request log shows them within a second."""

    accepted: int


class ChannelAnswer(msgspec.Struct):
    """A channel, as its latest event describes it."""

    id: str
    kind: str
    address: str | None
    provider: str | None
    last_seen_at: str


class HealthAnswer(msgspec.Struct, omit_defaults=True):
    """`status` is `alive` or `ready`. `degraded` names what is missing, by part, while events are
    still accepted.
    """

    status: str
    degraded: dict[str, str] = msgspec.field(default_factory=dict)
