"""URLs of callbacks as people see them: with what may be a key left out. Pure."""

import re
from urllib.parse import urlsplit

HIDDEN = "***"
"""What is shown in place of a value that may be a key."""

_PARAMETER = re.compile(r"([^&;=]*)(=?)([^&;]*)")


def masked_url(url: str) -> str:
    """Return a URL with the values of its query hidden: `https://x.example/hook?key=***`. A
    parameter without a name is hidden as a whole.
    """
    address, mark, query = url.partition("?")
    return address + mark + _PARAMETER.sub(_masked, query)


def host_of(url: str) -> str:
    """Return the host of a URL, with its port if that is written there."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _masked(parameter: re.Match[str]) -> str:
    name, equals, value = parameter.groups()
    if equals:
        return f"{name}={HIDDEN}" if value else f"{name}="
    return HIDDEN if name else ""
