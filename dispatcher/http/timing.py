"""What libcurl knows about a transfer that ended: the address it used, and how long its phases
took. Used by `transfer` only.
"""

import pycurl

from schemas.deliveries.phases import Phases


def address_of(curl: pycurl.Curl) -> str | None:
    """Return the socket address that the transfer was connected to; None: to none."""
    host = str(curl.getinfo(pycurl.PRIMARY_IP))
    return socket_address(host, int(curl.getinfo(pycurl.PRIMARY_PORT))) if host else None


def socket_address(host: str, port: int) -> str:
    """Return a socket address as text: `203.0.113.7:443`, `[2001:db8::7]:443`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def phases_of(
    curl: pycurl.Curl, *, dns_s: float | None, is_new: bool, is_tls: bool, was_answered: bool
) -> Phases:
    """Return how long the phases of the transfer took.

    `dns_s` is how long the host's name took, `is_new` whether it did not use a kept connection,
    `was_answered` whether a response came. After a failure libcurl sets some of its times, which
    count from the start of the transfer, to the time of the failure, and leaves others at 0.
    """
    info = curl.getinfo
    connect_s = tls_s = None
    if is_new:
        connected_s = info(pycurl.CONNECT_TIME)
        connect_s = (connected_s or info(pycurl.TOTAL_TIME)) - info(pycurl.NAMELOOKUP_TIME)
        if is_tls and connected_s:
            tls_s = (info(pycurl.APPCONNECT_TIME) or info(pycurl.TOTAL_TIME)) - connected_s
    wait_s = None
    if was_answered or info(pycurl.REQUEST_SIZE):
        began_s = info(pycurl.STARTTRANSFER_TIME) or info(pycurl.TOTAL_TIME)
        wait_s = began_s - info(pycurl.PRETRANSFER_TIME)
    return Phases(in_ms(dns_s), in_ms(connect_s), in_ms(tls_s), in_ms(wait_s))


def in_ms(seconds: float | None) -> int | None:
    """Return a duration in milliseconds; None for none."""
    return None if seconds is None else max(0, round(seconds * 1000))
