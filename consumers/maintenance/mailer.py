"""The mailer: writes to administrators and contacts what they need to know, and has it sent.

A job in every dispatcher process; a lease has one of them look at a time, and each mail is leased
by the one that sends it. An error here affects no delivery.
"""

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from consumers.maintenance import mail_texts
from schemas.errors import StoreUnavailable
from schemas.log_events import LogEvent
from schemas.mail import Mail, Notice
from schemas.observer import Observer
from schemas.times import UnixMs
from store.engine.background import PeriodicThread
from store.engine.database import Connection, Database
from store.mail import notices, outbox
from store.mail.recipients import administrators
from store.maintenance import job_leases

POLL_S = 5.0
"""How late a mail may be sent. Shorter: more queries that find nothing."""

LOOK_EVERY_S = 60.0
"""How late something is noticed. Shorter: callbacks are read more often."""

BATCH = 10
"""Mails sent in one connection to the mail server. More: a mail that hangs delays more."""

RETRY_AFTER_S = (60, 300, 900, 3600)
"""Seconds until the next attempt, after the first, second, … failure; the last one stays."""

GIVEN_UP_AFTER_MS = 3 * 24 * 3_600_000
"""Milliseconds after which a mail is no news any more."""

SEND_WITHIN_S = 120.0
"""How long a batch may take before the rest is put off. Longer than its lease, less what one mail may
take, and another process sends the rest too. Shorter: a slow mail server gets fewer at a time.
"""

CLOSE_TIMEOUT_S = 2.0
"""How long a stop waits for the mail that is being handed in. Shorter: it is sent twice more often."""

_LEASE_MS = 10 * 60_000
_DAY_MS = 24 * 3_600_000
_T = TypeVar("_T")


class _Sent(NamedTuple):
    """What a mail server was given."""

    mails: Sequence[Mail]
    failures: Sequence[str | None]


class MailSending(Protocol):
    """What sends mail: `dispatcher.mail_sender`."""

    def send(self, mails: Sequence[Mail], is_over: Callable[[], bool]) -> list[str | None]:
        """Send mails until `is_over`, in a thread. Return why each failed, or None."""


class Mailer:
    """Finds what to write about, and sends it, in a thread of its own. It is a daemon: a mail server
    that is silent keeps no process from ending.
    """

    def __init__(
        self,
        database: Database,
        sending: MailSending,
        *,
        observer: Observer,
        public_url: str,
        disable_after_ms: int,
    ):
        self._database, self._sending, self._observer = database, sending, observer
        self._public_url, self._disable_after_ms = public_url, disable_after_ms
        self._looked_s = float("-inf")
        self._unsettled: _Sent | None = None
        """What was sent while the store could not note it."""
        self._thread = PeriodicThread(
            "mailer",
            self.work,
            every_s=POLL_S,
            observer=observer,
            close_timeout_s=CLOSE_TIMEOUT_S,
        )

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Begin nothing more, and wait a little for what is under way."""
        self._thread.close()

    def work(self) -> float:
        """Do one round, and return the seconds to pause."""
        with contextlib.suppress(StoreUnavailable):  # another job of the process has logged it
            return self._round()
        return POLL_S

    def _round(self) -> float:
        if self._unsettled is not None:
            self._settle(self._unsettled)
        if time.monotonic() - self._looked_s >= LOOK_EVERY_S:
            self._stored(self._look)
            self._looked_s = time.monotonic()
        due = self._stored(lambda connection, now: outbox.lease(connection, BATCH, now, _LEASE_MS))
        if due:
            until_s = time.monotonic() + SEND_WITHIN_S
            failures = self._sending.send(
                due, lambda: self._thread.stopping or time.monotonic() > until_s
            )
            self._unsettled = _Sent(due, failures)
            self._settle(self._unsettled)
        return 0.0 if len(due) == BATCH else POLL_S

    def _settle(self, sent: _Sent) -> None:
        self._stored(lambda connection, now: self._write(connection, now, sent))
        self._unsettled = None

    def _look(self, connection: Connection, now: UnixMs) -> None:
        if not job_leases.acquire(connection, "mail", now, int(LOOK_EVERY_S * 1000) // 2):
            return
        news = notices.about_callbacks(connection, now, self._disable_after_ms)
        if job_leases.acquire(connection, "mail of the day", now, _DAY_MS):
            news += notices.of_the_day(connection, now)
        if not news:
            return
        admins = administrators(connection)
        for recipient, about in _by_recipient(news, admins).items():
            text = mail_texts.body(about, self._public_url, to_admin=recipient in admins)
            outbox.add(connection, recipient, mail_texts.subject(about), text, now)
        notices.remember(connection, news, now)

    def _write(self, connection: Connection, now: UnixMs, sent: _Sent) -> None:
        over = []
        for mail, error in zip(sent.mails, sent.failures, strict=True):
            retry_s = None if error is None else _retry_in_s(mail, now)
            if retry_s is None:
                over.append(mail.id)
            else:
                outbox.put_off(connection, mail, UnixMs(now + retry_s * 1000))
            self._observer.log(
                LogEvent.MAIL_SENT if error is None else LogEvent.MAIL_FAILED,
                recipient=mail.recipient,
                subject=mail.subject,
                error=error,
                next_attempt_in_s=retry_s,
            )
        if over:
            outbox.forget(connection, over)

    def _stored(self, work: Callable[[Connection, UnixMs], _T]) -> _T:
        with self._database.write() as connection:
            return work(connection, self._database.now(connection))


def _by_recipient(news: Iterable[Notice], admins: Iterable[str]) -> dict[str, list[Notice]]:
    """Return what each recipient is to know: administrators all of it, contacts what is theirs."""
    found: defaultdict[str, list[Notice]] = defaultdict(list)
    admins = list(admins)
    for notice in news:
        contact = [notice.contact] if notice.contact else []
        for recipient in dict.fromkeys([*admins, *contact]):
            found[recipient].append(notice)
    return found


def _retry_in_s(mail: Mail, now: UnixMs) -> int | None:
    if now - mail.created_at > GIVEN_UP_AFTER_MS:
        return None
    return RETRY_AFTER_S[min(mail.failures, len(RETRY_AFTER_S) - 1)]
