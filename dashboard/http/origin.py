"""Whether a request comes from a page of ours, or from another site that uses the person's session.
Pure.
"""

from urllib.parse import urlsplit
from wsgiref.types import WSGIEnvironment


def is_from_here(environ: WSGIEnvironment, public_url: str) -> bool:
    """Judge a request that changes something, by what the browser says of its origin.

    Browsers send `Sec-Fetch-Site` to https and to this machine only; `Origin` they send with every
    form. A request with neither is not from a browser's form, and is refused.
    """
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site is not None and site != "same-origin":
        return False
    origin = environ.get("HTTP_ORIGIN")
    if origin is None:
        return site == "same-origin"
    host = urlsplit(origin).netloc
    return bool(host) and host in {environ.get("HTTP_HOST"), urlsplit(public_url).netloc}
