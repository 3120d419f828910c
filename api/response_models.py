"""What the API answers, as structs: their fields are the JSON, their docstrings and types the
document. `showing` makes them.
"""

from typing import Annotated, Any

import msgspec

from schemas.deliveries.deliveries import DeliveryState, Outcome, Trigger
from schemas.deliveries.recoveries import RecoveryState
from schemas.events.types import EventType
from schemas.ids import AttemptId, ChangeId, DeliveryId, EventId, RecoveryId, RequestId, TokenId
from schemas.json_schema import COMPONENTS, webhook_name
from schemas.tokens.audit_log import Action
from schemas.tokens.permissions import Permission
from schemas.tokens.tokens import CallbackState, OnResume, TokenState

_WEBHOOK_BODY = msgspec.Meta(
    extra_json_schema={
        "oneOf": [{"$ref": COMPONENTS.format(name=webhook_name(kind))} for kind in EventType]
    }
)


class Accepted(msgspec.Struct):
    """The event is stored durably."""

    id: EventId
    status: str


class AcceptedBatch(msgspec.Struct):
    """Every event is stored durably. `ids` are in the order given."""

    ids: list[EventId]


class VisibilityAnswer(msgspec.Struct):
    """`channels`: null means all, an empty list none."""

    channels: list[str] | None


class CallbackAnswer(msgspec.Struct):
    """A callback. The values of its headers are never shown, only their names.

    `failing_since`: since when nothing succeeds; only a delivery at a time is sent then, to see whether it works again.
    `throttled_until`: nothing automatic is sent before, as its receiver asked; null when it may be called.
    `held`: what becomes of its held deliveries when it comes back.
    """

    url: str
    enabled: bool
    state: CallbackState
    failing_since: str | None
    throttled_until: str | None
    disabled_at: str | None
    disabled_reason: str | None
    held: OnResume
    header_names: list[str]


class TokenAnswer(msgspec.Struct):
    """A token, without its secrets."""

    id: TokenId
    name: str
    state: TokenState
    token_hint: str
    activates_at: str
    expires_at: str | None
    enabled: bool
    permissions: list[Permission]
    visibility: VisibilityAnswer
    callbacks: dict[EventType, CallbackAnswer | None]
    created_at: str
    last_used_at: str | None


class NewTokenAnswer(TokenAnswer, kw_only=True):
    """A token and its secrets. `token` is shown this once; `signing_secret` is there when the token
    was just made.
    """

    token: str
    signing_secret: str | msgspec.UnsetType = msgspec.UNSET


class SigningSecretAnswer(msgspec.Struct):
    """The current signing secret."""

    signing_secret: str


class ChangeAnswer(msgspec.Struct):
    """Something that was done to a token, or to its callback for an event type (`type`).

    `by` is the token that did it (`by_name` its name), `command line`, or `ringback`. `details` holds, by field, what it was before and
    after. `header_names` with the same names twice: their values were replaced. `previous_until`: until when the secret before counts too.
    """

    id: ChangeId
    at: str
    action: Action
    type: EventType | None
    by: str
    by_name: str | None
    address: str | None
    details: dict[str, tuple[Any, Any]]


class AttemptAnswer(msgspec.Struct):
    """One HTTP request of a delivery. `error` says in words what went wrong; of one that delivered,
    what was wrong with the rest of the answer. `response_body` is the first KiB.
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
    response_body: str


class DeliveryAnswer(msgspec.Struct):
    """One event for one callback. `callback` is its URL, null once it is deleted; `status_code` and `outcome` are the last attempt's.
    `test`: a sample that somebody had sent, which no figure counts.
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
    """An event as it was published, and what became of it. `conflicts` counts how often other
    content came under its id. `test`: a sample that somebody had sent, which no figure counts. Of
    very many deliveries 100 are shown: `deliveries_total` says how many there are at least, and
    `GET /v1/deliveries?event=` lists them all.
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


class PulledEvents(msgspec.Struct):
    """Events as webhooks carry them, oldest first: what can read a webhook's body can read these.

    `next_cursor` goes on behind them, now or next week. `has_more`: ask again at once; if not, that is all for the moment. A page may be
    empty and have more behind it: those that were looked at are not for this token.
    """

    data: list[Annotated[msgspec.Raw, _WEBHOOK_BODY]]
    next_cursor: str
    has_more: bool


class StatsAnswer(msgspec.Struct):
    """How the token's deliveries fare that were made from `since` to before `until`; tests are not
    counted.

    `complete`: that is all of what was asked for. If not, there were too many to count at once: these are the newest, and what is older
    is counted by asking with this `since` as `until`. `success_share`: the delivered among those that are delivered or exhausted; null
    when there are none.
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
    """How far a recovery has come, in deliveries. `total`: those found so far, of very many a part, and what is missing as it is found;
    `done`: made due again; `skipped`: they cannot be sent now. While it is `running` all three may grow. `trouble`: why its last step
    failed, which is tried again in smaller ones, after others had their turn; null: it did not.
    """

    id: RecoveryId
    total: int
    done: int
    skipped: int
    state: RecoveryState
    created_at: str
    trouble: str | None


class RequestAnswer(msgspec.Struct):
    """A request that was made with a token. `status` and `duration_ms` of one to the chat platform's own API are null until they are
    reported. `permission` is what it needed; `reason` says why it was not allowed: a state of the token, or the slug of a problem.
    `request_id` is the `X-Request-Id` of its answer. `count`: for how many requests it stands. Of a token that is not active, or beyond
    its limit, a second has one row; of an active one that is refused again and again, ten seconds have ten. Those that came beyond that
    are counted on the row before them.
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
    """So many reports were taken; the log shows them within a second."""

    accepted: int


class IntrospectionAnswer(msgspec.Struct):
    """Whether a token is valid just now. Of one that is not, whatever the reason, nothing else is
    told.

    `scope` are its permissions, separated by spaces; `client_id` and `sub` its id, `username` its name. `channels`: whose data it
    may see, null: all, an empty list: none. `iat`, `nbf` and `exp` are unix seconds: made, valid from, valid until; without `exp`
    there is no end. `allowed`: whether it has the permission that was asked about; true when none was. `request_id`: to report
    what became of the request.
    """

    active: bool
    scope: str | msgspec.UnsetType = msgspec.UNSET
    client_id: TokenId | msgspec.UnsetType = msgspec.UNSET
    sub: TokenId | msgspec.UnsetType = msgspec.UNSET
    username: str | msgspec.UnsetType = msgspec.UNSET
    channels: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    iat: int | msgspec.UnsetType = msgspec.UNSET
    nbf: int | msgspec.UnsetType = msgspec.UNSET
    exp: int | msgspec.UnsetType = msgspec.UNSET
    allowed: bool | msgspec.UnsetType = msgspec.UNSET
    request_id: RequestId | msgspec.UnsetType = msgspec.UNSET


class ChannelAnswer(msgspec.Struct):
    """A channel as the latest of its events describes it."""

    id: str
    kind: str
    address: str | None
    provider: str | None
    last_seen_at: str


class HealthAnswer(msgspec.Struct, omit_defaults=True):
    """`status` is `alive` or `ready`. `degraded` names, by part, what is missing while events are
    accepted all the same.
    """

    status: str
    degraded: dict[str, str] = msgspec.field(default_factory=dict)
