"""What the head of a request says, once its bytes are read. Pure.

It refuses what two programs could read differently (RFC 9112, section 11.2) and llhttp lets pass.
"""

import re
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from web.server import refusals
from web.server.messages import Request

_CACHED_BYTES = 100
"""Length of names and paths that are remembered. Longer: the memory that hostile clients fill with
them is not returned.
"""

_HOST = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")
"""RFC 9110, section 7.2. A blank is not among these, and stands between repeated values."""

_Lines = list[tuple[bytes, bytes]]


def request(method: bytes, url: bytes, version: str, lines: _Lines, client: str) -> Request:
    """Return the request, still without its body. Raises Malformed."""
    headers = _headers(lines)
    target = url.partition(b"#")[0] if b"#" in url else url
    path, _, query = target.partition(b"?")
    if not path.startswith(b"/") and b"://" in path:
        # A proxy's absolute form, whose host replaces that of the header (RFC 9112, section 3.2.2).
        host, _, rest = path.partition(b"://")[2].partition(b"/")
        headers["host"], path = host.decode("latin-1"), b"/" + rest
    if fault := _fault(version, headers):
        raise refusals.malformed(fault)
    return Request(
        method.decode("latin-1"),
        _cached_text(path) if len(path) <= _CACHED_BYTES else _text(path),
        query.decode("latin-1"),
        version,
        headers,
        client,
    )


def without_upgrade(method: bytes, url: bytes, version: str, lines: _Lines) -> bytes:
    """Return the bytes of a head that asks for no other protocol."""
    kept = [b"%b: %b\r\n" % line for line in lines if line[0].lower() != b"upgrade"]
    return b"%b %b HTTP/%b\r\n%b\r\n" % (method, url, version.encode(), b"".join(kept))


def _fault(version: str, headers: dict[str, str]) -> str | None:
    if version not in {"1.1", "1.0"}:
        return "this server speaks HTTP/1.1 and HTTP/1.0"
    host = headers.get("host")
    if host is None:
        if version == "1.1":
            return "the header Host is missing: HTTP/1.1 requires it"
    elif not _is_host(host):
        return "the header Host is not one host, with or without a port"
    encoding = headers.get("transfer-encoding")
    if encoding is not None and (encoding.lower() != "chunked" or version == "1.0"):
        return "of the values of Transfer-Encoding only `chunked` is supported, and in HTTP/1.1"
    return None


def _headers(lines: _Lines) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw, value in lines:
        # In WSGI `X_Name` would be read as `X-Name`, which a proxy in front did not check.
        if name := _cached_name(raw) if len(raw) <= _CACHED_BYTES else _name(raw):
            text = value.decode("latin-1").rstrip(" \t")
            if name in headers:
                text = f"{headers[name]}{'; ' if name == 'cookie' else ', '}{text}"
            headers[name] = text
    return headers


def _name(raw: bytes) -> str:
    """Return a header's name in lower case, or "" for one with an underscore."""
    return "" if b"_" in raw else raw.decode("latin-1").lower()


def _text(path: bytes) -> str:
    return (unquote_to_bytes(path) if b"%" in path else path).decode("latin-1")


def _is_host(host: str) -> bool:
    return _HOST.fullmatch(host) is not None


_cached_name, _cached_text = lru_cache(1024)(_name), lru_cache(256)(_text)
