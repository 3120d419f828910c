"""Case folding, for comparing texts without regard to case. Pure: the same on every database,
whatever its locale.
"""

import unicodedata


def folded(text: str) -> str:
    """Return a text without case, by Unicode's rules (`ß` is `ss`, `Σ` is `ς`), and with one
    spelling of what looks alike (NFKC: `é` in one character or two, letters of full width).

    The four letters i of Turkish become one. In Turkish `I` is the capital of the i without a dot,
    elsewhere of `i`, and a text does not say which is meant.
    """
    once = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return once.replace("i\u0307", "i").replace("\u0131", "i")
