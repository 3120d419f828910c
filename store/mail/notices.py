"""What there is to write about, found from what is so now: a mail that could not be sent, or a
process that died, leaves nothing out. What was written about is remembered by key.

Called by `consumers.maintenance.mailer`, by one process at a time.
"""

from collections.abc import Collection, Iterator, Sequence
from urllib.parse import urlsplit

import sqlalchemy as sa

from schemas.events.types import EventType
from schemas.ids import TokenId
from schemas.mail import Notice, NoticeKind
from schemas.times import UnixMs
from store.engine import bulk
from store.engine.database import Connection
from store.engine.paging import Row
from store.tables import callbacks, mail_notices, tokens

HOUR_MS = 3_600_000
_DAY_MS = 24 * HOUR_MS

FAILING_FOR_MS = HOUR_MS
"""Milliseconds of failure after which it is written about. Longer: people learn of it later.
Shorter: mail about what mends itself.
"""

BEFORE_DISABLING_MS = _DAY_MS
"""Milliseconds before a callback is disabled when that is written about. Longer: an early warning,
which is forgotten. Shorter: no time to mend it.
"""

APART_MS = HOUR_MS
"""Milliseconds between two notices about one callback. Longer: news comes later. Shorter: a callback
that fails and recovers fills an inbox.
"""

EXPIRING_DAYS = (14, 7, 1)
"""Days before a token's end when it is written about."""

MOST = 500
"""Notices found at a time, at most. The others come the next time."""

_LATELY_MS = 7 * _DAY_MS  # longer than a look may be late: nothing is left out after an outage
_REMEMBERED_MS = 400 * _DAY_MS
_cb, _tok, _said = callbacks.c, tokens.c, mail_notices.c


def about_callbacks(connection: Connection, now: UnixMs, disable_after_ms: int) -> list[Notice]:
    """Return what is new about callbacks that fail, were disabled, or work again. A callback that
    was written about a short time ago is left out: its turn comes.
    """
    found = [
        *_failing(connection, now, disable_after_ms),
        *_disabled(connection, now),
        *_recovered(connection),
    ]
    return _apart(connection, found, now)


def of_the_day(connection: Connection, now: UnixMs) -> list[Notice]:
    """Return what is written once a day: tokens that expire, and deliveries that were given up."""
    return [*_expiring(connection, now), *_given_up(connection, now)]


def remember(connection: Connection, notices: Collection[Notice], now: UnixMs) -> None:
    """Remember what was written about. A recovery closes what was open."""
    lasting = {NoticeKind.FAILING, NoticeKind.DISABLING, NoticeKind.DISABLED}
    closed = [one.subject_id for one in notices if one.kind is NoticeKind.RECOVERED]
    if closed:
        connection.execute(
            sa.update(mail_notices).where(_said.subject_id.in_(closed)).values(is_open=False)
        )
    rows = [
        {
            "key": one.key,
            "subject_id": one.subject_id,
            "at": now,
            "is_open": one.kind in lasting,
        }
        for one in notices
    ]
    if rows:
        connection.execute(sa.insert(mail_notices), rows)
    connection.execute(sa.delete(mail_notices).where(_said.at < now - _REMEMBERED_MS))


def _failing(connection: Connection, now: UnixMs, disable_after_ms: int) -> Iterator[Notice]:
    failing_for = {
        NoticeKind.FAILING: FAILING_FOR_MS,
        NoticeKind.DISABLING: max(FAILING_FOR_MS, disable_after_ms - BEFORE_DISABLING_MS),
    }
    for kind, long_ms in failing_for.items():
        late = sa.and_(_cb.failing_since <= now - long_ms, _cb.disabled_at.is_(None))
        for row in _callbacks(connection, kind, _cb.failing_since, late, _cb.enabled):
            since = UnixMs(row.failing_since)
            yield _about(kind, row, since, UnixMs(since + disable_after_ms))


def _disabled(connection: Connection, now: UnixMs) -> Iterator[Notice]:
    lately = _cb.disabled_at > now - _LATELY_MS
    for row in _callbacks(connection, NoticeKind.DISABLED, _cb.disabled_at, lately, _cb.enabled):
        yield _about(NoticeKind.DISABLED, row, UnixMs(row.disabled_at))


def _recovered(connection: Connection) -> Iterator[Notice]:
    """Yield callbacks that were written about and are healthy."""
    open_since = (
        sa.select(_said.subject_id, sa.func.max(_said.at).label("at"))
        .where(_said.is_open)
        .group_by(_said.subject_id)
        .subquery()
    )
    healthy = sa.and_(_cb.failing_since.is_(None), _cb.disabled_at.is_(None), _cb.enabled)
    query = _with_token().add_columns(open_since.c.at.label("written_at"))
    query = query.join(open_since, open_since.c.subject_id == _cb.id)
    for row in connection.execute(query.where(healthy).limit(MOST)):
        yield _about(NoticeKind.RECOVERED, row, UnixMs(row.written_at))


def _given_up(connection: Connection, now: UnixMs) -> Iterator[Notice]:
    at = _cb.exhausted_alerted_at
    for row in _callbacks(connection, NoticeKind.GIVEN_UP, at, at > now - _LATELY_MS):
        yield _about(NoticeKind.GIVEN_UP, row, UnixMs(row.exhausted_alerted_at))


def _expiring(connection: Connection, now: UnixMs) -> Iterator[Notice]:
    """Yield each token whose end has come nearer than another of the days."""
    nearest = 0
    for days in sorted(EXPIRING_DAYS):
        begins = _tok.expires_at - days * _DAY_MS
        key = _key("expiring", _tok.id, _tok.expires_at) + f" {days}"
        due = (
            _tok.revoked_at.is_(None),
            begins <= now,
            _tok.expires_at > now + nearest * _DAY_MS,
            _tok.created_at <= begins,
            _is_unsaid(key),
        )
        query = sa.select(tokens).where(*due).order_by(_tok.expires_at, _tok.id).limit(MOST)
        for row in connection.execute(query):
            yield Notice(
                kind=NoticeKind.EXPIRING,
                key=f"expiring {row.id} {row.expires_at} {days}",
                subject_id=row.id,
                token_id=TokenId(row.id),
                token_name=row.name,
                contact=row.contact,
                since=UnixMs(row.expires_at),
            )
        nearest = days


def _with_token() -> sa.Select[*tuple[object, ...]]:
    return sa.select(
        callbacks, _tok.name.label("token_name"), _tok.contact.label("contact")
    ).join_from(callbacks, tokens, sa.and_(_tok.id == _cb.token_id, _tok.revoked_at.is_(None)))


def _callbacks(
    connection: Connection,
    kind: NoticeKind,
    since: sa.ColumnElement[int],
    *which: sa.ColumnElement[bool],
) -> Sequence[Row]:
    """Return callbacks of which this was not written since then."""
    unsaid = _is_unsaid(_key(kind.value, _cb.id, since))
    query = _with_token().where(*which, unsaid).order_by(_cb.id).limit(MOST)
    return connection.execute(query).all()


def _key(
    kind: str, subject: sa.ColumnElement[str], since: sa.ColumnElement[int]
) -> sa.ColumnElement[str]:
    """Return the key of a notice, as `Notice.key` has it."""
    return sa.literal(f"{kind} ") + subject + " " + sa.cast(since, sa.Text)


def _is_unsaid(key: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    return ~sa.exists().where(_said.key == key)


def _about(kind: NoticeKind, row: Row, since: UnixMs, until: UnixMs | None = None) -> Notice:
    return Notice(
        kind=kind,
        key=f"{kind} {row.id} {since}",
        subject_id=row.id,
        token_id=TokenId(row.token_id),
        token_name=row.token_name,
        contact=row.contact,
        since=since,
        type=EventType(row.type),
        host=urlsplit(row.url).hostname,
        until=until,
        reason=row.disabled_reason,
    )


def _apart(connection: Connection, new: Sequence[Notice], now: UnixMs) -> list[Notice]:
    """Leave out callbacks that were written about a short time ago: their turn comes."""
    subjects = sorted({notice.subject_id for notice in new})
    recent = sa.select(_said.subject_id).where(
        bulk.among(connection, _said.subject_id, subjects), _said.at > now - APART_MS
    )
    lately = set(connection.scalars(recent))
    return [notice for notice in new if notice.subject_id not in lately]
