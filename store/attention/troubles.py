"""Failures grouped by callback and kind: since when, how many wait, the first and the last answer.

A callback that works again, with nothing given up, is in no group any more: groups close by
themselves. Reads only; called by the pages.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from schemas.attention import (
    UNKNOWN_KIND,
    Acknowledgement,
    Answer,
    Trouble,
    Troubles,
    TroubleState,
    failure_kind,
)
from schemas.deliveries.callback_health import plausible_pause_end
from schemas.deliveries.deliveries import Outcome
from schemas.events.types import EventType
from schemas.ids import CallbackId, EventId, TokenId
from schemas.shared_outage import (
    LEAST_ATTEMPTS,
    LEAST_CALLBACKS,
    OF_THE_NETWORK,
    CallbackLately,
    SharedOutage,
    shared_outage,
)
from schemas.times import UnixMs
from store.attention.acknowledgements import acknowledged
from store.attention.samples import (
    Failed,
    Pair,
    active_callbacks,
    failed_answers,
    failed_lately,
    troubled_callbacks,
)
from store.engine.database import Connection
from store.engine.sql_types import SqlRow

SHOWN = 50
"""Failures that are listed. More: the page gets long, and takes longer. Fewer: more have to be
mended before the others are seen.
"""

_ORDER = list(TroubleState)


class _Group(msgspec.Struct):
    """A trouble before its answers are read, with the deliveries that may hold them."""

    trouble: Trouble
    failed: list[Failed]

    @property
    def rank(self) -> tuple[bool, int, int]:
        """Its place in the list."""
        trouble = self.trouble
        return trouble.acknowledged is not None, _ORDER.index(trouble.state), -trouble.since

    @property
    def ends(self) -> list[Pair]:
        """The oldest and the newest of its deliveries, without those of earlier outages."""
        since = self.trouble.since
        of_this_time = [one for one in self.failed if one.created_at >= since] or self.failed
        by_time = sorted(of_this_time, key=lambda one: one.created_at)
        return [one.pair for one in (*by_time[:1], *by_time[-1:])]


def list_troubles(connection: Connection, now: UnixMs) -> Troubles:
    """Return what needs a person, at most SHOWN of it."""
    failed = failed_lately(connection, now)
    by_callback: dict[CallbackId, list[Failed]] = defaultdict(list)
    for one in failed:
        by_callback[one.callback_id].append(one)
    rows = troubled_callbacks(connection, by_callback.keys(), now)
    known = acknowledged(connection, [CallbackId(row.id) for row in rows], now)
    groups = [
        group for row in rows for group in _groups(row, by_callback[CallbackId(row.id)], known, now)
    ]
    groups.sort(key=lambda group: group.rank)
    shown = groups[:SHOWN]
    answers = failed_answers(connection, {pair for group in shown for pair in group.ends})
    return Troubles(
        [_with_answers(group, answers) for group in shown],
        len(groups) - len(shown),
        _shared(connection, rows, now),
    )


def _groups(
    row: SqlRow,
    failed: Iterable[Failed],
    known: Mapping[tuple[CallbackId, str], Acknowledgement],
    now: UnixMs,
) -> list[_Group]:
    """Return the groups of one callback. If it fails itself, one of them is about that, with all
    that waits.
    """
    state, since = _state(row, now)
    by_kind: dict[str, list[Failed]] = defaultdict(list)
    for one in failed:
        by_kind[one.kind].append(one)
    main = None
    if state is not TroubleState.REFUSING:
        oldest = _oldest(row)
        main = oldest.kind if oldest else _newest_kind(by_kind)
        by_kind[main] += [oldest] if oldest else []
    return [
        _group(row, state, since, kind, main, of_kind, known) for kind, of_kind in by_kind.items()
    ]


def _group(
    row: SqlRow,
    state: TroubleState,
    since: UnixMs | None,
    kind: str,
    main: str | None,
    failed: list[Failed],
    known: Mapping[tuple[CallbackId, str], Acknowledgement],
) -> _Group:
    is_main = kind == main
    began = since if is_main else None
    if began is None:
        began = min((one.created_at for one in failed), default=UnixMs(0))
    noted = known.get((CallbackId(row.id), kind))
    waiting = row.waiting if is_main else sum(one.is_waiting for one in failed)
    trouble = Trouble(
        callback_id=CallbackId(row.id),
        token_id=TokenId(row.token_id),
        token_name=row.name,
        type=EventType(row.type),
        url=row.url,
        state=state,
        kind=kind,
        since=began,
        reason=row.disabled_reason if is_main else None,
        waiting=waiting if is_main or main is None else 0,
        given_up=sum(not one.is_waiting for one in failed),
        acknowledged=noted if noted and noted.at >= began else None,
    )
    return _Group(trouble, failed)


def _state(row: SqlRow, now: UnixMs) -> tuple[TroubleState, UnixMs | None]:
    """Return what is wrong with the callback, and since when."""
    if row.disabled_at is not None:
        return TroubleState.DISABLED, UnixMs(row.failing_since or row.disabled_at)
    if row.failing_since is not None:
        return TroubleState.FAILING, UnixMs(row.failing_since)
    if (plausible_pause_end(row.throttled_until, now) or now) > now:
        return TroubleState.THROTTLED, UnixMs(row.throttled_since or now)
    return TroubleState.REFUSING, None


def _oldest(row: SqlRow) -> Failed | None:
    """Return the oldest delivery that waits, when it was attempted."""
    if row.oldest_outcome in {None, Outcome.DELIVERED.value}:
        return None
    return Failed(
        EventId(row.oldest_event_id),
        CallbackId(row.id),
        UnixMs(row.oldest_created_at),
        failure_kind(row.oldest_outcome, row.oldest_status_code),
        is_waiting=True,
    )


def _newest_kind(by_kind: Mapping[str, Sequence[Failed]]) -> str:
    """Return how the newest delivery failed."""
    newest = {kind: max(one.created_at for one in failed) for kind, failed in by_kind.items()}
    return max(newest, key=lambda kind: newest[kind], default=UNKNOWN_KIND)


def _with_answers(group: _Group, answers: Mapping[Pair, Sequence[Answer]]) -> Trouble:
    found = sorted(
        {answer for pair in group.ends for answer in answers.get(pair, ())},
        key=lambda answer: (answer.at, answer.delivery),
    )
    if not found:
        return group.trouble
    return msgspec.structs.replace(group.trouble, first=found[0], last=found[-1])


def _shared(connection: Connection, rows: Sequence[SqlRow], now: UnixMs) -> SharedOutage | None:
    """Return the outage that most callbacks share. What is active is only looked up when enough of
    them fail.
    """
    failing = [
        CallbackLately(
            CallbackId(row.id),
            failing_since=UnixMs(row.failing_since),
            outcome=Outcome(row.oldest_outcome),
        )
        for row in rows
        if row.failing_since is not None
        and row.disabled_at is None
        and row.oldest_outcome in OF_THE_NETWORK
    ]
    if len(failing) < LEAST_CALLBACKS:
        return None
    known = {one.id for one in failing}
    active = [
        CallbackLately(callback_id, attempts=LEAST_ATTEMPTS)
        for callback_id in active_callbacks(connection, now)
        if callback_id not in known
    ]
    return shared_outage([*failing, *active])
