"""Passwords of people, as they are stored: scrypt with a salt, in a text that names its own cost.

No I/O, but slow on purpose: `password_hash` and `is_password` take 32 MiB and a tenth of a second
of a core each, without the GIL. Callers bound how many run at once.
"""

import base64
import hashlib
import hmac
import re
import secrets
import unicodedata

MIN_CHARACTERS = 8
"""Characters of a password. More: people write them down. Fewer: they can be guessed."""

MAX_BYTES = 1024
"""Bytes of a password in UTF-8. More: a client that sends long ones uses more processor time.
Fewer: a long phrase does not fit.
"""

_LOG_N, _R, _P = 15, 8, 1
"""The cost: 2**15 blocks of 1 KiB, once, as in Werkzeug. More: signing in takes longer, and
publishing waits for the core. Less: a stolen hash is guessed sooner.
"""

_MAX_LOG_N, _MAX_R, _MAX_P = 20, 16, 16
_SALT_BYTES, _HASH_BYTES = 16, 32
_STORED = re.compile(
    r"\$scrypt\$ln=([0-9]{1,2}),r=([0-9]{1,2}),p=([0-9]{1,2})"
    r"\$([A-Za-z0-9+/]{1,128})\$([A-Za-z0-9+/]{1,128})"
)


def password_fault(password: str) -> str | None:
    """Return why a new password cannot be taken, or None. Never repeats it."""
    if len(password) < MIN_CHARACTERS:
        return f"a password has at least {MIN_CHARACTERS} characters"
    try:
        is_too_long = len(password) > MAX_BYTES or len(_normal(password)) > MAX_BYTES
    except UnicodeEncodeError:
        return "a password is text in UTF-8; this one cannot be read"
    return f"a password has at most {MAX_BYTES} bytes" if is_too_long else None


def password_hash(password: str) -> str:
    """Return what is stored of a password, `$scrypt$ln=15,r=8,p=1$salt$hash`.

    Raises ValueError for one that `password_fault` refuses.
    """
    if fault := password_fault(password):
        raise ValueError(fault)
    salt = secrets.token_bytes(_SALT_BYTES)
    return _spelled(salt, _derived(_normal(password), salt, _LOG_N, _R, _P))


def is_password(password: str, stored: str | None) -> bool:
    """Return whether a password is the one that was stored.

    Takes as long when nothing is stored (None: an account that is unknown or has no password), so
    that the time says nothing about accounts. Raises ValueError when what is stored is no hash.
    """
    try:
        given = _normal(password[: MAX_BYTES + 1])[: MAX_BYTES + 1]
    except UnicodeEncodeError:
        given = b""
    match = _STORED.fullmatch(stored or _NOTHING)
    if match is None:
        raise ValueError("a stored password is not readable: set it again")
    log_n, r, p = (int(match[number]) for number in (1, 2, 3))
    if not (0 < log_n <= _MAX_LOG_N and 0 < r <= _MAX_R and 0 < p <= _MAX_P):
        raise ValueError("a stored password names a cost that is not possible: set it again")
    derived = _derived(given, _bytes(match[4]), log_n, r, p)
    is_right = hmac.compare_digest(derived, _bytes(match[5])) and len(password) <= MAX_BYTES
    return is_right and stored is not None


def _normal(password: str) -> bytes:
    """Return a password as bytes, with one spelling of what looks alike: keyboards differ in how
    they write `é`. To be called with `MAX_BYTES` characters or so: the time grows with the square
    of a row of accents, and nothing else runs meanwhile.
    """
    return unicodedata.normalize("NFKC", password).encode()


def _derived(password: bytes, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    memory = 128 * r * ((1 << log_n) + p + 2)
    return hashlib.scrypt(
        password, salt=salt, n=1 << log_n, r=r, p=p, maxmem=2 * memory, dklen=_HASH_BYTES
    )


def _spelled(salt: bytes, derived: bytes) -> str:
    return f"$scrypt$ln={_LOG_N},r={_R},p={_P}${_text(salt)}${_text(derived)}"


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))


_NOTHING = _spelled(bytes(_SALT_BYTES), bytes(_HASH_BYTES))
"""Stands in for the hash of an account without one."""
