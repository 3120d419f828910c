"""Addresses of this site that come from a client, such as where to go after signing in. Pure."""

import re

_MAX_CHARACTERS = 2000

# Browsers read `\` as `/`, and leave tabs and line breaks out: `/\x`, `//x` and `/<tab>/x` are all
# the host x.
_LOCAL = re.compile(r"/(?!/)[^\\\x00-\x1f\x7f]*")

_SIGNING_IN = "/sign-"


def local_address(text: str) -> str:
    """Return an address of this site. Any other becomes the overview's, and so do those of signing
    in and out, which lead in circles.
    """
    is_local = len(text) <= _MAX_CHARACTERS and _LOCAL.fullmatch(text) is not None
    return text if is_local and not text.startswith(_SIGNING_IN) else "/"
