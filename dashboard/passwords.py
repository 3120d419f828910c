"""Passwords that people give: whether one is right, throttled and hashed in turn, and whether a new
one can be taken. Called by the views of signing in and of accounts, and before secrets are shown.
"""

from flask import request

from dashboard.http import known_browser
from dashboard.visit import Visit
from schemas.emails import email_fault, read_email
from schemas.errors import RingbackError
from schemas.passwords import MIN_CHARACTERS, is_password, password_fault, password_hash
from schemas.people import Person
from web.rate_limits import client_network


class TooManyGuesses(RingbackError):
    """A password may not be judged yet."""

    def __init__(self, wait_s: int):
        super().__init__(f"{wait_s} s to wait")
        self.wait_s = wait_s

    def said(self, visit: Visit) -> str:
        """Return it in the person's language."""
        wait = visit.language.span(self.wait_s)
        return visit.say("Too many attempts. Try again in %(wait)s.", wait=wait)


def person_with(visit: Visit, typed_email: str, password: str) -> Person | None:
    """Return whose e-mail address and password these are; None: no one's. The time says nothing
    about who exists.

    Raises TooManyGuesses before anything is hashed, and Unavailable when too many wait for that.
    """
    parts = visit.parts
    email = None if email_fault(typed_email.strip()) else read_email(typed_email)
    account, network = _counted(visit, email)
    if wait_s := parts.sign_in_failures.attempt(account, network, parts.database.time()):
        raise TooManyGuesses(wait_s)
    person = parts.people.find(email) if email else None
    stored = person.password_hash if person else None
    if not parts.threads.compute(lambda: is_password(password, stored)) or person is None:
        return None
    parts.sign_in_failures.succeeded(account or person.email, network)
    return person


def _counted(visit: Visit, email: str | None) -> tuple[str | None, str]:
    """Return the account and the network for which a guess counts. A browser in which the person
    has signed in before counts by itself: else anyone who knows an address, or shares a proxy with
    its owner, could keep them out for as long as they go on guessing.
    """
    parts = visit.parts
    if email and (
        browser := known_browser.read(request, email, parts.cookie_keys, secure=parts.is_secure)
    ):
        return f"{email} {browser}", browser
    return email, client_network(visit.address or "")


def new_password_fault(visit: Visit, password: str) -> str | None:
    """Return why a new password cannot be taken, or None. Never repeats it."""
    if password_fault(password) is None:
        return None
    if len(password) < MIN_CHARACTERS:
        return visit.language.plural(
            "A password has at least %(number)s character.",
            "A password has at least %(number)s characters.",
            MIN_CHARACTERS,
        )
    return visit.say("This password is too long, or cannot be read: choose another.")


def hashed(visit: Visit, password: str) -> str:
    """Return what is stored of a password without a fault."""
    return visit.parts.threads.compute(lambda: password_hash(password))
