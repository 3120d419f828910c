"""Whether a request comes from a page of ours, or from another site that uses the person's session.
Pure.
"""

from urllib.parse import SplitResult, urlsplit
from wsgiref.types import WSGIEnvironment

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


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
    try:
        return _is_ours(urlsplit(origin), environ.get("HTTP_HOST", ""), urlsplit(public_url))
    except ValueError:  # a port that is no number, a bracket that is not closed
        return False


def _is_ours(origin: SplitResult, host: str, public: SplitResult) -> bool:
    if not origin.hostname or origin.scheme not in _DEFAULT_PORTS:
        return False
    if public.scheme == "https" and origin.scheme == "http" and origin.hostname not in _LOOPBACK:
        return False  # a page that someone on the network may have written
    asked = urlsplit(f"{origin.scheme}://{host}")
    return _authority(origin) in {_authority(asked), _authority(public)}


def _authority(url: SplitResult) -> tuple[str | None, int | None]:
    """Return host and port: browsers leave the port out where it is the scheme's own."""
    return url.hostname, url.port or _DEFAULT_PORTS.get(url.scheme)
