"""Mail on its way: one dispatcher at a time leases and sends it. A row lives until it is sent or
given up. Called by `consumers.maintenance.mailer`.
"""

from collections.abc import Iterable

import sqlalchemy as sa

from schemas.mail import Mail
from schemas.times import UnixMs
from store.engine.database import Connection
from store.tables import mails


def add(connection: Connection, recipient: str, subject: str, body: str, now: UnixMs) -> None:
    """Add a mail, due now."""
    row = {
        "recipient": recipient,
        "subject": subject,
        "body": body,
        "created_at": now,
        "due_at": now,
    }
    connection.execute(sa.insert(mails).values(row))


def lease(connection: Connection, limit: int, now: UnixMs, lease_ms: int) -> list[Mail]:
    """Lease the oldest mails that are due, to send them before the lease ends."""
    leased_until = UnixMs(now + lease_ms)
    due = sa.select(mails).where(mails.c.due_at <= now).order_by(mails.c.due_at, mails.c.id)
    rows = connection.execute(due.limit(limit).with_for_update(skip_locked=True)).all()
    if rows:
        ours = mails.c.id.in_([row.id for row in rows])
        connection.execute(sa.update(mails).where(ours).values(due_at=leased_until))
    return [
        Mail(
            id=row.id,
            recipient=row.recipient,
            subject=row.subject,
            body=row.body,
            created_at=UnixMs(row.created_at),
            failures=row.failures,
            leased_until=leased_until,
        )
        for row in rows
    ]


def forget(connection: Connection, ids: Iterable[int]) -> None:
    """Delete mails that were sent or given up."""
    connection.execute(sa.delete(mails).where(mails.c.id.in_(list(ids))))


def put_off(connection: Connection, mail: Mail, due_at: UnixMs) -> None:
    """Count a failed attempt, and make the next one due at `due_at`.

    Do nothing when another dispatcher has leased the mail since.
    """
    ours = sa.and_(mails.c.id == mail.id, mails.c.due_at == mail.leased_until)
    connection.execute(
        sa.update(mails).where(ours).values(failures=mail.failures + 1, due_at=due_at)
    )
