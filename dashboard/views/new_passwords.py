"""A password that a person chooses: whether it can be taken, in the person's language, and its hash.
Called by the views of links and of the account.
"""

from dashboard.visit import Visit
from schemas.passwords import MIN_CHARACTERS, password_fault, password_hash


def new_password_fault(visit: Visit, password: str) -> str | None:
    """Return why a new password cannot be taken, or None. Never repeats it."""
    if password_fault(password) is None:
        return None
    if len(password) < MIN_CHARACTERS:
        return visit.say("A password has at least %(count)s characters.", count=MIN_CHARACTERS)
    return visit.say("This password is too long, or cannot be read: choose another.")


def hashed(visit: Visit, password: str) -> str:
    """Return what is stored of a password without a fault."""
    return visit.parts.threads.compute(lambda: password_hash(password))
