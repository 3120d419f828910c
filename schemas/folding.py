"""Texts as they are compared when letters' case is to make no difference. Pure: alike on every
database, whatever its locale.
"""

import unicodedata


def folded(text: str) -> str:
    """Without case, by Unicode's own rules (`ß` is `ss`, `Σ` is `ς`), and with one spelling of what
    looks alike (NFKC: `é` in one character or two, letters of full width).

    The four letters i of Turkish are one: there `I` is the capital of the one without a dot,
    elsewhere of `i`, and nobody says which is meant.
    """
    once = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return once.replace("i\u0307", "i").replace("\u0131", "i")
