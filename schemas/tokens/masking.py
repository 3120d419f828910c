"""Masking of callback URLs where many people read them: lists, exports, alerts, logs. Receivers put
keys into the query, as it is easier than a header. Pure.
"""

from urllib.parse import urlsplit

MASK = "***"
"""Stands for each value."""


def masked_url(url: str) -> str:
    """Return a URL with the values of its query masked, and their names kept.

    A part of the query without `=` may be a key as a whole, and is masked as a whole. Paths stay:
    they say which of a receiver's addresses it is.
    """
    rest, question_mark, query = url.partition("?")
    if not question_mark:
        return url
    return rest + question_mark + "&".join(map(_masked, query.split("&")))


def host_of(url: str) -> str:
    """Return the host of a URL, with its port if that is written there."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _masked(part: str) -> str:
    name, equals, _ = part.partition("=")
    if equals:
        return f"{name}={MASK}"
    return MASK if part else part
