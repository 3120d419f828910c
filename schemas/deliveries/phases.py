"""The phases of an attempt: where its time went. A plain value; the sender measures it."""

import msgspec


class Phases(msgspec.Struct, frozen=True):
    """The durations of an attempt's phases, in milliseconds; None: there was no such phase. A phase
    that did not end counts until the end of the attempt.
    """

    dns_ms: int | None = None
    """The look-up of the host's name; 0 when its addresses were known. None for an address, and on
    a kept connection.
    """

    connect_ms: int | None = None
    """The connection without TLS; None on a kept connection."""

    tls_ms: int | None = None
    """The TLS handshake; None on a kept connection, and without TLS."""

    wait_ms: int | None = None
    """From the beginning of the request until the first byte of the response."""


NO_PHASES = Phases()
"""Those of an attempt that ended before any phase began."""
