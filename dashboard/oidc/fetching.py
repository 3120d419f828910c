"""Requests to the provider, within limits of time and size. The only place that makes any.

Redirects are not followed: the addresses are the provider's own. The proxy of `https_proxy` in the
environment is used, as organisations have one, and certificates are verified.
"""

import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import msgspec

from dashboard.oidc.refusals import unavailable

READ_TIMEOUT_S = 5.0
"""Seconds without a byte from the provider. Longer: people wait longer for the word that it is away.
Shorter: a slow provider is taken for one that is away.
"""

TOTAL_TIMEOUT_S = 10.0
"""Seconds that an answer may take. Longer and shorter: as above."""

MAX_BYTES = 2**19
"""Bytes of an answer. More: a provider that goes wrong fills the memory. Fewer: one with very many
keys cannot be used.
"""

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_PIECE_BYTES = 2**14

Json = dict[str, Any]


class Answer(NamedTuple):
    """What the provider said."""

    status: int
    body: Json


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Follow none: the redirect is the answer."""


def is_safe(url: str) -> bool:
    """Return whether no one on the way can read or change what is sent to an address."""
    try:
        parts = urlsplit(url)
        is_loopback = parts.hostname in _LOOPBACK
        return bool(parts.hostname) and (
            parts.scheme == "https" or (parts.scheme == "http" and is_loopback)
        )
    except ValueError:
        return False


def fetch(
    url: str, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """Get a JSON object, or post a form and get one. Raises SignInRefused when there is none."""
    if not is_safe(url):
        raise unavailable(f"{_shown(url)} is not https://")
    request = urllib.request.Request(  # noqa: S310 - the scheme was just checked
        url,
        data=None if form is None else urlencode(form).encode(),
        headers={"Accept": "application/json", "User-Agent": "Ringback", **(headers or {})},
    )
    until_s = time.monotonic() + TOTAL_TIMEOUT_S
    try:
        status, content = _asked(request, until_s)
        return Answer(status, msgspec.json.decode(content, type=Json))
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        raise unavailable(f"{_shown(url)} answers no JSON object (status {status})") from None
    except (OSError, http.client.HTTPException) as error:
        raise unavailable(f"{_shown(url)} does not answer: {error}") from None


def _asked(request: urllib.request.Request, until_s: float) -> tuple[int, bytes]:
    try:
        with _opener().open(request, timeout=READ_TIMEOUT_S) as response:
            return response.status, _read(response, until_s)
    except urllib.error.HTTPError as response:
        with response:
            return response.code, _read(response, until_s)


def _opener() -> urllib.request.OpenerDirector:
    proxy = urllib.request.getproxies().get("https")
    return urllib.request.build_opener(
        _NoRedirects,
        urllib.request.ProxyHandler({"https": proxy} if proxy else {}),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
    )


def _read(response: Any, until_s: float) -> bytes:
    pieces, size = [], 0
    while piece := response.read1(_PIECE_BYTES):
        size += len(piece)
        if size > MAX_BYTES:
            raise OSError(f"the answer is larger than {MAX_BYTES} bytes")
        if time.monotonic() > until_s:
            raise OSError(f"the answer takes longer than {TOTAL_TIMEOUT_S:g} s")
        pieces.append(piece)
    return b"".join(pieces)


def _shown(url: str) -> str:
    return url.partition("?")[0]
