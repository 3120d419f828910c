"""Links to a supplier's page as text: signed, so that they cannot be made up or altered. Pure. The
only place that knows the library that signs them.
"""

import hashlib
from collections.abc import Sequence

from itsdangerous import BadData, URLSafeSerializer

from schemas.ids import TokenId
from schemas.times import UnixMs
from schemas.tokens.supplier_links import SupplierLink

_PURPOSE = "a link to a supplier's page"
"""Keeps what the same keys sign for other purposes from being taken for a link."""


def signed(link: SupplierLink, cookie_keys: Sequence[bytes]) -> str:
    """Return the text of a link, for an address."""
    return str(_serializer(cookie_keys).dumps([link.token_id, link.until, link.mark]))


def link_in(text: str, cookie_keys: Sequence[bytes]) -> SupplierLink | None:
    """Return what a text says; None: it is no link of ours, or the key that signed it is gone."""
    try:
        token_id, until, mark = _serializer(cookie_keys).loads(text)
    except BadData:
        return None
    return SupplierLink(TokenId(token_id), UnixMs(until), mark)


def _serializer(cookie_keys: Sequence[bytes]) -> URLSafeSerializer:
    return URLSafeSerializer(
        list(cookie_keys),  # oldest first: the last one signs
        _PURPOSE,
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )
