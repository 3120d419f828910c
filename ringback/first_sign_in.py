"""The address that is opened first: until an administrator has a password, a link that signs the
first one in. Called by `serve --quickstart` (`make run`) and `serve --demo`.
"""

from typing import NamedTuple

from ringback.parts import Parts
from schemas.people import Role, sign_in_address
from schemas.tokens.audit_log import COMMAND_LINE
from store.people.links import LINK_VALID_MS, SignInLinks
from store.people.people import People


class FirstAddress(NamedTuple):
    """Where to begin."""

    url: str
    signs_in: bool
    """Whether opening it signs in, once."""


def first_address(parts: Parts) -> FirstAddress:
    """Return the address of the pages. While no administrator has a password it is a new link,
    valid for a day: it signs in the administrator who has none yet, or makes the first one.
    """
    public_url = parts.settings.public_url
    admins = [one for one in People(parts.database).all() if one.role is Role.ADMIN]
    if any(admin.password_hash for admin in admins):
        return FirstAddress(f"{public_url.rstrip('/')}/", signs_in=False)
    email = admins[0].email if admins else None
    secret = SignInLinks(parts.database).create(email, LINK_VALID_MS, COMMAND_LINE)
    return FirstAddress(sign_in_address(public_url, secret), signs_in=True)
