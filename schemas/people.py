"""The people who sign in to the pages: roles, sessions, links, and the log of what was done to
them. Pure. Called by the store, the pages and the command line.
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from schemas.emails import (
    read_email as read_email,  # noqa: PLC0414 - re-exported: a person is known by it
)
from schemas.ids import ChangeId, SessionId
from schemas.times import UnixMs
from schemas.tokens.audit_log import Actor


class Role(StrEnum):
    """What a person may do in the pages."""

    ADMIN = "admin"
    """See and change everything."""

    VIEWER = "viewer"
    """See, and change nothing."""


class PersonAction(StrEnum):
    """What was done to a person, or by one to themselves."""

    ADDED = "added"
    REMOVED = "removed"
    ROLE_CHANGED = "role_changed"
    PASSWORD_SET = "password_set"
    LINK_CREATED = "link_created"
    SIGNED_IN = "signed_in"
    SIGNED_OUT = "signed_out"
    SESSIONS_ENDED = "sessions_ended"


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who may sign in."""

    email: str
    """The e-mail address in lower case, by which the person is known."""

    role: Role
    """What the person may do."""

    created_at: UnixMs
    """When the person was added."""

    password_hash: str | None = field(default=None, repr=False)
    """The hash of the password (`schemas.passwords`); None: the person cannot sign in by one."""

    language: str | None = None
    """The language of the pages; None: as the browser asks."""

    zone: str | None = None
    """The time zone of dates and times; None: UTC."""

    wants_mail: bool = True
    """Whether an administrator gets mail about callbacks and tokens."""


@dataclass(frozen=True, slots=True)
class Session:
    """One browser in which a person is signed in."""

    id: SessionId
    """The id as it is shown. It is not what the cookie holds."""

    email: str
    """Whose session it is."""

    created_at: UnixMs
    """When the person signed in."""

    seen_at: UnixMs
    """When the session was last used, to a minute."""

    confirmed_at: UnixMs | None
    """When the person last gave the password; None: never in this session."""

    address: str | None
    """The IP address from which the person signed in."""

    user_agent: str | None
    """What the browser said that it is."""


@dataclass(frozen=True, slots=True)
class SignInLink:
    """What a link that signs in once stands for."""

    email: str | None
    """Who is signed in by it; None: it makes the first administrator."""

    expires_at: UnixMs
    """The end of its validity, exclusive."""


@dataclass(frozen=True, slots=True)
class PersonChange:
    """One row of the log about people."""

    id: ChangeId
    """The public id."""

    at: UnixMs
    """When it was done."""

    email: str
    """To whom it was done."""

    action: PersonAction
    """What was done."""

    actor: Actor
    """Who did it, and from where."""

    details: Mapping[str, tuple[object, object]]
    """The values before and after by field, as JSON values."""


def new_sign_in_secret() -> str:
    """Return the secret of a session or of a link: 256 random bits, as text for URL or cookie."""
    return secrets.token_urlsafe(32)


def sign_in_hash(secret: str) -> bytes:
    """Return what is stored instead of such a secret: plain SHA-256, as it is random."""
    return hashlib.sha256(secret.encode()).digest()


def sign_in_address(public_url: str, secret: str) -> str:
    """Return the address of a link that signs in once, by the link's secret."""
    return f"{public_url.rstrip('/')}/sign-in/link?code={secret}"
