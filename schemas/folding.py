"""Case folding, for comparing texts without regard to case. Pure: the same on every database,
whatever its locale.
"""

import unicodedata

MAX_CHARACTERS = 2000
"""Characters of a text that are folded: more than a name has. What follows stays as it is. More: a
long row of accents takes seconds, as the time grows with its square, and nothing else runs meanwhile.
"""


def folded(text: str) -> str:
    """Return a text without case, by Unicode's rules (`ß` is `ss`, `Σ` is `ς`), and with one
    spelling of what looks alike (NFKC: `é` in one character or two, letters of full width).

    The four letters i of Turkish become one. In Turkish `I` is the capital of the i without a dot,
    elsewhere of `i`, and a text does not say which is meant.
    """
    begin, rest = text[:MAX_CHARACTERS], text[MAX_CHARACTERS:]
    once = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", begin).casefold())
    return once.replace("i\u0307", "i").replace("\u0131", "i") + rest
