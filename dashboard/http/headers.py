"""The headers of every page: what the browser may load, keep and tell others."""

from werkzeug.datastructures import Headers

_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)


def protect(headers: Headers, nonce: str) -> None:
    """Add the headers of a page. It is kept by no cache: it shows what others must not see."""
    headers["Content-Security-Policy"] = _POLICY.format(nonce=nonce)
    # `no-referrer` makes browsers send Origin: null with forms
    headers.setdefault("Referrer-Policy", "same-origin")
    headers["X-Content-Type-Options"] = "nosniff"
    headers["X-Robots-Tag"] = "noindex, nofollow"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers.setdefault("Cache-Control", "no-store")
    headers.add("Vary", "Cookie, HX-Request")
