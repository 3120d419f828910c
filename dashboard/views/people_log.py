"""The log about people, in words. Called by the views of people."""

from typing import NamedTuple

from dashboard.visit import Visit
from schemas.people import PersonAction, PersonChange, Role
from schemas.times import UnixMs
from schemas.tokens.audit_log import COMMAND_LINE
from store.people.log import list_people_changes

LOG_ROWS = 20
"""Rows on a page. More: longer pages. Fewer: more clicks."""


class LogRow(NamedTuple):
    """A row as it is shown."""

    at: UnixMs
    email: str
    what: str
    by: str | None
    """Who did it; None: the person themselves."""
    address: str | None


class LogPage(NamedTuple):
    """A page of the log."""

    rows: list[LogRow]
    older: str | None
    """The cursor of the next page; None on the last one."""


def log_page(visit: Visit, email: str | None = None) -> LogPage:
    """Return the page of the log that the address asks for, about everyone or one person. Raises
    Invalid for a malformed cursor.
    """
    cursor = visit.query.get("log") or None
    with visit.parts.database.read() as connection:
        found = list_people_changes(connection, LOG_ROWS, cursor, email)
    return LogPage([_row(visit, change) for change in found.rows], found.next_cursor)


def role_name(visit: Visit, role: Role) -> str:
    """Return what a role is called."""
    return visit.say("Administrator") if role is Role.ADMIN else visit.say("Viewer")


def _row(visit: Visit, change: PersonChange) -> LogRow:
    return LogRow(
        change.at, change.email, _what(visit, change), _by(visit, change), change.actor.address
    )


def _by(visit: Visit, change: PersonChange) -> str | None:
    if change.actor == COMMAND_LINE:
        return visit.say("the command line")
    return None if change.actor.email == change.email else change.actor.email or change.actor.by


def _what(visit: Visit, change: PersonChange) -> str:
    say = visit.say
    if change.action is PersonAction.ROLE_CHANGED:
        return say("is now: %(role)s", role=_role(visit, change))
    if change.action is PersonAction.ADDED:
        return say("was added: %(role)s", role=_role(visit, change))
    return {
        PersonAction.REMOVED: say("was removed"),
        PersonAction.PASSWORD_SET: say("has a new password"),
        PersonAction.LINK_CREATED: say("got a new link to sign in"),
        PersonAction.SIGNED_IN: say("signed in"),
        PersonAction.SIGNED_OUT: say("signed out"),
        PersonAction.SESSIONS_ENDED: say("was signed out"),
    }[change.action]


def _role(visit: Visit, change: PersonChange) -> str:
    _, after = change.details.get("role", (None, None))
    return role_name(visit, Role(str(after))) if after in {*Role} else ""
