"""E-mail addresses: of people, and of those whom a token concerns. Pure."""

import re

MAX_EMAIL = 254
"""Characters of an e-mail address: the longest that SMTP can carry (RFC 5321, section 4.5.3.1.3,
without the brackets).
"""

_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_EMAIL = re.compile(rf"[a-zA-Z0-9.!#$%&'*+/=?^_`{{|}}~-]+@{_LABEL}(?:\.{_LABEL})*")
"""What browsers accept in `<input type=email>`, by the HTML standard."""


def email_fault(text: str) -> str | None:
    """Return why a text is no e-mail address, or None."""
    if len(text) > MAX_EMAIL:
        return f"an e-mail address has at most {MAX_EMAIL} characters"
    if not _EMAIL.fullmatch(text):
        return "this is not an e-mail address such as ops@example.com"
    return None


def read_email(text: str) -> str:
    """Return the e-mail address of a person, in lower case. Raises ValueError saying what is wrong.

    Mail servers could tell `Ann@` from `ann@`; none does, and people write either.
    """
    text = text.strip()
    if fault := email_fault(text):
        raise ValueError(fault)
    return text.lower()
